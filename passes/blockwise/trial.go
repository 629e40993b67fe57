package blockwise

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes"
)

// A trial asks what the model says when one part of one block is compressed and
// nothing else. All trials of a block start from the hidden states that enter it
// and go on through the blocks behind it side by side, as if they were more
// windows, so that each of those blocks is decoded once for all of them.

// Probe is a method that can be tried on some layers at a level.
type Probe struct {
	// Needs are the statistics of the model as it is that the method wants.
	Needs Needs
	// Change lowers what the method makes of layers ls of block b at a level; s are
	// the block's statistics.
	Change func(g *action.Graph, node string, m *passes.Model, b int, s Stats, ls []*model.Linear, level float64) action.Ref
}

// Probe returns the method as trials use it; at gives a layer's arguments at a
// level.
func (m *Method[L]) Probe(at func(level float64) L) *Probe {
	return &Probe{Needs: m.Needs, Change: func(g *action.Graph, node string, md *passes.Model, b int, s Stats, ls []*model.Linear, level float64) action.Ref {
		work := make([]linearParams[L], len(ls))
		for i, l := range ls {
			work[i] = layerParams(l, at(level))
		}
		return action.Ref{Action: m.change(g, node, md.Type.Config, b, md.Blocks[b], s, work, action.Transient), Output: "block"}
	}}
}

// Trial is one part of a block in another form: Linears compressed at Level, none
// of them where the weights stay, and the inputs of layers rounded, unless nil.
type Trial struct {
	Linears  []*model.Linear
	Level    float64
	Rounding *Rounding
}

var spreadKernel = action.NewKernel("trial.spread", 1, func(c *action.Context, p spreadParams) error {
	cfg := p.Geometry.Config()
	in, windows, T, err := States(c.Input("hidden"))
	if err != nil {
		return err
	}
	out := make([]float32, 0, p.Trials*len(in))
	r := nn.NewRunner(cfg, c.Pool)
	defer r.Release()
	var weights Scratch
	defer weights.Give()
	for i := range p.Trials {
		weights.Give()
		b, err := weights.LoadForward(cfg, c.Input(trialInput(i)))
		if err != nil {
			return err
		}
		var round nn.Tap
		if p.Rounding != nil && p.Rounding[i] != nil {
			if round, err = p.Rounding[i].tap(c, c.In["norms"]); err != nil {
				return err
			}
		}
		out = append(out, in...)
		r.ForwardWindows(b, out[i*len(in):], windows, T, round, false)
		if err := c.Step(i+1, p.Trials); err != nil {
			return err
		}
	}
	c.Output("hidden").PutFloat32("hidden", []int{p.Trials * windows, T, p.Geometry.Hidden}, out)
	return nil
})

type spreadParams struct {
	Geometry Geometry `json:"geometry"`
	Trials   int      `json:"trials"`
	// Rounding is that of each trial, nil where no trial has any.
	Rounding []*Rounding `json:"rounding,omitempty"`
}

func trialInput(i int) string { return fmt.Sprintf("trial%d", i) }

// compareKernel measures how far the trials' outputs are from the model's: KL
// and the logits' mean squared difference, F64 [trials, windows], each the mean
// over a window's tokens.
var compareKernel = action.NewKernel("trial.compare", 1, func(c *action.Context, p spreadParams) error {
	dense, windows, T, err := States(c.Input("dense"))
	if err != nil {
		return err
	}
	all, _, _, err := States(c.Input("hidden"))
	if err != nil {
		return err
	}
	norm, head, err := Head(c, p.Geometry)
	if err != nil {
		return err
	}
	r := nn.NewRunner(p.Geometry.Config(), c.Pool)
	defer r.Release()
	kl, mse := make([]float64, p.Trials*windows), make([]float64, p.Trials*windows)
	others, k, m := make([][]float32, p.Trials), make([][]float64, p.Trials), make([][]float64, p.Trials)
	for i := range p.Trials {
		k[i], m[i] = make([]float64, T), make([]float64, T)
	}
	size := T * p.Geometry.Hidden
	for w := range windows {
		for i := range p.Trials {
			others[i] = all[(i*windows+w)*size : (i*windows+w+1)*size]
		}
		r.Divergence(norm, head, dense[w*size:(w+1)*size], T, others, k, m)
		for i := range p.Trials {
			kl[i*windows+w], mse[i*windows+w] = mean(k[i]), mean(m[i])
		}
		if err := c.Step(w+1, windows); err != nil {
			return err
		}
	}
	c.Output("distortion").PutFloat64("kl", []int{p.Trials, windows}, kl)
	c.Output("distortion").PutFloat64("logit_mse", []int{p.Trials, windows}, mse)
	return nil
})

