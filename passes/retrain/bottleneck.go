package retrain

import (
	"fmt"

	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/training"
)

// Switch is a bool whose default depends on other arguments.
type Switch string

// ArgType names the type in documentation.
func (Switch) ArgType() string { return "bool" }

// ParseArg reads true or false.
func (s *Switch) ParseArg(v cty.Value) error {
	if v.Type() != cty.Bool {
		return fmt.Errorf("expected true or false")
	}
	*s = Switch(fmt.Sprint(v.True()))
	return nil
}

// or is the switch, or what it is where nothing is said.
func (s Switch) or(usual bool) bool {
	if s == "" {
		return usual
	}
	return s == "true"
}

// bottleneckRate is the paper's.
const bottleneckRate = 3e-3

// bottleneckReduction is the paper's ratio of the stream's width to the
// bottleneck's.
const bottleneckReduction = 32

// adapters are those that the arguments ask for beside a stream of hidden entries.
func (a *CompacterArgs) adapters(hidden int) arch.Adapters {
	width := a.Bottleneck
	if width == 0 {
		width = max(a.N, hidden/bottleneckReduction/a.N*a.N)
	}
	return arch.Adapters{Placement: a.Placement, Order: a.N, Width: width, Rank: a.Rank}
}

// bottlenecksOf is the type rule of adapters that stay beside the weights.
func (a *CompacterArgs) bottlenecksOf(node string) (passes.Result, diag.List) {
	out := &passes.Model{From: node}
	res := passes.Result{Model: out}
	ds := a.Run.Check(a.Data.Type.SequenceLength)
	if a.Merge != "" {
		ds.Errorf("merge", "Argument has no effect", "With placement = %q adapters stand behind the sublayers, and nothing is merged into weights. Remove merge, or use placement = \"delta\".", a.Placement)
	}
	if len(a.Targets) > 0 {
		ds.Errorf("targets", "Argument has no effect", "With placement = %q no linear layer is changed. Remove targets, or use placement = \"delta\".", a.Placement)
	}
	if a.Model.Type == nil {
		return res, ds
	}
	old := a.Model.Type.Config
	if old.Adapters.Any() {
		ds.Errorf("model", "Adapters already", "%s has adapters behind its sublayers since %s, and a sublayer has one. Train the model from before them, or change its weights with retrain \"lora\" or placement = \"delta\", which leave them in place.", a.Model.From, a.Model.Type.AdaptedBy)
		ds.Since(a.Model.Type.AdaptedBy)
	}
	with := a.adapters(old.Hidden)
	switch {
	case old.Hidden%a.N != 0:
		ds.Errorf("n", "Products do not divide the stream", "The residual stream of %s has %d entries, which %d does not divide. Use a divisor of it.", a.Model.From, old.Hidden, a.N)
	case with.Width%a.N != 0:
		ds.Errorf("bottleneck", "Products do not divide the bottleneck", "A bottleneck of %d is no multiple of n = %d. Use %d or %d.", with.Width, a.N, max(a.N, with.Width/a.N*a.N), (with.Width/a.N+1)*a.N)
	case with.Width > old.Hidden:
		ds.Errorf("bottleneck", "No bottleneck", "%d is more than the %d entries of the residual stream of %s. Use less.", with.Width, old.Hidden, a.Model.From)
	case a.Rank > with.Width/a.N:
		ds.Errorf("rank", "Rank is larger than the factor", "In %d products of a bottleneck of %d a factor has a rank of at most %d. Use a lower rank, or a wider bottleneck.", a.N, with.Width, with.Width/a.N)
	}
	ty, cfg := a.Model.Type.Clone(), *old
	cfg.Adapters = with
	ty.Config, ty.AdaptedBy = &cfg, node
	ty.OtherBytes += 4 * with.Parameters(cfg.Hidden, cfg.Layers)
	out.Type = ty
	return res, ds
}

// adaptersConfig says the adapters in config.json.
var adaptersConfig = action.NewKernel("retrain.compacter.config", 1, func(c *action.Context, p arch.Adapters) error {
	return blockwise.PutConfig(c, func(cfg *arch.Config) *arch.Config {
		cfg.Adapters = p
		return cfg
	})
})

// lowerBottlenecks trains adapters and puts them into the blocks.
func (a *CompacterArgs) lowerBottlenecks(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
	j := training.Job{Node: c.Node, Model: a.Model, Data: a.Data, Spec: training.NewSpec(a.Model.Type.Config)}
	a.Run.Apply(&j, bottleneckRate, c.Seed)
	j.Spec.Adapters, j.Spec.Norms = r.Model.Type.Config.Adapters, a.Norms.or(true)
	next := *a.Model
	next.Type, next.From = r.Model.Type, c.Node
	layers, logs := j.Merge(g, &next)
	config := g.Add(action.Spec{Kernel: adaptersConfig, Params: j.Spec.Adapters, Node: c.Node, Label: "config",
		Inputs:  []action.Input{{Name: "config", Ref: a.Model.Config}},
		Outputs: []action.Output{{Name: "config", Class: action.Durable, Bytes: 4096}}, Flops: 1, Peak: 1 << 20})
	next.Config = action.Ref{Action: config, Output: "config"}
	return passes.Result{Model: &next, Layers: layers, Logs: logs}
}
