package allocate

import (
	"math"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/prune"
	"github.com/compressc/compressc/passes/quantize"
)

// RDArgs are the arguments of allocate "rd".
type RDArgs struct {
	Model      *passes.Model `arg:"model" doc:"the model to compress"`
	Data       *passes.Data  `arg:"data" doc:"text that the distortion is measured on; not the text of an evaluation"`
	Sparsity   float64       `arg:"sparsity" optional:"true" above:"0" below:"1" doc:"fraction of all weights to remove; give this or bits" example:"0.5"`
	Bits       float64       `arg:"bits" optional:"true" above:"0" max:"8" doc:"mean bits of a weight, scales and zero points counted; give this or sparsity"`
	Unit       string        `arg:"unit" default:"half" enum:"linear|half|block" doc:"what gets one level: a linear layer, the attention or the MLP of a block, or a block"`
	Levels     []float64     `arg:"grid" optional:"true" doc:"levels to choose from, ascending: fractions, 0 is always among them ([0.2, 0.3, …, 0.8] by default), or bits of a code ([2, 3, 4, 8])"`
	Scorer     string        `arg:"scorer" default:"auto" enum:"auto|magnitude|wanda|rtn" doc:"how a unit is compressed to measure its curve: magnitude or wanda for a sparsity, rtn for bits; auto is magnitude or rtn"`
	Distortion string        `arg:"distortion" default:"kl" enum:"kl|logit_mse" doc:"distance from the model's own output: KL divergence of a token, or mean squared difference of the logits"`
	Aggregate  string        `arg:"aggregate" default:"mean" enum:"mean|max" doc:"over windows"`
	Tokens     int           `arg:"tokens" default:"256" min:"1" doc:"how many tokens of the data to measure on: its first windows, or the beginning of the first"`
	Quanta     int           `arg:"quanta" default:"20000" min:"1" max:"1000000" doc:"the most steps that the budget is counted in"`
	GroupSize  int           `arg:"group_size" default:"128" min:"-1" doc:"of bits: inputs that share a scale; -1 is the whole row"`
	Symmetric  bool          `arg:"symmetric" default:"true" doc:"of bits: zero point in the middle of the codes"`
	ScaleDType string        `arg:"scale_dtype" default:"f16" enum:"f16|f32" doc:"of bits: how scales are stored"`
	blockwise.Target
}

// of says what is allocated.
func (a *RDArgs) of() string {
	if a.Bits > 0 {
		return "bits"
	}
	return "sparsity"
}

func (a *RDArgs) target() float64 {
	if a.Bits > 0 {
		return a.Bits
	}
	return a.Sparsity
}

// levels are those that are measured, from the mildest to the harshest.
func (a *RDArgs) levels() []float64 {
	l := slices.Clone(a.Levels)
	if a.of() == "bits" {
		if len(l) == 0 {
			l = []float64{2, 3, 4, 8}
		}
		slices.Reverse(l)
		return l
	}
	if len(l) == 0 {
		return []float64{0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}
	}
	if l[0] == 0 {
		l = l[1:]
	}
	return l
}

func (a *RDArgs) spec(bits float64) grid.Spec {
	return grid.Spec{Bits: int(bits), GroupSize: a.GroupSize, Symmetric: a.Symmetric, ScaleDType: grid.ScaleDType(a.ScaleDType)}
}

func (a *RDArgs) scorer() string {
	switch {
	case a.Scorer != "auto":
		return a.Scorer
	case a.of() == "bits":
		return "rtn"
	}
	return "magnitude"
}

func (a *RDArgs) probe() *blockwise.Probe {
	if a.of() == "bits" {
		return quantize.Probe(a.spec)
	}
	return prune.Probe(a.scorer())
}

// millionths is how finely fractions are counted.
const millionths = 1_000_000

// cost is what layers take at a level: weights kept, in millionths of a weight,
// or bits.
func (a *RDArgs) cost(ls []*model.Linear, level float64) (c int64) {
	for _, l := range ls {
		if a.of() == "bits" {
			c += a.spec(level).StorageBits(l.Out, l.In)
		} else {
			c += int64(l.Out) * int64(l.In) * (millionths - int64(math.Round(float64(level*millionths))))
		}
	}
	return c
}

