package quantize

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/stack"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// BitStackArgs are the arguments of quantize "bitstack".
type BitStackArgs struct {
	Model         *passes.Model `arg:"model" doc:"the model to quantise"`
	Data          *passes.Data  `arg:"data" optional:"true" example:"data.calib" doc:"calibration windows, for scaling"`
	Iterations    int           `arg:"iterations" default:"16" min:"1" max:"32" doc:"blocks to take each layer apart into; a size is made of the first of them"`
	Rank          BlockRank     `arg:"rank" default:"auto" example:"\"auto\"" doc:"rank of a block's magnitudes; \"auto\" is a 64th of the layer's smaller side, from 1 to 16"`
	Scaling       bool          `arg:"scaling" default:"true" doc:"weigh each input by its magnitude on the calibration data"`
	Order         string        `arg:"order" default:"energy" enum:"energy|layer" doc:"which block comes next: the one that takes the most of its layer's error for its bytes, or the next of every layer in turn"`
	MaxBytes      int           `arg:"max_bytes" optional:"true" min:"1" doc:"the size of the whole model, embedding and all, that blocks are added up to"`
	BitsPerWeight float64       `arg:"bits_per_weight" optional:"true" above:"0" example:"4" doc:"the mean over the chosen layers that blocks are added up to"`
	Blocks        int           `arg:"blocks" optional:"true" min:"1" max:"32" doc:"the same number of blocks for every layer, instead of a size"`
	blockwise.Target
}

// BlockRank is the argument "rank": a number, or "auto", which is 0.
type BlockRank int

// ArgType names the type in documentation.
func (BlockRank) ArgType() string { return `number or "auto"` }

// ParseArg reads a whole number above zero, or "auto".
func (r *BlockRank) ParseArg(v cty.Value) error {
	switch v.Type() {
	case cty.String:
		if v.AsString() == "auto" {
			*r = 0
			return nil
		}
	case cty.Number:
		if n, acc := v.AsBigFloat().Int64(); acc == 0 && n >= 1 && n <= 4096 {
			*r = BlockRank(n)
			return nil
		}
	}
	return fmt.Errorf(`expected a whole number from 1 to 4096, or "auto"`)
}

// MarshalJSON writes the number, or "auto".
func (r BlockRank) MarshalJSON() ([]byte, error) {
	if r == 0 {
		return json.Marshal("auto")
	}
	return json.Marshal(int(r))
}

// of returns the rank of a layer.
func (r BlockRank) of(l *model.Linear) int {
	if r == 0 {
		return stack.AutoRank(l.Out, l.In)
	}
	return min(int(r), l.Out, l.In)
}

// stackLayer is one layer of a block.
type stackLayer struct {
	Name string `json:"name"`
	Site string `json:"site"`
	Out  int    `json:"out"`
	In   int    `json:"in"`
	Rank int    `json:"rank"`
}

type decomposeStack struct {
	Layers []stackLayer `json:"layers"`
	Blocks int          `json:"blocks"`
	// Windows is 0 where inputs are not scaled.
	Windows int    `json:"windows"`
	Seed    uint64 `json:"seed"`
}

// leastMagnitude is added to an input's magnitude, so that an input which
// calibration never saw keeps its weights. The published value.
const leastMagnitude = 1e-3

