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
	lower func(g *action.Graph, node string, m *passes.Model, b int, s Stats, ls []*model.Linear, level float64) action.Ref
}

// Probe returns the method as trials use it; at gives a layer's arguments at a
// level.
func (m *Method[L]) Probe(at func(level float64) L) *Probe {
	return &Probe{Needs: m.Needs, lower: func(g *action.Graph, node string, md *passes.Model, b int, s Stats, ls []*model.Linear, level float64) action.Ref {
		work := make([]linearParams[L], len(ls))
		for i, l := range ls {
			work[i] = layerParams(l, at(level))
		}
		return action.Ref{Action: m.change(g, node, md.Type.Config, b, md.Blocks[b], s, work, action.Transient), Output: "block"}
	}}
}

// Trial is one part of a block at one level.
type Trial struct {
	Linears []*model.Linear
	Level   float64
}

var spreadKernel = action.NewKernel("trial.spread", 1, func(c *action.Context, p spreadParams) error {
	cfg := p.Geometry.Config()
	in, windows, T, err := States(c.Input("hidden"))
	if err != nil {
		return err
	}
	out := make([]float32, 0, p.Trials*len(in))
	r := nn.NewRunner(cfg, c.Pool)
	for i := range p.Trials {
		b, err := LoadForward(cfg, c.Input(trialInput(i)))
		if err != nil {
			return err
		}
		out = append(out, in...)
		r.ForwardWindows(b, out[i*len(in):], windows, T, nil, false)
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

// Trials lowers, for each block, the trials that of lists, and returns the
// leaves "kl" and "logit_mse", F64 [trials, windows], of each block that has any.
// tokens is data as it is; statistics are of the same windows.
func Trials(g *action.Graph, node string, m *passes.Model, d *passes.Data, p *Probe, of func(block int) []Trial) []action.Ref {
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
	out := make([]action.Ref, cfg.Layers)
	for b, ts := range trials {
		if len(ts) == 0 {
			continue
		}
		params, count := BlockWeights(cfg.At(b)), int64(len(ts))
		bytes := count * n * int64(cfg.Hidden) * 4
		in := []action.Input{{Name: "hidden", Ref: enter[b]}}
		for i, t := range ts {
			in = append(in, action.Input{Name: trialInput(i), Ref: p.lower(g, node, m, b, st[b], t.Linears, t.Level)})
		}
		a := g.Add(action.Spec{Kernel: spreadKernel, Params: spreadParams{BlockGeometry(cfg, b), len(ts)}, Inputs: in, Node: node, Label: fmt.Sprintf("trials of block %d", b),
			Outputs: []action.Output{{Name: "hidden", Class: action.Transient, Bytes: bytes}},
			Flops:   2 * float64(params) * float64(n*count), Peak: params*4 + bytes})
		hidden := action.Ref{Action: a, Output: "hidden"}
		for i := b + 1; i < cfg.Layers; i++ {
			_, hidden = Walk(g, node, cfg, i, m.Blocks[i], hidden, n*count, Needs{}, true, action.Transient)
		}
		end := []action.Input{{Name: "hidden", Ref: hidden}, {Name: "dense", Ref: enter[cfg.Layers]}, {Name: "final", Ref: m.Final}}
		if cfg.Tied {
			end = append(end, action.Input{Name: "embed", Ref: m.Embed})
		}
		a = g.Add(action.Spec{Kernel: compareKernel, Params: spreadParams{ModelGeometry(cfg), len(ts)}, Inputs: end, Node: node, Label: fmt.Sprintf("distortion of block %d", b),
			Outputs: []action.Output{{Name: "distortion", Class: action.Durable, Bytes: count * int64(d.Type.Windows) * 16}},
			Flops:   2 * float64(n*(count+1)) * float64(cfg.Vocab) * float64(cfg.Hidden),
			Peak:    int64(cfg.Vocab)*int64(cfg.Hidden)*4 + 3*128*int64(cfg.Vocab)*4})
		out[b] = action.Ref{Action: a, Output: "distortion"}
	}
	return out
}
