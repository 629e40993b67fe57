package blockwise

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes"
)

// Gradients of the loss are taken window by window: at a trained model those of
// all windows together are near nothing, and what is wanted is how much single
// windows pull at a weight. The loss of a window is the mean over its predicted
// tokens, so that it does not grow with the window's length.
//
// The forward pass leaves the hidden states that enter each block; then the
// gradient at the head goes back block by block. An action of a block has that
// block in memory, one window's activations, one layer's gradient, and a sum for
// each weight of the block.

// headGradientKernel yields the gradient of each window's loss at the last block's
// output, leaf hidden, [windows, T, hidden]. A window whose loss or gradient is
// not finite is NaN throughout, here and in the blocks below.
var headGradientKernel = action.NewKernel("gradient.head", 1, func(c *action.Context, g Geometry) error {
	x, windows, T, err := States(c.Input("hidden"))
	if err != nil {
		return err
	}
	ids, err := c.Input("tokens").Int32("tokens")
	if err != nil {
		return err
	}
	norm, head, err := Head(c, g)
	if err != nil {
		return err
	}
	r := nn.NewRunner(g.Config(), c.Pool)
	out := make([]float32, len(x))
	targets := make([]int32, T)
	size := T * g.Hidden
	for w := range windows {
		copy(targets, ids[w*T+1:(w+1)*T])
		targets[T-1] = -1
		d := out[w*size : (w+1)*size]
		loss := r.Loss(norm, head, x[w*size:(w+1)*size], T, targets, 1/float32(T-1), d, nil)
		if loss-loss != 0 || !finite(d) {
			spoil(d)
		}
		if err := c.Step(w+1, windows); err != nil {
			return err
		}
	}
	c.Output("gradient").PutFloat32("hidden", []int{windows, T, g.Hidden}, out)
	return nil
})

// blockGradientKernel takes the gradient at a block's output to its input. Outputs
// as asked for: gradient; l1 and l2, for each linear of the block the norm over
// windows of each weight's gradient, F32 [out, in], how many windows there were,
// "windows", and which of them did not count, "NAME.skipped".
var blockGradientKernel = action.NewKernel("gradient.block", 1, func(c *action.Context, g Geometry) error {
	cfg := g.Config()
	x, windows, T, err := States(c.Input("hidden"))
	if err != nil {
		return err
	}
	above, _, _, err := States(c.Input("gradient"))
	if err != nil {
		return err
	}
	var weights Scratch
	defer weights.Give()
	b, err := weights.Load(cfg, c.Input("block"))
	if err != nil {
		return err
	}
	want := &nn.BlockGrad{}
	var sums []*gradientNorms
	for _, l := range cfg.Linears() {
		if !c.Wants("l1") && !c.Wants("l2") {
			break
		}
		s := newGradientNorms(c.Pool, l.Out*l.In, c.Wants("l1"), c.Wants("l2"))
		want.Linears[nn.LinearIndex(l.Name)].Weight = s.add
		sums = append(sums, s)
	}
	r := nn.NewRunner(cfg, c.Pool)
	var tape nn.Tape
	size := T * g.Hidden
	out := make([]float32, len(above))
	scratch := make([]float32, size)
	for w := range windows {
		d := out[w*size : (w+1)*size]
		copy(d, above[w*size:])
		if d[0] == d[0] {
			copy(scratch, x[w*size:])
			r.ForwardTape(b, scratch, T, &tape)
			r.Backward(b, &tape, d, want)
			if !finite(d) {
				spoil(d)
			}
		} else {
			for _, s := range sums {
				s.skipped++
			}
		}
		if err := c.Step(w+1, windows); err != nil {
			return err
		}
	}
	if c.Wants("gradient") {
		c.Output("gradient").PutFloat32("hidden", []int{windows, T, g.Hidden}, out)
	}
	for i, l := range cfg.Linears() {
		if sums == nil {
			break
		}
		s := sums[i]
		if s.skipped == windows {
			return fmt.Errorf("%s has no finite gradient in any of the %d windows: the model has diverged", l.Name, windows)
		}
		for _, norm := range s.norms() {
			o := c.Output(norm.name)
			o.PutFloat32(l.Name, []int{l.Out, l.In}, norm.values)
			o.PutInt32(l.Name+skippedLeaf, []int{1}, []int32{int32(s.skipped)})
			if i == 0 {
				o.PutInt32(windowsLeaf, []int{1}, []int32{int32(windows)})
			}
		}
	}
	return nil
})

const (
	skippedLeaf = ".skipped"
	windowsLeaf = "windows"
)