// decomposeStackKernel takes the layers of a block apart. Output "stack" has
// their stacks, "errors" what is left of each after every number of blocks, as a
// share of what there was, 1 for none.
var decomposeStackKernel = action.NewKernel("quantize.bitstack.decompose", 2, func(c *action.Context, p decomposeStack) error {
	errors := map[string][]float64{}
	scales := map[string][]float32{}
	for i, l := range p.Layers {
		if err := c.Err(); err != nil {
			return err
		}
		w, err := blockwise.Dense(c.Input("block"), l.Name)
		if err != nil {
			return err
		}
		if p.Windows > 0 && scales[l.Site] == nil {
			sumSq, err := c.Input("norms").Float64(l.Site + ".sum_sq")
			if err != nil {
				return err
			}
			m := make([]float64, len(sumSq))
			for j, x := range sumSq {
				m[j] = math.Sqrt(x/float64(p.Windows)) + leastMagnitude
			}
			scales[l.Site] = stack.Scales(m)
		}
		s := scales[l.Site]
		begin := 0.0
		for j, x := range w {
			v := float64(x)
			if s != nil {
				v *= float64(s[j%l.In])
			}
			begin += float64(v * v)
		}
		left := []float64{1}
		if begin == 0 {
			left[0] = 0
		}
		st, err := stack.Decompose(c.Pool, w, l.Out, l.In, s, p.Blocks, l.Rank, rng.New(p.Seed, "bitstack "+l.Name), func(_ int, r []float64) {
			sum := 0.0
			for _, v := range r {
				sum += float64(v * v)
			}
			if begin > 0 {
				sum /= begin
			}
			left = append(left, sum)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", l.Name, err)
		}
		blockwise.PutStack(c.Output("stack"), l.Name, st)
		errors[l.Name] = left
		if err := c.Step(i+1, len(p.Layers)); err != nil {
			return err
		}
	}
	return c.Output("errors").PutJSON("errors", errors)
})

type orderStack struct {
	Order string `json:"order"`
	// Layers of each block of the model that has any.
	Layers map[string][]stackLayer `json:"layers"`
	// Inputs are the keys of Layers in the model's order.
	Inputs []string `json:"inputs"`
}

// step adds one block to a layer of the input's part of the model.
type step struct {
	Input string `json:"in"`
	Layer string `json:"layer"`
	Bytes int64  `json:"bytes"`
}

// orderStackKernel sorts all blocks but the first of every layer, which every
// size has: output "order", the steps.
var orderStackKernel = action.NewKernel("quantize.bitstack.order", 1, func(c *action.Context, p orderStack) error {
	var layers []stacked
	for _, in := range p.Inputs {
		var left map[string][]float64
		if err := c.Input(in).JSON("errors", &left); err != nil {
			return err
		}
		for _, l := range p.Layers[in] {
			layers = append(layers, stacked{step{in, l.Name, stack.Bytes(l.Out, l.In, l.Rank)}, left[l.Name], 1})
		}
	}
	return c.Output("order").PutJSON("order", sortSteps(layers, p.Order == "energy"))
})

// stacked is a layer of which so many blocks are taken.
type stacked struct {
	step  step
	left  []float64 // by number of blocks
	taken int
}

// sortSteps takes the blocks one by one: where greedy, always the one with the
// largest gain for its bytes, the first of equals; otherwise of every layer in
// turn.
func sortSteps(layers []stacked, greedy bool) []step {
	steps := []step{}
	for {
		next, best := -1, 0.0
		for i, l := range layers {
			if l.taken+1 >= len(l.left) {
				continue
			}
			gain := -float64(l.taken)
			if greedy {
				gain = (l.left[l.taken] - l.left[l.taken+1]) / float64(l.step.Bytes)
			}
			if next < 0 || gain > best {
				next, best = i, gain
			}
		}
		if next < 0 {
			return steps
		}
		layers[next].taken++
		steps = append(steps, layers[next].step)
	}
}

type viewStack struct {
	Layers []stackLayer `json:"layers"`
	// Input is the part of the model in the order.
	Input string `json:"in"`
	// Blocks is the number for all layers; 0 where Budget decides: the bytes for
	// blocks beyond the first of every layer.
	Blocks int   `json:"blocks"`
	Budget int64 `json:"budget"`
}

// viewStackKernel makes a block of the model at one size: leading parts of what
// is stored, so it writes no tensor.
var viewStackKernel = action.NewKernel("quantize.bitstack.view", 1, func(c *action.Context, p viewStack) error {
	taken := map[string]int{}
	for _, l := range p.Layers {
		taken[l.Name] = max(1, p.Blocks)
	}
	if p.Blocks == 0 {
		var steps []step
		if err := c.Input("order").JSON("order", &steps); err != nil {
			return err
		}
		budget := p.Budget
		for _, s := range steps {
			if budget -= s.Bytes; budget < 0 {
				break
			}
			if s.Input == p.Input {
				taken[s.Layer]++
			}
		}
	}
	var left map[string][]float64
	if err := c.Input("errors").JSON("errors", &left); err != nil {
		return err
	}
	out := c.Output("block")
	names := make([]string, len(p.Layers))
	for i, l := range p.Layers {
		names[i] = l.Name
	}
	out.CopyExcept(c.Input("block"), blockwise.OfLinears(names))
	reports := map[string]map[string]float64{}
	for _, l := range p.Layers {
		n, err := blockwise.ShareStack(out, c.Input("stack"), l.Name, taken[l.Name])
		if err != nil {
			return err
		}
		reports[l.Name] = map[string]float64{"blocks": float64(n), "relative_scaled_error": left[l.Name][n]}
	}
	return c.Output("report").PutJSON("report", reports)
})

// BitStack takes weights apart into blocks of signs and low-rank magnitudes, of
// which any leading part is a model.
//
// Wang et al. 2024, arXiv:2410.23918. The input scales are kept beside the
// weights instead of folded into the layers before, so they work with grouped
// queries too, and come from root mean squares over windows, which other methods'
// statistics hold. The order by energy is our own.
var BitStack = &passes.Pass{
	Verb: "quantize", Method: "bitstack",
	Summary: "Blocks of signs and low-rank magnitudes, sorted: one decomposition, every size a prefix of it.",
	Doc: `Every layer is taken apart once into ` + "`iterations`" + ` blocks of a little more than one bit a
weight, each made for what those before it leave. A model is the first block of
every layer and as many of the others, in their order, as the size allows: give one
of ` + "`max_bytes`" + `, ` + "`bits_per_weight`" + ` and ` + "`blocks`" + `, or none for all blocks. Several sizes are
points of a sweep: they share the decomposition and store nothing of their own, and
a smaller model is a leading part of a larger one, byte for byte.

Embedding, norms and head are not taken apart and dominate small sizes of small
models. No other program's format holds the blocks: exports write the floating
point numbers that they stand for.
`,
	Paper:   "Wang et al. 2024, arXiv:2410.23918",
	NewArgs: func() any { return &BitStackArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*BitStackArgs)
		out := &passes.Model{From: c.Node}
		ty, chosen, ds := begin(c.Node, a.Model, a.Target)
		if a.Scaling && a.Data == nil {
			ds.Errorf("data", "No data to scale by", "scaling = true takes the inputs' magnitudes from calibration windows. Add data = data.NAME, or use scaling = false, which costs much accuracy.")
		}
		if !a.Scaling && a.Data != nil {
			ds.Warnf("data", "Data is not used", "scaling = false looks at the weights alone, so data has no effect.")
		}
		var sizes []string
		for _, s := range []struct {
			arg string
			set bool
		}{{"max_bytes", a.MaxBytes > 0}, {"bits_per_weight", a.BitsPerWeight > 0}, {"blocks", a.Blocks > 0}} {
			if s.set {
				sizes = append(sizes, s.arg)
			}
		}
		if len(sizes) > 1 {
			ds.Errorf(sizes[1], "Two sizes", "%s and %s both say how many blocks there are. Give one of them.", sizes[0], sizes[1])
		}
		if a.Blocks > a.Iterations {
			ds.Errorf("blocks", "More blocks than there are", "Layers are taken apart into %d blocks. Use at most that, or raise iterations.", a.Iterations)
		}
		form := model.Format{Form: model.Stack}
		ds = append(ds, unmasked(chosen, form)...)
		if ty != nil {
			for _, l := range chosen {
				l.Format, l.QuantizedBy = form, c.Node
			}
			ds = append(ds, a.setSizes(ty, chosen)...)
		}
		out.Type = ty
		return passes.Result{Model: out}, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		return c.Args.(*BitStackArgs).lower(c, g, r)
	},
}

