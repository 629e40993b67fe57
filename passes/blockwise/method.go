package blockwise

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/obs"
	"github.com/compressc/compressc/passes"
)

// Method is a compression method as the walk sees it: what it needs to know of
// a linear layer's inputs, and what it does to one layer. L holds the arguments
// of one layer, overrides applied; it is part of the action's parameters.
type Method[L any] struct {
	// Kernel names the action, "prune.wanda"; Impl is its version.
	Kernel string
	Impl   int
	// Needs are the statistics it wants. A method without looks at weights alone:
	// each layer is an action of its own, and two layers of a block share no Once.
	Needs Needs
	// Linear changes one layer.
	Linear func(*Work, L) error

	kernel *action.Kernel
}

// Work is one linear layer under way.
type Work struct {
	Pool    *linalg.Pool
	Name    string // path inside the block
	Site    string
	Out, In int
	// W [out, in] are the weights, a copy that the method may change or replace. It
	// is no longer the method's when that returns.
	W []float32
	// Mask is nil where the layer is dense.
	Mask *mask.Mask

	norms, gram *artifact.Value
	gradient    *artifact.Value
	coded       Coded
	memo        map[string]any
	numbers     map[string]float64
}

// SumSq returns Σx² [in] over the calibration tokens at the layer's input.
func (w *Work) SumSq() ([]float64, error) { return w.norms.Float64(w.Site + ".sum_sq") }

// Gram returns XᵀX [in, in] over the calibration tokens; it is shared, do not
// write to it.
func (w *Work) Gram() ([]float64, error) { return w.gram.Float64(w.Site) }

// Gradient returns the norm over windows of the gradient of each weight, [out, in],
// and how many windows there were; it is shared, do not write to it. Windows whose
// gradients were not finite are reported as "skipped_windows".
func (w *Work) Gradient() (norms []float32, windows int, err error) {
	if norms, err = w.gradient.Float32(w.Name); err != nil {
		return nil, 0, err
	}
	skipped, err := w.gradient.Int32(w.Name + skippedLeaf)
	if err != nil {
		return nil, 0, err
	}
	if skipped[0] > 0 {
		w.Report("skipped_windows", float64(skipped[0]))
	}
	n, err := w.gradient.Int32(windowsLeaf)
	if err != nil {
		return nil, 0, err
	}
	return norms, int(n[0]), nil
}

// Factor returns the Hessian of the layer's inputs prepared for a column sweep,
// one for all layers of a site. ordered visits the columns by descending
// diagonal. What was added to the diagonal is reported as "lambda".
func (w *Work) Factor(damping float64, ordered bool) (*obs.Factor, error) {
	key := fmt.Sprintf("factor %v %v", damping, ordered)
	f, err := Once(w, key, func() (*obs.Factor, error) {
		h, err := w.Gram()
		if err != nil {
			return nil, err
		}
		var order []int
		if ordered {
			order = obs.DescendingDiagonal(h, w.In)
		}
		return obs.Prepare(w.Pool, h, w.In, damping, order)
	})
	if err != nil {
		return nil, err
	}
	w.Report("lambda", f.Lambda)
	return f, nil
}

// Refine improves what a sweep with the factor f made of the weights, in place.
func (w *Work) Refine(f *obs.Factor, r *obs.Result, passes int) error {
	h, err := w.Gram()
	if err != nil {
		return err
	}
	return obs.Refine(w.Pool, f, h, w.W, w.Out, r, passes)
}

// SetMask prunes: the mask is kept with the weights and its zeros are written.
func (w *Work) SetMask(m *mask.Mask) {
	m.Apply(w.W)
	w.Mask = m
}

// SetQuantized replaces the weights by integer codes.
func (w *Work) SetQuantized(q *grid.Quantized) { w.SetCoded(OnGrid(q)) }

// SetCoded replaces the weights by another form of them, which the layer is then
// stored in. A form that cannot hold exact zeros must not be given to a layer
// with a mask.
func (w *Work) SetCoded(c Coded) {
	w.coded = c
	c.Decode(w.W)
}

// Report adds one number about the layer to the block's report.
func (w *Work) Report(name string, x float64) { w.numbers[name] = x }

// Once computes a value once for all layers of the block that have the same inputs
// and ask with the same key: q, k and v share one factorization. A value with a
// method Give is given back when the last of them is done.
func Once[T any](w *Work, key string, f func() (T, error)) (T, error) {
	if v, ok := w.memo[key]; ok {
		return v.(T), nil
	}
	v, err := f()
	if err == nil {
		w.memo[key] = v
	}
	return v, err
}

