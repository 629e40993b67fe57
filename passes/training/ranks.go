package training

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/train"
	"github.com/compressc/compressc/passes"
)

// ranksParams are the linears of each block with the names of their updates.
type ranksParams struct {
	Blocks []rankedBlock `json:"blocks"`
}

type rankedBlock struct {
	Block   int      `json:"block"`
	Prefix  string   `json:"prefix"`
	Linears []string `json:"linears"`
}

// ranksKernel tells what ranks a budget left: outputs block0…, each the leaf
// "report", linear → rank.
var ranksKernel = action.NewKernel("train.ranks", 1, func(c *action.Context, p ranksParams) error {
	st, err := readState(c.Input("state"), false)
	if err != nil {
		return err
	}
	ranks := train.Ranks(st)
	for _, b := range p.Blocks {
		report := map[string]map[string]float64{}
		for _, l := range b.Linears {
			n, ok := ranks[b.Prefix+l]
			if !ok {
				return fmt.Errorf("the state holds no update of %s%s", b.Prefix, l)
			}
			report[l] = map[string]float64{"rank": float64(n)}
		}
		if err := c.Output(blockInput(b.Block)).PutJSON("report", report); err != nil {
			return err
		}
	}
	return nil
})

// Ranks lowers a report of the ranks that the budget leaves in a final state; nil
// where the run has no budget.
func (j Job) Ranks(g *action.Graph, state action.Ref) (out []passes.LayerReport) {
	if j.Spec.Budget == nil {
		return nil
	}
	cfg := j.Model.Type.Config
	spec := action.Spec{Kernel: ranksKernel, Node: j.Node, Label: "ranks", Inputs: []action.Input{{Name: "state", Ref: state}}, Flops: 1e6, Peak: j.trained() * 4}
	var p ranksParams
	for b, ls := range j.Spec.Linears {
		if len(ls) == 0 {
			continue
		}
		block := rankedBlock{Block: b, Prefix: cfg.BlockPrefix(b)}
		for _, l := range ls {
			block.Linears = append(block.Linears, l.Name)
		}
		p.Blocks = append(p.Blocks, block)
		spec.Outputs = append(spec.Outputs, action.Output{Name: blockInput(b), Class: action.Durable, Bytes: 512})
	}
	spec.Params = p
	a := g.Add(spec)
	for _, b := range p.Blocks {
		out = append(out, passes.LayerReport{Block: b.Block, Ref: action.Ref{Action: a, Output: blockInput(b.Block)}})
	}
	return out
}
