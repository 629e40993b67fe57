package blockwise

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// A decision over all blocks at once is three kinds of actions: one a block that
// sums up what the decision needs to know of it (a Survey, trials, scores), one
// that decides from all of them, and kernels, each of which takes its block's
// share of the decision as one more input. Nothing ever holds the model, and a
// block whose share stays the same is not made again.

// Decision is the action that decides.
type Decision struct {
	Node, Label string
	Kernel      *action.Kernel
	Params      any
	// Inputs are further ones, before the summaries.
	Inputs []action.Input
	// Summaries are what is known of the blocks; those that are not valid have
	// no part in the decision, and no share.
	Summaries []action.Ref
	// ShareBytes estimates the size of a block's share; 0 is a decision that has
	// none.
	ShareBytes int64
	// More are outputs about the whole model.
	More  []action.Output
	Flops float64
	Peak  int64
}

// Lower adds the action, which has the input "block3" for each summary, see
// Summary, and as many outputs for the shares, see Share.
func (d Decision) Lower(g *action.Graph) (a *action.Action, shares []action.Ref) {
	out := append([]action.Output(nil), d.More...)
	in := append([]action.Input(nil), d.Inputs...)
	for b, s := range d.Summaries {
		if !s.Valid() {
			continue
		}
		in = append(in, action.Input{Name: ofBlock(b), Ref: s})
		if d.ShareBytes > 0 {
			out = append(out, action.Output{Name: ofBlock(b), Class: action.Durable, Bytes: d.ShareBytes})
		}
	}
	a = g.Add(action.Spec{Kernel: d.Kernel, Params: d.Params, Inputs: in, Outputs: out, Node: d.Node, Label: d.Label, Flops: d.Flops, Peak: d.Peak})
	shares = make([]action.Ref, len(d.Summaries))
	for b, s := range d.Summaries {
		if s.Valid() && d.ShareBytes > 0 {
			shares[b] = action.Ref{Action: a, Output: ofBlock(b)}
		}
	}
	return a, shares
}

// Summary is what a deciding kernel knows of block b.
func Summary(c *action.Context, b int) *artifact.Value { return c.Input(ofBlock(b)) }

// Share is where a deciding kernel puts the share of block b.
func Share(c *action.Context, b int) *artifact.Builder { return c.Output(ofBlock(b)) }

func ofBlock(b int) string { return fmt.Sprintf("block%d", b) }
