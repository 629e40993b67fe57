package blockwise

import (
	"errors"
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes"
)

// embedRows is how many tokens one task of the embedding takes.
const embedRows = 64

// embedKernel looks the tokens' rows up: hidden states [windows, T, hidden]. Of a
// table that is not float32 those rows alone are decoded.
var embedKernel = action.NewKernel("embed", 1, func(c *action.Context, g Geometry) error {
	ids, shape, err := tokens(c.Input("tokens"))
	if err != nil {
		return err
	}
	cfg := g.Config()
	table, err := c.Input("embed").Rows(cfg.EmbedName())
	if err != nil {
		return err
	}
	if table.Count != g.Vocab || table.Width != g.Hidden {
		return fmt.Errorf("%s has %d rows of %d; expected %d of %d", cfg.EmbedName(), table.Count, table.Width, g.Vocab, g.Hidden)
	}
	for _, id := range ids {
		if int(id) >= g.Vocab || id < 0 {
			return fmt.Errorf("token %d is outside the model's vocabulary of %d: the data's tokenizer is not the model's", id, g.Vocab)
		}
	}
	x := make([]float32, len(ids)*g.Hidden)
	errs := make([]error, (len(ids)+embedRows-1)/embedRows)
	c.Pool.For(len(errs), func(_, task int) {
		for t := task * embedRows; t < min(len(ids), (task+1)*embedRows) && errs[task] == nil; t++ {
			to, id := x[t*g.Hidden:(t+1)*g.Hidden], int(ids[t])
			var row []float32
			row, errs[task] = table.Float32(id, id+1, to)
			copy(to, row) // which is where it stands already if it was decoded
		}
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if g.Learned {
		if shape[1] > g.Positions {
			return fmt.Errorf("windows of %d tokens in a model of %d learned positions: choose a sequence_length of at most %d", shape[1], g.Positions, g.Positions)
		}
		positions, err := c.Input("embed").Float32(cfg.PositionName())
		if err != nil {
			return err
		}
		nn.NewRunner(cfg, c.Pool).AddPositions(positions, x, shape[1])
	}
	c.Output("hidden").PutFloat32("hidden", []int{shape[0], shape[1], g.Hidden}, x)
	return nil
})

func tokens(v *artifact.Value) ([]int32, []int, error) {
	ids, err := v.Int32("tokens")
	if err != nil {
		return nil, nil, err
	}
	e, err := v.Entry("tokens")
	return ids, e.Meta.Shape, err
}

// walkKernel runs one decoder block over windows that stand alone. Outputs, as
// asked for: hidden, the block's output; norms, per site count, Σx, Σx², Σ|x|
// and max|x|; moments, per site and channel the mean and Σ(x − mean)²; gram, per
// site XᵀX.
var walkKernel = action.NewKernel("walk", 1, func(c *action.Context, g Geometry) error {
	cfg := g.Config()
	in, windows, T, err := States(c.Input("hidden"))
	if err != nil {
		return err
	}
	var weights Scratch
	defer weights.Give()
	b, err := weights.LoadForward(cfg, c.Input("block"))
	if err != nil {
		return err
	}
	var col *collector
	var tap func(int, string, []float32, int)
	if c.Wants("norms") || c.Wants("moments") || c.Wants("gram") {
		col = newCollector(cfg, c.Pool, c.Wants("moments"), c.Wants("gram"))
		tap = col.add
	}
	r := nn.NewRunner(cfg, c.Pool)
	defer r.Release()
	x := in // which is only read where the pass stops before it is the block's output
	if c.Wants("hidden") {
		x = slices.Clone(in)
	}
	// A few windows at a time bound the scratch memory; the bits do not depend
	// on how many.
	const batch = 4
	step := T * g.Hidden
	for w := 0; w < windows; w += batch {
		n := min(batch, windows-w)
		base := w
		t := tap
		if tap != nil {
			t = func(win int, site string, rows []float32, width int) { tap(base+win, site, rows, width) }
		}
		r.ForwardWindows(b, x[w*step:(w+n)*step], n, T, t, !c.Wants("hidden"))
		if err := c.Step(w+n, windows); err != nil {
			return err
		}
	}
	if c.Wants("hidden") {
		c.Output("hidden").PutFloat32("hidden", []int{windows, T, g.Hidden}, x)
	}
	if col != nil {
		if err := col.check(); err != nil {
			return err
		}
	}
	if c.Wants("norms") {
		col.putNorms(c.Output("norms"), windows*T)
	}
	if c.Wants("moments") {
		col.putMoments(c.Output("moments"))
	}
	if c.Wants("gram") {
		col.putGram(c.Output("gram"))
	}
	return nil
})

// collector sums the statistics of every site, window by window in order.
type collector struct {
	cfg   *arch.Config
	pool  *linalg.Pool
	sites map[string]*siteSums
	// columns are what each worker adds a group of columns up in.
	columns []vmath.Columns
}

type siteSums struct {
	width                      int
	sum, sumSq, sumAbs, maxAbs []float64
	gram                       []float64
	moments                    *Moments
}

func newCollector(cfg *arch.Config, pool *linalg.Pool, moments, gram bool) *collector {
	c := &collector{cfg: cfg, pool: pool, sites: map[string]*siteSums{}, columns: make([]vmath.Columns, pool.Threads())}
	for _, s := range arch.Sites() {
		n := cfg.SiteWidth(s)
		z := &siteSums{width: n, sum: make([]float64, n), sumSq: make([]float64, n), sumAbs: make([]float64, n), maxAbs: make([]float64, n)}
		if moments {
			z.moments = NewMoments(n)
		}
		if gram {
			z.gram = make([]float64, n*n)
		}
		c.sites[s] = z
	}
	return c
}

// add takes the rows [T, width] of one window at one site. Column sums run over
// the window in order from zero and are then added, so they do not depend on
// how windows are batched.
func (c *collector) add(_ int, site string, rows []float32, width int) {
	z := c.sites[site]
	T := len(rows) / width
	const group = vmath.ColumnGroup
	c.pool.For((width+group-1)/group, func(worker, t int) {
		lo, hi := t*group, min(width, t*group+group)
		m := &c.columns[worker]
		*m = vmath.Columns{}
		vmath.AddColumns(m, rows[lo:], T, hi-lo, width)
		for j := range hi - lo {
			z.sum[lo+j] += m.Sum[j]
			z.sumSq[lo+j] += m.SumSq[j]
			z.sumAbs[lo+j] += m.SumAbs[j]
			if m.MaxAbs[j] > z.maxAbs[lo+j] || m.MaxAbs[j] != m.MaxAbs[j] {
				z.maxAbs[lo+j] = m.MaxAbs[j]
			}
		}
	})
	if z.moments != nil {
		z.moments.Add(c.pool, rows)
	}
	if z.gram != nil {
		c.pool.GramAdd(z.gram, rows, T, width)
	}
}

// check refuses statistics that are not finite: a method would turn them into
// nonsense that looks like a model.
func (c *collector) check() error {
	for _, s := range arch.Sites() {
		for j, v := range c.sites[s].sumSq {
			if v-v != 0 {
				return fmt.Errorf("the calibration inputs of site %s are not finite in channel %d: the model has diverged before this block", s, j)
			}
		}
	}
	return nil
}

func (c *collector) putNorms(b *artifact.Builder, count int) {
	for _, s := range arch.Sites() {
		z := c.sites[s]
		b.PutFloat64(s+".sum", []int{z.width}, z.sum)
		b.PutFloat64(s+".sum_sq", []int{z.width}, z.sumSq)
		b.PutFloat64(s+".sum_abs", []int{z.width}, z.sumAbs)
		b.PutFloat64(s+".max_abs", []int{z.width}, z.maxAbs)
	}
	b.PutFloat64("count", []int{1}, []float64{float64(count)})
}

func (c *collector) putMoments(b *artifact.Builder) {
	for _, s := range arch.Sites() {
		z := c.sites[s]
		b.PutFloat64(s+".mean", []int{z.width}, z.moments.Mean)
		b.PutFloat64(s+".m2", []int{z.width}, z.moments.M2)
		b.PutFloat64(s+".count", []int{1}, []float64{z.moments.Count})
	}
}

func (c *collector) putGram(b *artifact.Builder) {
	for _, s := range arch.Sites() {
		z := c.sites[s]
		linalg.GramMirror(c.pool, z.gram, z.width)
		b.PutFloat64(s, []int{z.width, z.width}, z.gram)
	}
}

// Needs says which statistics a method wants.
type Needs struct {
	Norms, Moments, Gram bool
	// Gradient is a norm of each weight's gradient; see Job.Gradients.
	Gradient bool
}

// Any reports whether any statistics are wanted.
func (n Needs) Any() bool { return n.Norms || n.Moments || n.Gram || n.Gradient }

// Stats are references to a block's statistics.
type Stats struct {
	Norms, Moments, Gram action.Ref
	// Gradient is set by Job alone: it does not come from the walk.
	Gradient action.Ref
	// Hidden is the block's input.
	Hidden action.Ref
}

// Embed lowers the embedding of data's tokens by model.
func Embed(g *action.Graph, node string, m *passes.Model, d *passes.Data) action.Ref {
	cfg := m.Type.Config
	n := int64(d.Type.Windows) * int64(d.Type.SequenceLength)
	a := g.Add(action.Spec{Kernel: embedKernel, Params: ModelGeometry(cfg), Node: node, Label: "embedding",
		Inputs:  []action.Input{{Name: "embed", Ref: m.Embed}, {Name: "tokens", Ref: d.Tokens}},
		Outputs: []action.Output{{Name: "hidden", Class: action.Transient, Bytes: n * int64(cfg.Hidden) * 4}},
		Flops:   float64(n), Peak: n * int64(cfg.Hidden) * 4})
	return action.Ref{Action: a, Output: "hidden"}
}

// Walk lowers one block over hidden states. The references for which nothing
// was asked are not valid.
func Walk(g *action.Graph, node string, cfg *arch.Config, i int, block, hidden action.Ref, tokens int64, needs Needs, next bool, class action.Class) (st Stats, out action.Ref) {
	st.Hidden = hidden
	var outs []action.Output
	var gram int64
	geometry := BlockGeometry(cfg, i)
	cfg = cfg.At(i)
	for _, s := range arch.Sites() {
		w := int64(cfg.SiteWidth(s))
		gram += w * w * 8
	}
	if needs.Norms {
		outs = append(outs, action.Output{Name: "norms", Class: action.Durable, Bytes: int64(cfg.Hidden) * 8 * 16})
	}
	if needs.Moments {
		outs = append(outs, action.Output{Name: "moments", Class: action.Durable, Bytes: int64(2*cfg.Hidden+cfg.QDim()+cfg.Intermediate) * 16})
	}
	if needs.Gram {
		outs = append(outs, action.Output{Name: "gram", Class: action.Transient, Bytes: gram})
	}
	if next {
		outs = append(outs, action.Output{Name: "hidden", Class: class, Bytes: tokens * int64(cfg.Hidden) * 4})
	}
	params := BlockWeights(cfg)
	// Scratch of a batch of windows: residual, norms, q, k, v, heads' outputs
	// and the two halves of the MLP.
	scratch := int64(2048) * int64(4*cfg.Hidden+3*cfg.Intermediate+2*cfg.QDim()+2*cfg.KVDim()) * 4
	if cfg.Adapters.Any() {
		scratch += cfg.Adapters.Weights(cfg.Hidden)*4 + int64(2048)*int64(cfg.Hidden+cfg.Adapters.Width)*4
	}
	a := g.Add(action.Spec{Kernel: walkKernel, Params: geometry, Node: node, Label: fmt.Sprintf("block %d", i),
		Inputs:  []action.Input{{Name: "block", Ref: block}, {Name: "hidden", Ref: hidden}},
		Outputs: outs, Flops: 2 * float64(params) * float64(tokens), Peak: params*4 + scratch + tokens*int64(cfg.Hidden)*4})
	if needs.Norms {
		st.Norms = action.Ref{Action: a, Output: "norms"}
	}
	if needs.Moments {
		st.Moments = action.Ref{Action: a, Output: "moments"}
	}
	if needs.Gram {
		st.Gram = action.Ref{Action: a, Output: "gram"}
	}
	if next {
		out = action.Ref{Action: a, Output: "hidden"}
	}
	return st, out
}

// BlockWeights counts the weights of one block's linears.
func BlockWeights(cfg *arch.Config) int64 {
	var n int64
	for _, l := range cfg.Linears() {
		n += int64(l.Out) * int64(l.In)
	}
	return n
}