func mean(x []float64) float64 {
	s := 0.0
	for _, v := range x {
		s += v
	}
	return s / float64(len(x))
}

// Tried are the hidden states after the last block, of the model as it is and of
// the trials of each block.
type Tried struct {
	Dense action.Ref
	// Trials [trials·windows, T, hidden] are those of each block, one trial after
	// the other; not valid where a block has none. Counts says how many they are.
	Trials []action.Ref
	Counts []int

	model *passes.Model
	data  *passes.Data
}

// Try lowers the trials that of lists for each block. Statistics that p wants are
// of the windows of d; ranges of fixed rounding are of the blocks' norms in
// ranges, nil where no trial has any.
func Try(g *action.Graph, node string, m *passes.Model, d *passes.Data, p *Probe, ranges []Stats, of func(block int) []Trial) Tried {
	cfg := m.Type.Config
	n := int64(d.Type.Windows) * int64(d.Type.SequenceLength)
	enter := make([]action.Ref, cfg.Layers+1)
	st := make([]Stats, cfg.Layers)
	trials := make([][]Trial, cfg.Layers)
	enter[0] = Embed(g, node, m, d)
	for b := range cfg.Layers {
		trials[b] = of(b)
		var needs Needs
		if len(trials[b]) > 0 {
			needs = p.Needs
		}
		st[b], enter[b+1] = Walk(g, node, cfg, b, m.Blocks[b], enter[b], n, needs, true, action.Transient)
	}
	out := Tried{Dense: enter[cfg.Layers], Trials: make([]action.Ref, cfg.Layers), Counts: make([]int, cfg.Layers), model: m, data: d}
	for b, ts := range trials {
		if len(ts) == 0 {
			continue
		}
		weights, count := BlockWeights(cfg.At(b)), int64(len(ts))
		bytes := count * n * int64(cfg.Hidden) * 4
		params := spreadParams{Geometry: BlockGeometry(cfg, b), Trials: len(ts)}
		in := []action.Input{{Name: "hidden", Ref: enter[b]}}
		fixed := false
		for i, t := range ts {
			block := m.Blocks[b]
			if len(t.Linears) > 0 {
				block = p.Change(g, node, m, b, st[b], t.Linears, t.Level)
			}
			in = append(in, action.Input{Name: trialInput(i), Ref: block})
			if t.Rounding != nil {
				if params.Rounding == nil {
					params.Rounding = make([]*Rounding, len(ts))
				}
				params.Rounding[i] = t.Rounding
				fixed = fixed || t.Rounding.Fixed
			}
		}
		if fixed {
			in = append(in, action.Input{Name: "norms", Ref: ranges[b].Norms})
		}
		a := g.Add(action.Spec{Kernel: spreadKernel, Params: params, Inputs: in, Node: node, Label: fmt.Sprintf("trials of block %d", b),
			Outputs: []action.Output{{Name: "hidden", Class: action.Transient, Bytes: bytes}},
			Flops:   2 * float64(weights) * float64(n*count), Peak: weights*4 + bytes})
		hidden := action.Ref{Action: a, Output: "hidden"}
		for i := b + 1; i < cfg.Layers; i++ {
			_, hidden = Walk(g, node, cfg, i, m.Blocks[i], hidden, n*count, Needs{}, true, action.Transient)
		}
		out.Trials[b], out.Counts[b] = hidden, len(ts)
	}
	return out
}

// Distortions lowers how far the trials' outputs are from the model's, and returns
// the leaves "kl" and "logit_mse", F64 [trials, windows], of each block that has
// trials.
func (t Tried) Distortions(g *action.Graph, node string) []action.Ref {
	cfg := t.model.Type.Config
	n := int64(t.data.Type.Windows) * int64(t.data.Type.SequenceLength)
	out := make([]action.Ref, len(t.Trials))
	for b, hidden := range t.Trials {
		if !hidden.Valid() {
			continue
		}
		count := int64(t.Counts[b])
		a := g.Add(action.Spec{Kernel: compareKernel, Params: spreadParams{Geometry: ModelGeometry(cfg), Trials: t.Counts[b]}, Node: node, Label: fmt.Sprintf("distortion of block %d", b),
			Inputs:  append([]action.Input{{Name: "hidden", Ref: hidden}, {Name: "dense", Ref: t.Dense}}, HeadInputs(t.model)...),
			Outputs: []action.Output{{Name: "distortion", Class: action.Durable, Bytes: count * int64(t.data.Type.Windows) * 16}},
			Flops:   2 * float64(n*(count+1)) * float64(cfg.Vocab) * float64(cfg.Hidden),
			Peak:    int64(cfg.Vocab)*int64(cfg.Hidden)*4 + 3*128*int64(cfg.Vocab)*4})
		out[b] = action.Ref{Action: a, Output: "distortion"}
	}
	return out
}