// bytesOf returns what a layer takes with so many blocks.
func (a *BitStackArgs) bytesOf(l *model.Linear, blocks int) int64 {
	n := int64(blocks) * stack.Bytes(l.Out, l.In, a.Rank.of(l))
	if a.Scaling {
		n += stack.ScaleBytes(l.In)
	}
	return n
}

// setSizes gives the chosen layers of ty what a weight of theirs costs, which a
// budget says of their mean alone, and refuses budgets below the least.
func (a *BitStackArgs) setSizes(ty *model.Type, chosen []*model.Linear) (ds diag.List) {
	set := func(bytes func(l *model.Linear) float64) {
		for _, l := range chosen {
			l.StoredBits = float64(8*bytes(l)) / float64(l.Out*l.In)
		}
	}
	if blocks := a.Blocks; blocks > 0 || a.MaxBytes == 0 && a.BitsPerWeight == 0 {
		if blocks == 0 {
			blocks = a.Iterations
		}
		set(func(l *model.Linear) float64 { return float64(a.bytesOf(l, blocks)) })
		return nil
	}
	set(func(l *model.Linear) float64 { return float64(a.bytesOf(l, 1)) })
	budget, rest, weights := a.budget(ty, chosen), 0.0, 0.0
	for _, l := range chosen {
		rest += float64(a.bytesOf(l, a.Iterations) - a.bytesOf(l, 1))
		weights += float64(float64(l.Out) * float64(l.In))
	}
	if budget < 0 {
		if a.MaxBytes > 0 {
			ds.Errorf("max_bytes", "Smaller than the smallest", "With one block a layer the model takes %d bytes, of which %d are not in the layers taken apart, such as the embedding. Use max_bytes = %d or more.",
				ty.Size(), ty.Size()-a.first(chosen), ty.Size())
		} else {
			least := float64(8*float64(a.first(chosen))) / weights
			ds.Errorf("bits_per_weight", "Smaller than the smallest", "One block a layer takes %.3f bits a weight. Use at least that, a lower rank, or leave small layers out with targets.", least)
		}
		return ds
	}
	share := 1.0
	if rest > 0 {
		share = min(1, float64(budget)/rest)
	}
	set(func(l *model.Linear) float64 {
		first := float64(a.bytesOf(l, 1))
		return first + float64(share*(float64(a.bytesOf(l, a.Iterations))-first))
	})
	return ds
}