func (a *RDArgs) budget(ls []*model.Linear) int64 {
	n := int64(0)
	for _, l := range ls {
		n += int64(l.Out) * int64(l.In)
	}
	if a.of() == "bits" {
		return int64(math.Floor(float64(float64(n) * a.Bits)))
	}
	return n * (millionths - int64(math.Round(float64(a.Sparsity*millionths))))
}

// unit is a set of layers of one block that get one level.
type unit struct {
	name    string
	linears []*model.Linear
}

// units of the selected layers, block by block.
func (a *RDArgs) units(ty *model.Type) [][]unit {
	out := make([][]unit, ty.Config.Layers)
	for b := range out {
		for _, l := range ty.Block(b) {
			if !a.Selects(l) {
				continue
			}
			name := l.Path
			switch a.Unit {
			case "half":
				name = l.Path[:strings.LastIndexByte(l.Path, '.')]
			case "block":
				name = strings.TrimSuffix(strings.TrimSuffix(l.Path, l.Name), ".")
			}
			i := slices.IndexFunc(out[b], func(u unit) bool { return u.name == name })
			if i < 0 {
				i = len(out[b])
				out[b] = append(out[b], unit{name: name})
			}
			out[b][i].linears = append(out[b][i].linears, l)
		}
	}
	return out
}

func (a *RDArgs) selected(ty *model.Type) (ls []*model.Linear) {
	for _, l := range ty.Linears {
		if a.Selects(l) {
			ls = append(ls, l)
		}
	}
	return ls
}

// RD measures for every unit what the model's output suffers at each level when
// the unit alone is compressed, takes these distortions as additive, and finds
// the levels of least sum within the budget by dynamic programming.
//
// Xu et al. 2023, arXiv:2308.10438, with KL divergence as the distortion.
var RD = &passes.Pass{
	Verb: "allocate", Method: "rd",
	Summary: "A level for each unit by measured distortions and dynamic programming.",
	Doc: `Every unit is compressed alone at every level, and what that does to the model's
output is measured on a few hundred tokens: the unit's curve. The sum of the
curves is what an allocation is predicted to cost; the allocation of least sum
within the budget is found exactly. Another sparsity, another quantiser or pruner
uses the same curves.

Give the result to pruners or quantisers as ` + "`allocation = allocate.NAME`" + `.`,
	Paper:   "Xu et al. 2023, Efficient Joint Optimization of Layer-Adaptive Weight Pruning in Deep Neural Networks, arXiv:2308.10438",
	NewArgs: func() any { return &RDArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*RDArgs)
		ds := a.check()
		al := &passes.Allocation{From: c.Node, Of: a.of(), Total: a.target(), Layers: map[string]bool{}}
		r := passes.Result{Allocation: al, Report: &passes.Report{Metrics: []passes.Metric{
			{Name: "predicted", Doc: "sum of the distortions of the levels chosen"},
			{Name: "uniform", Doc: "the same for the mildest level for all that is within the budget"},
			{Name: "total", Doc: "what the levels chosen come to over all weights"},
		}}}
		if a.Model.Type == nil || ds.HasErrors() {
			return r, ds
		}
		al.Type = a.Model.Type
		ds = append(ds, a.Target.Check(al.Type)...)
		ls := a.selected(al.Type)
		for _, l := range ls {
			al.Layers[l.Path] = true
			if a.of() != "bits" {
				continue
			}
			if err := a.spec(a.levels()[0]).Validate(l.In); err != nil {
				ds.Errorf("group_size", "Group size does not divide", "%s: %v.", l.Path, err)
				return r, ds
			}
		}
		if len(ls) == 0 {
			return r, ds
		}
		levels := a.levels()
		if hardest := levels[len(levels)-1]; a.cost(ls, hardest) > a.budget(ls) {
			n := a.budget(ls)
			reach := float64(a.cost(ls, hardest)) / float64(n) * a.target()
			if a.of() == "sparsity" {
				reach = hardest
			}
			ds.Errorf(a.of(), "Budget out of reach", "With every unit at the last level of the grid, %v, the layers come to %.4g, not %v. Ask for less, or extend the grid.", hardest, reach, a.target())
		}
		return r, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		return c.Args.(*RDArgs).lower(c.Node, g, r)
	},
}