func finite(x []float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

func spoil(x []float32) {
	for i := range x {
		x[i] = float32(math.NaN())
	}
}

// gradientNorms adds up the gradients of one layer, a window at a time, in
// float64: squares of small gradients would vanish in float32.
type gradientNorms struct {
	pool    *linalg.Pool
	l1, l2  []float64 // Σ|g| and Σg², nil where not wanted
	skipped int
}

func newGradientNorms(pool *linalg.Pool, n int, l1, l2 bool) *gradientNorms {
	s := &gradientNorms{pool: pool}
	if l1 {
		s.l1 = make([]float64, n)
	}
	if l2 {
		s.l2 = make([]float64, n)
	}
	return s
}

// add takes one window's gradient, unless it is not finite.
func (s *gradientNorms) add(g []float32) {
	if !finite(g) {
		s.skipped++
		return
	}
	const chunk = 1 << 14
	s.pool.For((len(g)+chunk-1)/chunk, func(_, t int) {
		lo, hi := t*chunk, min(len(g), (t+1)*chunk)
		if s.l1 != nil {
			sum := s.l1[lo:hi]
			for i, x := range g[lo:hi] {
				sum[i] += math.Abs(float64(x))
			}
		}
		if s.l2 != nil {
			sum := s.l2[lo:hi]
			for i, x := range g[lo:hi] {
				sum[i] += float64(float64(x) * float64(x))
			}
		}
	})
}

type gradientNorm struct {
	name   string
	values []float32
}

func (s *gradientNorms) norms() (out []gradientNorm) {
	if s.l1 != nil {
		v := make([]float32, len(s.l1))
		for i, x := range s.l1 {
			v[i] = float32(x)
		}
		out = append(out, gradientNorm{"l1", v})
	}
	if s.l2 != nil {
		v := make([]float32, len(s.l2))
		for i, x := range s.l2 {
			v[i] = float32(math.Sqrt(x))
		}
		out = append(out, gradientNorm{"l2", v})
	}
	return out
}

// Gradients lowers the backward pass of a model as it is, and returns the norms
// "l1" or "l2" over windows of the gradients of all linears of the blocks that want
// them. Nothing but the model, the data and the norm is part of them. Windows have
// two tokens or more.
func Gradients(g *action.Graph, node string, m *passes.Model, d *passes.Data, norm string, wants func(block int) bool) []action.Ref {
	cfg := m.Type.Config
	out := make([]action.Ref, cfg.Layers)
	lowest := 0
	for lowest < cfg.Layers && !wants(lowest) {
		lowest++
	}
	if lowest == cfg.Layers {
		return out
	}
	T := int64(d.Type.SequenceLength)
	tokens := int64(d.Type.Windows) * T
	states := tokens * int64(cfg.Hidden) * 4
	enter := make([]action.Ref, cfg.Layers+1)
	enter[0] = Embed(g, node, m, d)
	for b := range cfg.Layers {
		// They wait for the way back, in the store and not in memory.
		_, enter[b+1] = Walk(g, node, cfg, b, m.Blocks[b], enter[b], tokens, Needs{}, true, action.Checkpoint)
	}
	in := append([]action.Input{{Name: "hidden", Ref: enter[cfg.Layers]}, {Name: "tokens", Ref: d.Tokens}}, HeadInputs(m)...)
	gradient := action.Output{Name: "gradient", Class: action.Checkpoint, Bytes: states}
	a := g.Add(action.Spec{Kernel: headGradientKernel, Params: ModelGeometry(cfg), Inputs: in, Node: node, Label: "gradient of the head",
		Outputs: []action.Output{gradient},
		Flops:   6 * float64(tokens) * float64(cfg.Vocab) * float64(cfg.Hidden),
		Peak:    int64(cfg.Vocab)*int64(cfg.Hidden)*4 + 2*min(T, 512)*int64(cfg.Vocab)*4 + states})
	for b := cfg.Layers - 1; b >= lowest; b-- {
		c := cfg.At(b)
		weights := BlockWeights(c)
		var outs []action.Output
		if b > lowest {
			outs = append(outs, gradient)
		}
		if wants(b) {
			outs = append(outs, action.Output{Name: norm, Class: action.Durable, Bytes: weights * 4})
		}
		next := g.Add(action.Spec{Kernel: blockGradientKernel, Params: BlockGeometry(cfg, b), Node: node, Label: fmt.Sprintf("gradients of block %d", b),
			Inputs:  []action.Input{{Name: "block", Ref: m.Blocks[b]}, {Name: "hidden", Ref: enter[b]}, {Name: "gradient", Ref: action.Ref{Action: a, Output: "gradient"}}},
			Outputs: outs, Flops: 6 * float64(weights) * float64(tokens), Peak: weights*20 + 2*nn.TapeBytes(c, int(T)) + states})
		if wants(b) {
			out[b] = action.Ref{Action: next, Output: norm}
		}
		a = next
	}
	return out
}