// first returns what the layers take with one block each.
func (a *BitStackArgs) first(chosen []*model.Linear) (bytes int64) {
	for _, l := range chosen {
		bytes += a.bytesOf(l, 1)
	}
	return bytes
}

// budget returns the bytes for blocks beyond the first of every layer, below
// zero where there are not even those. Layers of ty that are not chosen have
// their sizes.
func (a *BitStackArgs) budget(ty *model.Type, chosen []*model.Linear) int64 {
	if a.BitsPerWeight > 0 {
		weights := int64(0)
		for _, l := range chosen {
			weights += int64(l.Out) * int64(l.In)
		}
		return int64(math.Floor(a.BitsPerWeight*float64(weights)/8)) - a.first(chosen)
	}
	// A copy in which the chosen layers take nothing.
	rest := ty.Clone()
	for i, l := range ty.Linears {
		if slices.Contains(chosen, l) {
			rest.Linears[i].StoredBits = 0
		}
	}
	return int64(a.MaxBytes) - rest.Size() - a.first(chosen)
}

func (a *BitStackArgs) lower(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
	m := a.Model
	cfg := m.Type.Config
	next := *m
	next.Type, next.From = r.Model.Type, c.Node
	next.Blocks = append([]action.Ref(nil), m.Blocks...)
	res := passes.Result{Model: &next}

	work := make([][]stackLayer, cfg.Layers)
	var chosen []*model.Linear
	for b := range work {
		for _, l := range next.Type.Block(b) {
			if a.Selects(l) {
				work[b] = append(work[b], stackLayer{l.Name, l.Site, l.Out, l.In, a.Rank.of(l)})
				chosen = append(chosen, l)
			}
		}
	}
	view := viewStack{Blocks: a.Blocks}
	switch {
	case a.MaxBytes > 0 || a.BitsPerWeight > 0:
		view.Budget = a.budget(next.Type, chosen)
	case a.Blocks == 0:
		view.Blocks = a.Iterations
	}
	dec := decomposeStack{Blocks: a.Iterations, Seed: c.Seed}
	var stats []blockwise.Stats
	if a.Scaling {
		dec.Windows = a.Data.Type.Windows
		stats = blockwise.Stream(g, c.Node, m, a.Data, blockwise.Needs{Norms: true}, func(b int) bool { return work[b] != nil })
	}
	order := orderStack{Order: a.Order, Layers: map[string][]stackLayer{}}
	var orderInputs []action.Input
	stacks, errors := make([]action.Ref, cfg.Layers), make([]action.Ref, cfg.Layers)
	for b, ls := range work {
		if ls == nil {
			continue
		}
		in := []action.Input{{Name: "block", Ref: m.Blocks[b]}}
		if stats != nil {
			in = append(in, action.Input{Name: "norms", Ref: stats[b].Norms})
		}
		var flops float64
		var bytes, largest int64
		for _, l := range ls {
			n := int64(l.Out) * int64(l.In)
			flops += float64(float64(a.Iterations) * 18 * float64(n) * float64(l.Rank+16))
			bytes += int64(a.Iterations) * stack.Bytes(l.Out, l.In, l.Rank)
			largest = max(largest, n)
		}
		d := dec
		d.Layers = ls
		act := g.Add(action.Spec{Kernel: decomposeStackKernel, Params: d, Inputs: in, Node: c.Node, Label: fmt.Sprintf("decompose block %d", b),
			Outputs: []action.Output{{Name: "stack", Class: action.Durable, Bytes: bytes}, {Name: "errors", Class: action.Durable, Bytes: 4096}},
			Flops:   flops, Peak: 40*largest + bytes})
		stacks[b], errors[b] = action.Ref{Action: act, Output: "stack"}, action.Ref{Action: act, Output: "errors"}
		name := fmt.Sprintf("block%d", b)
		order.Layers[name] = ls
		order.Inputs = append(order.Inputs, name)
		orderInputs = append(orderInputs, action.Input{Name: name, Ref: errors[b]})
	}
	var sorted action.Ref
	if view.Blocks == 0 && orderInputs != nil {
		act := g.Add(action.Spec{Kernel: orderStackKernel, Params: order, Inputs: orderInputs, Node: c.Node, Label: "order",
			Outputs: []action.Output{{Name: "order", Class: action.Durable, Bytes: 64 * int64(len(chosen)*a.Iterations)}},
			Flops:   float64(len(chosen)) * float64(len(chosen)*a.Iterations), Peak: 1 << 20})
		sorted = action.Ref{Action: act, Output: "order"}
	}
	for b, ls := range work {
		if ls == nil {
			continue
		}
		v := view
		v.Layers, v.Input = ls, fmt.Sprintf("block%d", b)
		in := []action.Input{{Name: "block", Ref: m.Blocks[b]}, {Name: "stack", Ref: stacks[b]}, {Name: "errors", Ref: errors[b]}}
		if sorted.Valid() {
			in = append(in, action.Input{Name: "order", Ref: sorted})
		}
		act := g.Add(action.Spec{Kernel: viewStackKernel, Params: v, Inputs: in, Node: c.Node, Label: fmt.Sprintf("block %d", b),
			Outputs: []action.Output{{Name: "block", Class: action.Durable}, {Name: "report", Class: action.Durable, Bytes: 4096}},
			Flops:   1e4, Peak: 1 << 20})
		next.Blocks[b] = action.Ref{Action: act, Output: "block"}
		res.Layers = append(res.Layers, passes.LayerReport{Block: b, Ref: action.Ref{Action: act, Output: "report"}})
	}
	return res
}