// linearParams are the parameters of one layer in a block's action.
type linearParams[L any] struct {
	Name string `json:"name"`
	Site string `json:"site"`
	Out  int    `json:"out"`
	In   int    `json:"in"`
	Args L      `json:"args"`
	// Of says what the layer takes from the input "allocation".
	Of string `json:"allocated,omitempty"`
}

// New registers the method's kernel.
func New[L any](m Method[L]) *Method[L] {
	m.kernel = action.NewKernel(m.Kernel, m.Impl, func(c *action.Context, ls []linearParams[L]) error {
		return m.run(c, ls)
	})
	return &m
}

func (m *Method[L]) run(c *action.Context, ls []linearParams[L]) error {
	in := c.Input("block")
	out := c.Output("block")
	names := make([]string, len(ls))
	for i, l := range ls {
		names[i] = l.Name
	}
	out.CopyExcept(in, OfLinears(names))
	reports := map[string]map[string]float64{}
	memo := map[string]map[string]any{} // by site
	var scratch Scratch
	defer scratch.Give()
	for i, l := range ls {
		if err := c.Err(); err != nil {
			return err
		}
		scratch.Give()
		w, err := openWork(c, l, m.Needs, &scratch)
		if err != nil {
			return err
		}
		if memo[l.Site] == nil {
			memo[l.Site] = map[string]any{}
		}
		w.memo = memo[l.Site]
		if l.Of != "" {
			x, err := Allot(c.Input("allocation"), l.Of, l.Name, any(&l.Args).(Allocatable))
			if err != nil {
				return err
			}
			w.Report(l.Of, x)
		}
		original := w.W
		if m.Needs.Gram || !scratch.holds(original) {
			w.W = scratch.take(len(original))
			copy(w.W, original)
		}
		if err := m.Linear(w, l.Args); err != nil {
			return fmt.Errorf("%s: %w", l.Name, err)
		}
		if m.Needs.Gram {
			h, err := w.Gram()
			if err != nil {
				return err
			}
			w.Report("relative_output_error", obs.RelativeOutputError(c.Pool, original, w.W, w.Out, w.In, h))
		}
		if w.Mask != nil {
			w.Report("zeros", 1-float64(w.Mask.CountKept())/float64(w.Out*w.In))
		}
		if w.coded != nil {
			if err := PutCoded(out, l.Name, w.coded, w.Mask); err != nil {
				return err
			}
		} else {
			if scratch.holds(w.W) {
				w.W = slices.Clone(w.W)
			}
			PutDense(out, l.Name, l.Out, l.In, w.W, w.Mask)
		}
		reports[l.Name] = w.numbers
		if !slices.ContainsFunc(ls[i+1:], func(o linearParams[L]) bool { return o.Site == l.Site }) {
			for _, v := range memo[l.Site] {
				if b, ok := v.(interface{ Give() }); ok {
					b.Give()
				}
			}
			delete(memo, l.Site)
		}
		if err := c.Step(i+1, len(ls)); err != nil {
			return err
		}
	}
	return c.Output("report").PutJSON("report", reports)
}

// openWork loads one layer; its W is what is stored, not to be written to, or decoded
// in the scratch.
func openWork[L any](c *action.Context, l linearParams[L], n Needs, s *Scratch) (*Work, error) {
	w := &Work{Pool: c.Pool, Name: l.Name, Site: l.Site, Out: l.Out, In: l.In, numbers: map[string]float64{}}
	if n.Norms {
		w.norms = c.Input("norms")
	}
	if n.Gram {
		w.gram = c.Input("gram")
	}
	if n.Gradient {
		w.gradient = c.Input("gradient")
	}
	var err error
	if w.W, err = s.Dense(c.Input("block"), l.Name); err != nil {
		return nil, err
	}
	w.Mask, err = Mask(c.Input("block"), l.Name)
	return w, err
}

// inputs are the block and its statistics.
func (s Stats) inputs(block action.Ref, n Needs) []action.Input {
	in := []action.Input{{Name: "block", Ref: block}}
	if n.Norms {
		in = append(in, action.Input{Name: "norms", Ref: s.Norms})
	}
	if n.Gram {
		in = append(in, action.Input{Name: "gram", Ref: s.Gram})
	}
	if n.Gradient {
		in = append(in, action.Input{Name: "gradient", Ref: s.Gradient})
	}
	return in
}

