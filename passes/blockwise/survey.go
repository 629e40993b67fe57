package blockwise

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
)

// Survey looks at linear layers and changes nothing: what it finds is the summary
// that a Decision is made from. L holds the arguments of one layer; what the
// decision's own arguments are (a sparsity, a budget) is no part of them, so that
// decisions share the survey.
type Survey[L any] struct {
	// Kernel names the action; Impl is its version.
	Kernel string
	Impl   int
	Needs  Needs
	// Linear puts leaves about one layer, named after w.Name, into out. w.W is
	// read only and the call's, and the report is not kept.
	Linear func(c *action.Context, w *Work, l L, out *artifact.Builder) error

	kernel *action.Kernel
}

// NewSurvey registers the survey's kernel.
func NewSurvey[L any](s Survey[L]) *Survey[L] {
	s.kernel = action.NewKernel(s.Kernel, s.Impl, func(c *action.Context, ls []linearParams[L]) error {
		var scratch Scratch
		defer scratch.Give()
		for i, l := range ls {
			scratch.Give()
			w, err := openWork(c, l, s.Needs, &scratch)
			if err != nil {
				return err
			}
			if err := s.Linear(c, w, l.Args, c.Output("summary")); err != nil {
				return fmt.Errorf("%s: %w", l.Name, err)
			}
			if err := c.Step(i+1, len(ls)); err != nil {
				return err
			}
		}
		return nil
	})
	return &s
}

// Lower adds an action for each block that has layers for which of is true, and
// returns their summaries by block. The action reads those layers alone, and
// further inputs. stats are the blocks' statistics, nil without Needs; bytes
// estimates the size of a layer's leaves.
func (s *Survey[L]) Lower(g *action.Graph, node, label string, m *passes.Model, stats []Stats, of func(*model.Linear) (L, bool), bytes int64, more ...action.Input) []action.Ref {
	out := make([]action.Ref, len(m.Blocks))
	for b := range out {
		var ls []linearParams[L]
		var leaves []string
		weights, largest := int64(0), int64(0)
		for _, l := range m.Type.Block(b) {
			if a, ok := of(l); ok {
				ls = append(ls, layerParams(l, a))
				leaves = append(leaves, LinearLeaves(l.Name)...)
				n := int64(l.Out) * int64(l.In)
				weights, largest = weights+n, max(largest, n)
			}
		}
		if ls == nil {
			continue
		}
		var st Stats
		if stats != nil {
			st = stats[b]
		}
		in := append(st.inputs(g.Part(m.Blocks[b], leaves), s.Needs), more...)
		a := g.Add(action.Spec{Kernel: s.kernel, Params: ls, Inputs: in, Node: node, Label: fmt.Sprintf("%s of block %d", label, b),
			Outputs: []action.Output{{Name: "summary", Class: action.Durable, Bytes: bytes * int64(len(ls))}},
			Flops:   float64(20 * weights), Peak: largest * 16})
		out[b] = action.Ref{Action: a, Output: "summary"}
	}
	return out
}
