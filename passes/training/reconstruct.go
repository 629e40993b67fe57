package training

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/internal/train"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// reconstructParams say how one block is fitted.
type reconstructParams struct {
	Geometry blockwise.Geometry `json:"geometry"`
	// Reference is the geometry of the reference's block where it is another:
	// it may have no biases.
	Reference *blockwise.Geometry `json:"reference,omitempty"`
	// Block is the block's number, which the start of its adapters depends on.
	Block     int           `json:"block"`
	Linears   []Linear      `json:"linears"`
	Biases    bool          `json:"biases,omitempty"`
	Norms     bool          `json:"norms,omitempty"`
	Init      train.Init    `json:"init,omitempty"`
	Seed      uint64        `json:"seed,omitempty"`
	Optimizer train.Setting `json:"optimizer"`
	Batch     int           `json:"batch"`
	Shuffle   bool          `json:"shuffle,omitempty"`
	Rates     []float64     `json:"rates"`
}

// reconstructKernel fits a block to what the reference's block makes of the
// same hidden states.
var reconstructKernel = action.NewKernel("train.reconstruct", 1, func(c *action.Context, p reconstructParams) error {
	cfg := p.Geometry.Config()
	in := c.Input("block")
	var weights blockwise.Scratch
	defer weights.Give()
	given, err := weights.Load(cfg, in)
	if err != nil {
		return err
	}
	refCfg := cfg
	if p.Reference != nil {
		refCfg = p.Reference.Config()
	}
	want, err := weights.Load(refCfg, c.Input("reference"))
	if err != nil {
		return err
	}
	x, windows, n, err := blockwise.States(c.Input("hidden"))
	if err != nil {
		return err
	}
	step := n * p.Geometry.Hidden
	plan := train.Plan{Biases: p.Biases, Norms: p.Norms, Init: p.Init, Seed: p.Seed}
	plans := map[string]train.LinearPlan{}
	for _, l := range p.Linears {
		lp, err := l.loadPlan(in)
		if err != nil {
			return err
		}
		plans[l.Name] = lp
	}
	plan.Linear = func(_ int, l arch.LinearSpec) train.LinearPlan { return plans[l.Name] }
	t, err := train.NewBlock(cfg, p.Block, given, plan, c.Pool, p.Optimizer.Optimizer)
	if err != nil {
		return err
	}
	run := nn.NewRunner(refCfg, c.Pool)
	defer run.Release()
	target := append([]float32(nil), x...)
	run.ForwardWindows(want, target, windows, n, nil, false)
	example := func(w int) train.Example {
		return train.Example{In: x[w*step : (w+1)*step], Out: target[w*step : (w+1)*step]}
	}
	all := make([]train.Example, windows)
	for w := range all {
		all[w] = example(w)
	}
	before, err := t.Loss(all)
	if err != nil {
		return err
	}
	order := func(k int) int {
		if p.Shuffle {
			return rng.New(p.Seed, fmt.Sprintf("train.order %d", k/windows)).Perm(windows)[k%windows]
		}
		return k % windows
	}
	for s, rate := range p.Rates {
		_, err := t.Run(c, s, s+1, func(s int) []train.Example {
			var b []train.Example
			for j := range p.Batch {
				b = append(b, all[order(s*p.Batch+j)])
			}
			return b
		}, func(int) float64 { return rate })
		var div *train.DivergedError
		if errors.As(err, &div) {
			return fmt.Errorf("%w", div)
		}
		if err != nil {
			return err
		}
		if err := c.Step(s+1, len(p.Rates)); err != nil {
			return err
		}
	}
	after, err := t.Loss(all)
	if err != nil {
		return err
	}
	out := c.Output("block")
	prefix := cfg.BlockPrefix(p.Block)
	replaced := map[string]bool{}
	err = t.Merged(func(name string, shape []int, data []float32) error {
		leaf := name[len(prefix):]
		replaced[leaf] = true
		out.PutFloat32(leaf, shape, data)
		return nil
	})
	if err != nil {
		return err
	}
	out.CopyExcept(in, func(leaf string) bool { return replaced[leaf] })
	return c.Output("report").PutJSON("report", map[string]map[string]float64{"reconstruction": {"mse_before": before, "mse_after": after}})
})

// Reconstruct lowers the walk that fits each block to the reference's, given
// the hidden states that the blocks fitted before it make.
func (j Job) Reconstruct(g *action.Graph, reference *passes.Model, next *passes.Model) (reports []passes.LayerReport) {
	cfg := j.Model.Type.Config
	tokens := int64(j.Data.Type.Windows) * int64(j.Data.Type.SequenceLength)
	hidden := blockwise.Embed(g, j.Node, j.Model, j.Data)
	next.Blocks = append([]action.Ref(nil), j.Model.Blocks...)
	for b := range j.Model.Blocks {
		weights := int64(0)
		for _, l := range cfg.At(b).Linears() {
			weights += int64(l.Out) * int64(l.In)
		}
		p := reconstructParams{Geometry: blockwise.BlockGeometry(cfg, b), Block: b, Linears: j.Spec.Linears[b], Biases: j.Spec.Biases, Norms: j.Spec.Norms,
			Init: j.Spec.Init, Seed: j.Spec.Seed, Optimizer: j.Spec.Optimizer, Batch: j.Spec.Batch, Shuffle: j.Spec.Shuffle}
		if ref := blockwise.BlockGeometry(reference.Type.Config, b); !reflect.DeepEqual(ref, p.Geometry) {
			p.Reference = &ref
		}
		for s := range j.Steps {
			p.Rates = append(p.Rates, j.Schedule.At(s))
		}
		a := g.Add(action.Spec{Kernel: reconstructKernel, Params: p, Node: j.Node, Label: fmt.Sprintf("block %d", b),
			Inputs:  []action.Input{{Name: "block", Ref: j.Model.Blocks[b]}, {Name: "reference", Ref: reference.Blocks[b]}, {Name: "hidden", Ref: hidden}},
			Outputs: []action.Output{{Name: "block", Class: action.Durable, Bytes: weights * 4}, {Name: "report", Class: action.Durable, Bytes: 4096}},
			Flops:   6 * float64(weights) * float64(j.Steps*j.Spec.Batch*j.Data.Type.SequenceLength), Peak: weights*12 + tokens*int64(cfg.Hidden)*4 + 64<<20})
		next.Blocks[b] = action.Ref{Action: a, Output: "block"}
		reports = append(reports, passes.LayerReport{Block: b, Ref: action.Ref{Action: a, Output: "report"}})
		if b < len(j.Model.Blocks)-1 {
			_, hidden = blockwise.Walk(g, j.Node, cfg, b, next.Blocks[b], hidden, tokens, blockwise.Needs{}, true, action.Checkpoint)
		}
	}
	return reports
}