// Job is one node's way through the blocks.
type Job struct {
	Node string
	// Model is what is compressed; Type is what it becomes.
	Model *passes.Model
	Type  *model.Type
	// Data and Reference are nil for methods that look at weights alone.
	Data      *passes.Data
	Reference *passes.Model
	// Propagate is "reference", "input" or "output": whose hidden states the
	// statistics are taken from.
	Propagate string
	// Allocation, unless nil, gives each layer its number.
	Allocation *passes.Allocation
	// Gradients are those of the blocks, as the function Gradients returns them, for
	// methods that need them.
	Gradients []action.Ref
}

// Stats lowers the statistics of a model as it is, the reference or the input, for
// the blocks that want them; nil where none are needed. Propagate is not "output".
func (j Job) Stats(g *action.Graph, needs Needs, wants func(block int) bool) []Stats {
	if !needs.Any() {
		return nil
	}
	src := j.Model
	if j.Propagate == "reference" {
		src = Aligned(g, j.Node, j.Model, j.Reference)
	}
	st := Stream(g, j.Node, src, j.Data, needs, wants)
	for b := range j.Gradients {
		st[b].Gradient = j.Gradients[b]
	}
	return st
}

// Lower emits, block by block, statistics → kernel → forward, and returns the
// model that comes out. A method without needs gets an action a layer instead.
// of gives a layer's arguments, false where the layer is
// left alone.
func (m *Method[L]) Lower(g *action.Graph, j Job, of func(*model.Linear) (L, bool)) passes.Result {
	cfg := j.Model.Type.Config
	next := *j.Model
	next.Type, next.From = j.Type, j.Node
	next.Blocks = append([]action.Ref(nil), j.Model.Blocks...)
	res := passes.Result{Model: &next}

	work := make([][]linearParams[L], cfg.Layers)
	last := -1
	for b := range work {
		for _, l := range j.Model.Type.Block(b) {
			if a, ok := of(l); ok {
				p := layerParams(l, a)
				if j.Allocation != nil {
					p.Of = j.Allocation.Of
				}
				work[b] = append(work[b], p)
				last = b
			}
		}
	}
	var st []Stats
	if j.Propagate != "output" {
		st = j.Stats(g, m.Needs, func(b int) bool { return work[b] != nil })
	}
	var hidden action.Ref
	tokens := int64(0)
	if j.Data != nil {
		tokens = int64(j.Data.Type.Windows) * int64(j.Data.Type.SequenceLength)
	}
	if m.Needs.Any() && j.Propagate == "output" && last >= 0 {
		hidden = Embed(g, j.Node, j.Model, j.Data)
	}
	if !m.Needs.Any() {
		for b, ls := range work {
			if ls != nil {
				var reports []passes.LayerReport
				next.Blocks[b], reports = m.tensors(g, j, b, ls)
				res.Layers = append(res.Layers, reports...)
			}
		}
		return res
	}
	for b := 0; b <= last; b++ {
		var s Stats
		if st != nil {
			s = st[b]
		} else if hidden.Valid() && work[b] != nil {
			s, _ = Walk(g, j.Node, cfg, b, j.Model.Blocks[b], hidden, tokens, m.Needs, false, action.Transient)
			if j.Gradients != nil {
				s.Gradient = j.Gradients[b]
			}
		}
		if work[b] != nil {
			a := m.change(g, j.Node, cfg, b, j.Model.Blocks[b], s, work[b], action.Durable, ShareOf(j.Allocation, b)...)
			next.Blocks[b] = action.Ref{Action: a, Output: "block"}
			res.Layers = append(res.Layers, passes.LayerReport{Block: b, Ref: action.Ref{Action: a, Output: "report"}})
		}
		if hidden.Valid() && b < last {
			_, hidden = Walk(g, j.Node, cfg, b, next.Blocks[b], hidden, tokens, Needs{}, true, action.Checkpoint)
		}
	}
	return res
}

