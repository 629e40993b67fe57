package transform

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// Verified are the arguments of transformations that can be held against the
// model they began with. Methods embed it.
type Verified struct {
	Verify    *passes.Data `arg:"verify" optional:"true" doc:"windows on which the logits of both models are compared; the run fails where they differ by more than tolerance"`
	Tolerance float64      `arg:"tolerance" default:"1e-4" above:"0" doc:"the largest difference of a logit that verify lets pass"`
}

type verifyParams struct {
	Before    blockwise.Geometry `json:"before"`
	After     blockwise.Geometry `json:"after"`
	Tolerance float64            `json:"tolerance"`
}

// verifySides begin the names of the two models' inputs.
var verifySides = [2]string{"before.", "after."}

// verifyLogits bounds the logits that are held of each model; how many rows that
// is changes no result.
const verifyLogits = 8 << 20

// verifyKernel compares logits, and fails where they differ too much.
var verifyKernel = action.NewKernel("transform.verify", 1, func(c *action.Context, p verifyParams) error {
	type side struct {
		run    *nn.Runner
		norm   []float32
		head   *nn.Linear
		x      []float32
		hidden int
	}
	var sides [2]side
	rows := 0
	for i, g := range []blockwise.Geometry{p.Before, p.After} {
		prefix := verifySides[i]
		x, windows, T, err := blockwise.States(c.Input(prefix + "hidden"))
		if err != nil {
			return err
		}
		norm, head, err := blockwise.HeadAt(c, g, prefix)
		if err != nil {
			return err
		}
		rows = windows * T
		sides[i] = side{nn.NewRunner(g.Config(), c.Pool), norm, head, x, g.Hidden}
	}
	step := max(1, min(rows, verifyLogits/p.Before.Vocab))
	most, same := 0.0, 0
	for lo := 0; lo < rows; lo += step {
		n := min(step, rows-lo)
		var logits [2][]float32
		for i, s := range sides {
			logits[i] = s.run.Logits(s.norm, s.head, s.x[lo*s.hidden:(lo+n)*s.hidden], n)
		}
		v := p.Before.Vocab
		for t := range n {
			a, b := logits[0][t*v:(t+1)*v], logits[1][t*v:(t+1)*v]
			topA, topB := 0, 0
			for j := range a {
				if d := math.Abs(float64(a[j]) - float64(b[j])); d > most || d != d {
					most = d
				}
				if a[j] > a[topA] {
					topA = j
				}
				if b[j] > b[topB] {
					topB = j
				}
			}
			if topA == topB {
				same++
			}
		}
		if err := c.Step(lo+n, rows); err != nil {
			return err
		}
	}
	if !(most <= p.Tolerance) {
		return fmt.Errorf("the logits differ by up to %.3g, and tolerance is %g: what the model computes moved by more than rounding; a larger tolerance lets it pass", most, p.Tolerance)
	}
	return c.Output("report").PutJSON("report", map[string]map[string]float64{
		"logits": {"largest_difference": most, "same_argmax": float64(same) / float64(rows)}})
})

// verifiedKernel yields its input "embed" once "check" is there.
var verifiedKernel = action.NewKernel("transform.verified", 1, func(c *action.Context, _ struct{}) error {
	c.Output("embed").CopyExcept(c.Input("embed"), func(string) bool { return false })
	return nil
})

// lower adds the comparison of the two models, if one is wanted. Whatever reads
// after's embedding then waits for it, and its bytes stay what they are.
func (v Verified) lower(node string, g *action.Graph, before, after *passes.Model) []passes.LayerReport {
	if v.Verify == nil {
		return nil
	}
	var in []action.Input
	old, now := before.Type.Config, after.Type.Config
	for i, m := range []*passes.Model{before, after} {
		prefix := verifySides[i]
		in = append(in, action.Input{Name: prefix + "hidden", Ref: blockwise.Through(g, node, m, v.Verify)})
		in = append(in, blockwise.HeadInputsAt(m, prefix)...)
	}
	tokens := int64(v.Verify.Type.Windows) * int64(v.Verify.Type.SequenceLength)
	weights := int64(old.Vocab) * int64(old.Hidden)
	check := g.Add(action.Spec{Kernel: verifyKernel, Node: node, Label: "verification", Inputs: in,
		Params:  verifyParams{blockwise.ModelGeometry(old), blockwise.ModelGeometry(now), v.Tolerance},
		Outputs: []action.Output{{Name: "report", Class: action.Durable, Bytes: 4096}},
		Flops:   float64(float64(4*weights) * float64(tokens)), Peak: 8*weights + 8*verifyLogits + 8*tokens*int64(old.Hidden)})
	bytes := int64(0)
	for _, t := range now.EmbedTensors() {
		bytes += t.Elements() * 4
	}
	gate := g.Add(action.Spec{Kernel: verifiedKernel, Params: struct{}{}, Node: node, Label: "verified",
		Inputs:  []action.Input{{Name: "check", Ref: action.Ref{Action: check, Output: "report"}}, {Name: "embed", Ref: after.Embed}},
		Outputs: []action.Output{{Name: "embed", Class: action.Durable, Bytes: bytes}}, Flops: 1, Peak: 1 << 20})
	after.Embed = action.Ref{Action: gate, Output: "embed"}
	return []passes.LayerReport{{Block: passes.Outside, Ref: action.Ref{Action: check, Output: "report"}}}
}