// check reports what is wrong with the arguments by themselves.
func (a *RDArgs) check() (ds diag.List) {
	switch {
	case a.Sparsity > 0 && a.Bits > 0:
		ds.Errorf("bits", "Two budgets", "An allocation distributes a sparsity or bits. Remove one of the two, and give the other to a block of its own.")
		return ds
	case a.Sparsity == 0 && a.Bits == 0:
		ds.Errorf("", "No budget", "Give sparsity, the fraction of all weights to remove, or bits, the mean bits of a weight.")
		return ds
	}
	if s := a.scorer(); (s == "rtn") != (a.of() == "bits") {
		ds.Errorf("scorer", "Scorer of something else", "scorer = %q measures %s, and the budget is one of %s.", s, map[bool]string{true: "bits", false: "sparsity"}[s == "rtn"], a.of())
	}
	for i, l := range a.Levels {
		bad := l < 0 || l >= 1
		if a.of() == "bits" {
			bad = l != 2 && l != 3 && l != 4 && l != 8
		}
		if bad || i > 0 && l <= a.Levels[i-1] {
			ds.Errorf("grid", "Invalid grid", "Levels ascend; they are fractions from 0 to below 1 of a sparsity, and 2, 3, 4 or 8 of bits. %v is out of place.", l)
			break
		}
	}
	if a.of() == "sparsity" && len(a.Levels) == 1 && a.Levels[0] == 0 {
		ds.Errorf("grid", "Invalid grid", "The grid [0] leaves nothing to choose.")
	}
	return ds
}

func (a *RDArgs) lower(node string, g *action.Graph, r passes.Result) passes.Result {
	ty := a.Model.Type
	units, levels := a.units(ty), a.levels()
	d := leading(g, node, a.Data, a.Tokens)
	tried := blockwise.Try(g, node, a.Model, d, a.probe(), nil, func(b int) (ts []blockwise.Trial) {
		for _, u := range units[b] {
			for _, l := range levels {
				ts = append(ts, blockwise.Trial{Linears: u.linears, Level: l})
			}
		}
		return ts
	})
	curves := tried.Distortions(g, node)
	p := decideParams{Of: a.of(), Levels: levels, Distortion: a.Distortion, Aggregate: a.Aggregate,
		Budget: a.budget(a.selected(ty)), Quanta: int64(a.Quanta)}
	for b, us := range units {
		for _, u := range us {
			q := decideUnit{Name: u.name, Block: b}
			for _, l := range u.linears {
				q.Layers = append(q.Layers, l.Name)
				q.Weights += int64(l.Out) * int64(l.In)
			}
			if p.Of == "sparsity" {
				q.Costs = append(q.Costs, a.cost(u.linears, 0))
			}
			for _, l := range levels {
				q.Costs = append(q.Costs, a.cost(u.linears, l))
			}
			p.Units = append(p.Units, q)
		}
	}
	al := *r.Allocation
	var act *action.Action
	act, al.Blocks = blockwise.Decision{Kernel: decideKernel, Params: p, Summaries: curves, Node: node, Label: "decision",
		ShareBytes: 1024, More: []action.Output{{Name: "report", Class: action.Durable, Bytes: 1 << 16}},
		Flops: 4 * float64(len(p.Units)) * float64(a.Quanta) * float64(len(levels)), Peak: int64(len(p.Units)) * int64(a.Quanta)}.Lower(g)
	rep := *r.Report
	rep.Ref = action.Ref{Action: act, Output: "report"}
	r.Allocation, r.Report = &al, &rep
	return r
}