// tensors lowers what a method that looks at weights alone does to block b: an
// action for each layer, which sees nothing but that layer's tensors.
func (m *Method[L]) tensors(g *action.Graph, j Job, b int, ls []linearParams[L]) (block action.Ref, reports []passes.LayerReport) {
	base := j.Model.Blocks[b]
	share := ShareOf(j.Allocation, b)
	var pieces []action.Piece
	for i, l := range ls {
		names := LinearLeaves(l.Name)
		n := int64(l.Out) * int64(l.In)
		a := g.Add(action.Spec{Kernel: m.kernel, Params: ls[i : i+1], Inputs: append([]action.Input{{Name: "block", Ref: g.Part(base, names)}}, share...),
			Node: j.Node, Label: fmt.Sprintf("block %d, %s", b, l.Name),
			Outputs: []action.Output{{Name: "block", Class: action.Durable, Bytes: n * 4}, {Name: "report", Class: action.Durable, Bytes: 512}},
			Flops:   m.flops(ls[i : i+1]), Peak: n * 8})
		pieces = append(pieces, action.Piece{Names: names, Ref: action.Ref{Action: a, Output: "block"}})
		reports = append(reports, passes.LayerReport{Block: b, Ref: action.Ref{Action: a, Output: "report"}})
	}
	return g.Assemble(j.Node, fmt.Sprintf("block %d", b), base, pieces), reports
}

// layerParams are the parameters of layer l with the arguments a.
func layerParams[L any](l *model.Linear, a L) linearParams[L] {
	return linearParams[L]{Name: l.Name, Site: l.Site, Out: l.Out, In: l.In, Args: a}
}

// change lowers the method's kernel on layers of block b.
func (m *Method[L]) change(g *action.Graph, node string, cfg *arch.Config, b int, block action.Ref, s Stats, ls []linearParams[L], class action.Class, more ...action.Input) *action.Action {
	p := BlockWeights(cfg.At(b))
	return g.Add(action.Spec{Kernel: m.kernel, Params: ls, Inputs: append(s.inputs(block, m.Needs), more...), Node: node, Label: fmt.Sprintf("block %d", b),
		Outputs: []action.Output{{Name: "block", Class: class, Bytes: p * 4}, {Name: "report", Class: class, Bytes: 4096}},
		Flops:   m.flops(ls), Peak: p*8 + m.scratch(ls)})
}

// flops estimates one block's work: for second-order methods the inverse of
// each site's Hessian and a column sweep; otherwise a few passes over weights.
func (m *Method[L]) flops(ls []linearParams[L]) float64 {
	f := 0.0
	for _, l := range ls {
		n, o := float64(l.In), float64(l.Out)
		f += float64(50 * n * o)
		if m.Needs.Gram {
			f += float64(2*n*n*n/3) + float64(4*o*n*n)
		}
	}
	return f
}

// scratch estimates the working memory: the factorization of the widest site,
// its damped Hessian and the working weights of the largest layer.
func (m *Method[L]) scratch(ls []linearParams[L]) int64 {
	if !m.Needs.Gram {
		return 0
	}
	widest, layer := int64(0), int64(0)
	for _, l := range ls {
		widest = max(widest, int64(l.In))
		layer = max(layer, int64(l.In)*int64(l.Out))
	}
	return 4*widest*widest*8 + 4*layer*8
}

// Stream walks a whole model as it is and returns the statistics of the blocks
// that want reports.
func Stream(g *action.Graph, node string, m *passes.Model, d *passes.Data, needs Needs, wants func(block int) bool) []Stats {
	cfg := m.Type.Config
	st := make([]Stats, cfg.Layers)
	last := -1
	for b := range st {
		if wants(b) {
			last = b
		}
	}
	if last < 0 {
		return st
	}
	tokens := int64(d.Type.Windows) * int64(d.Type.SequenceLength)
	hidden := Embed(g, node, m, d)
	for b := 0; b <= last; b++ {
		n := needs
		if !wants(b) {
			n = Needs{}
		}
		st[b], hidden = Walk(g, node, cfg, b, m.Blocks[b], hidden, tokens, n, b < last, action.Transient)
	}
	return st
}

// Through walks a whole model as it is and returns the last block's output.
func Through(g *action.Graph, node string, m *passes.Model, d *passes.Data) action.Ref {
	tokens := int64(d.Type.Windows) * int64(d.Type.SequenceLength)
	hidden := Embed(g, node, m, d)
	for b, block := range m.Blocks {
		_, hidden = Walk(g, node, m.Type.Config, b, block, hidden, tokens, Needs{}, true, action.Transient)
	}
	return hidden
}

// Grams walks a model as it is and returns XᵀX of every site for each block
// that wants reports.
func Grams(g *action.Graph, node string, m *passes.Model, d *passes.Data, wants func(block int) bool) []action.Ref {
	st := Stream(g, node, m, d, Needs{Gram: true}, wants)
	refs := make([]action.Ref, len(st))
	for i := range st {
		refs[i] = st[i].Gram
	}
	return refs
}
