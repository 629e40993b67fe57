package allocate

import (
	"math"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// decideUnit is a unit in the parameters of a decision; units are in the order of
// the blocks, and within a block in that of its curves.
type decideUnit struct {
	Name    string   `json:"name"`
	Block   int      `json:"block"`
	Layers  []string `json:"layers"`
	Weights int64    `json:"weights"`
	// Costs at the levels; of a sparsity, at nothing removed first.
	Costs []int64 `json:"costs"`
}

type decideParams struct {
	Of         string       `json:"of"`
	Levels     []float64    `json:"levels"`
	Units      []decideUnit `json:"units"`
	Distortion string       `json:"distortion"`
	Aggregate  string       `json:"aggregate"`
	Budget     int64        `json:"budget"`
	Quanta     int64        `json:"quanta"`
}

// RDReport is the JSON leaf "report" of allocate "rd".
type RDReport struct {
	Of string `json:"of"`
	// Total is what the chosen levels come to over all weights.
	Total float64 `json:"total"`
	// Predicted is the sum of the chosen levels' distortions, Uniform that of
	// the mildest level for all within the budget; null where one of them has
	// none that is finite.
	Predicted *float64     `json:"predicted"`
	Uniform   *float64     `json:"uniform"`
	Levels    []float64    `json:"levels"`
	Units     []UnitReport `json:"units"`
}

// UnitReport is one unit's share and curve.
type UnitReport struct {
	Name    string  `json:"name"`
	Weights int64   `json:"weights"`
	Level   float64 `json:"level"`
	// Curve holds the distortion at each of the report's levels; null is not
	// finite.
	Curve []*float64 `json:"curve"`
}

// decideKernel chooses the levels from all curves: the report, and for each block
// its layers' numbers.
var decideKernel = action.NewKernel("allocate.rd", 1, func(c *action.Context, p decideParams) error {
	pr := problem{Budget: p.Budget, Quanta: p.Quanta}
	levels := p.Levels
	if p.Of == "sparsity" {
		levels = append([]float64{0}, levels...)
	}
	rep := RDReport{Of: p.Of, Levels: levels}
	row, block := 0, -1
	for _, u := range p.Units {
		if u.Block != block {
			row, block = 0, u.Block
		}
		var d []float64
		if p.Of == "sparsity" {
			d = append(d, 0)
		}
		v := blockwise.Summary(c, u.Block)
		all, err := v.Float64(p.Distortion)
		if err != nil {
			return err
		}
		e, err := v.Entry(p.Distortion)
		if err != nil {
			return err
		}
		windows := e.Meta.Shape[1]
		for range p.Levels {
			d = append(d, aggregate(p.Aggregate, all[row*windows:(row+1)*windows]))
			row++
		}
		pr.Costs, pr.Distortions = append(pr.Costs, u.Costs), append(pr.Distortions, d)
	}
	chosen, err := pr.solve()
	if err != nil {
		return err
	}
	d := monotone(pr.Distortions)
	rep.Predicted = finite(total(d, chosen))
	if u := pr.uniform(); u != nil {
		rep.Uniform = finite(total(d, u))
	}
	cost, weights := int64(0), int64(0)
	shares := map[int]map[string]map[string]float64{}
	for i, u := range p.Units {
		x := levels[chosen[i]]
		cost += u.Costs[chosen[i]]
		weights += u.Weights
		r := UnitReport{Name: u.Name, Weights: u.Weights, Level: x}
		for _, y := range pr.Distortions[i] {
			r.Curve = append(r.Curve, finite(y))
		}
		rep.Units = append(rep.Units, r)
		if shares[u.Block] == nil {
			shares[u.Block] = map[string]map[string]float64{}
		}
		for _, l := range u.Layers {
			shares[u.Block][l] = map[string]float64{p.Of: x}
		}
	}
	if rep.Total = float64(cost) / float64(weights); p.Of == "sparsity" {
		rep.Total = 1 - float64(rep.Total/millionths)
	}
	for b, s := range shares {
		if err := blockwise.Share(c, b).PutJSON("report", s); err != nil {
			return err
		}
	}
	return c.Output("report").PutJSON("report", rep)
})

func aggregate(how string, x []float64) float64 {
	s, top := 0.0, math.Inf(-1)
	for _, v := range x {
		if v != v {
			return v
		}
		s += v
		top = max(top, v)
	}
	if how == "max" {
		return top
	}
	return s / float64(len(x))
}

// finite is x, nil where JSON cannot hold it or it stands for what is not finite.
func finite(x float64) *float64 {
	if !(math.Abs(x) < unreachable) {
		return nil
	}
	return &x
}

type leadingParams struct {
	Windows int `json:"windows"`
	Length  int `json:"length"`
}

// leadingKernel takes the first tokens of the first windows.
var leadingKernel = action.NewKernel("data.leading", 1, func(c *action.Context, p leadingParams) error {
	ids, err := c.Input("tokens").Int32("tokens")
	if err != nil {
		return err
	}
	e, err := c.Input("tokens").Entry("tokens")
	if err != nil {
		return err
	}
	out := make([]int32, 0, p.Windows*p.Length)
	for w := range p.Windows {
		from := w * e.Meta.Shape[1]
		out = append(out, ids[from:from+p.Length]...)
	}
	c.Output("tokens").PutInt32("tokens", []int{p.Windows, p.Length}, out)
	return nil
})

// leading lowers the first tokens of d: as many whole windows as they make, or
// the beginning of the first window where they make none.
func leading(g *action.Graph, node string, d *passes.Data, tokens int) *passes.Data {
	p := leadingParams{Windows: min(d.Type.Windows, max(1, tokens/d.Type.SequenceLength)), Length: min(tokens, d.Type.SequenceLength)}
	if p.Windows == d.Type.Windows && p.Length == d.Type.SequenceLength {
		return d
	}
	a := g.Add(action.Spec{Kernel: leadingKernel, Params: p, Inputs: []action.Input{{Name: "tokens", Ref: d.Tokens}}, Node: node, Label: "windows",
		Outputs: []action.Output{{Name: "tokens", Class: action.Durable, Bytes: int64(p.Windows) * int64(p.Length) * 4}}})
	short := *d
	short.Type.Windows, short.Type.SequenceLength, short.Type.WindowDigests = p.Windows, p.Length, nil
	short.Tokens = action.Ref{Action: a, Output: "tokens"}
	return &short
}
