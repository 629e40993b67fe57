package prune

import (
	"math"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// GBLMArgs are the arguments of prune "gblm".
type GBLMArgs struct {
	Model         *passes.Model `arg:"model" doc:"the model to prune; the gradients are those of this model as it is"`
	Scope         string        `arg:"scope" default:"row" enum:"row|layer|global" doc:"what weights compete with: those of their output row, of the whole matrix, or of all layers together; N:M compares within its groups"`
	GradientNorm  string        `arg:"gradient_norm" default:"l2" enum:"l1|l2" doc:"how the gradients of the windows are put together: root of the sum of squares, or sum of absolute values"`
	GradientScale float64       `arg:"gradient_scale" default:"100" min:"0" doc:"of combine = \"add\": factor before the gradients; 0 is Wanda"`
	Combine       string        `arg:"combine" default:"add" enum:"add|normalised" doc:"add |w|·(activation norm + scaled gradient norm), or bring both terms to the same mean over a layer first"`
	Gamma         float64       `arg:"gamma" default:"1" min:"0" doc:"of combine = \"normalised\": weight of the gradients' term; 0 is Wanda"`
	blockwise.Calibrated
	Amount
	Global
	blockwise.Target
}

func (a *GBLMArgs) scope() scope { return scope{a.Scope, a.Amount, a.Global, a.Target, false} }

// gblmTerm is how the gradients enter the score.
type gblmTerm struct {
	Combine string `json:"combine"`
	// Factor is gradient_scale or gamma.
	Factor float64 `json:"factor"`
}

func (a *GBLMArgs) term() gblmTerm {
	if a.Combine == "normalised" {
		return gblmTerm{a.Combine, a.Gamma}
	}
	return gblmTerm{a.Combine, a.GradientScale}
}

// add adds the gradients' term to Wanda's scores, in place. Weights that are
// pruned already are zeros and have no part in means.
//
// The paper has the mean over windows of Σx² where Wanda has the sum, so what is
// added is larger by √windows, to the same masks.
func (t gblmTerm) add(scores []float64, w, gradient []float32, windows int) {
	buf := linalg.TakeBuffer[float64](len(w))
	defer buf.Give()
	pull := buf.S
	for i, x := range w {
		pull[i] = math.Abs(float64(x)) * float64(gradient[i])
	}
	f := float64(t.Factor * math.Sqrt(float64(windows)))
	if t.Combine == "normalised" {
		sum, all := 0.0, 0.0
		for i, x := range pull {
			sum += x
			all += scores[i]
		}
		if sum == 0 {
			return
		}
		f = t.Factor * (all / sum)
	}
	for i, x := range pull {
		scores[i] += float64(f * x)
	}
}

var gblm = newScored("prune.gblm", 1, blockwise.Needs{Norms: true, Gradient: true}, func(w *blockwise.Work, t gblmTerm, scores []float64) error {
	if err := wandaScores(w, scores); err != nil {
		return err
	}
	gradient, windows, err := w.Gradient()
	if err != nil {
		return err
	}
	t.add(scores, w.W, gradient, windows)
	return nil
})

// GBLM is Wanda with the gradient of each weight beside its inputs' norm.
//
// Das et al. 2023, arXiv:2311.04902.
var GBLM = &passes.Pass{
	Verb: "prune", Method: "gblm",
	Summary: "Wanda with the gradients of the loss beside the input norms.",
	Doc: `The score of a weight is |w| · (‖x‖ + c · ‖∂L/∂w‖): the root of the mean over windows of
Σx² of its input, and the norm over windows of its gradient. The loss of a window is
the mean over its tokens. The gradient's norm grows with the number of windows and
the input's does not, so c = ` + "`gradient_scale`" + ` belongs to a number of windows;
` + "`combine = \"normalised\"`" + ` brings both terms of a layer to the same mean, whatever their
number, and weighs the second by ` + "`gamma`" + `.

The gradients need a forward and a backward pass over the data, and as much room in
the cache as the layers have as float32; sweeps over sparsity, pattern, scope,
gradient_scale and gamma share them. Windows whose gradients are not finite do not
count, and are reported as ` + "`skipped_windows`" + `.
`,
	Paper:   "Das et al. 2023, Beyond Size: How Gradients Shape Pruning Decisions in Large Language Models, arXiv:2311.04902",
	NewArgs: func() any { return &GBLMArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*GBLMArgs)
		ds := a.check()
		r, more := typeOfScored(c.Node, a.Model, a.scope(), a.Propagate, func(l *model.Linear) Amount {
			return schema.Resolve(*a, blockwise.ModuleOf(l)).Amount
		})
		return r, append(append(ds, more...), a.Calibrated.Check(a.Model.Type)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*GBLMArgs)
		of := func(l *model.Linear) (selection[gblmTerm], bool) {
			x, ok := layer(*a, a.Target, l, func(x GBLMArgs) Amount { return x.Amount })
			return selectionOf(x.scope(), a.term()), ok
		}
		j := blockwise.Job{Node: c.Node, Model: a.Model, Type: r.Model.Type, Data: a.Data, Reference: a.Reference, Propagate: a.Propagate, Allocation: a.Allocation}
		if a.term().Factor == 0 {
			return wanda.lower(g, j, a.scope(), r, func(l *model.Linear) (selection[struct{}], bool) {
				x, ok := of(l)
				return selection[struct{}]{Sparsity: x.Sparsity, Scope: x.Scope}, ok
			})
		}
		j.Gradients = blockwise.Gradients(g, c.Node, a.Model, a.Data, a.GradientNorm, func(b int) bool {
			for _, l := range a.Model.Type.Block(b) {
				if _, ok := of(l); ok {
					return true
				}
			}
			return false
		})
		return gblm.lower(g, j, a.scope(), r, of)
	},
}

// check reports arguments that do not go together.
func (a *GBLMArgs) check() (ds diag.List) {
	if a.Data != nil && a.Data.Type.SequenceLength == 1 {
		ds.Errorf("data", "Windows too short", "The loss predicts each token of a window from those before it, so windows need at least 2 tokens; %s has sequence_length = 1.", a.Data.From)
	}
	switch {
	case a.Combine == "add" && a.Gamma != 1:
		ds.Warnf("gamma", "Argument has no effect", "gamma weighs the gradients of combine = \"normalised\"; with combine = \"add\" their factor is gradient_scale.")
	case a.Combine == "normalised" && a.GradientScale != 100:
		ds.Warnf("gradient_scale", "Argument has no effect", "combine = \"normalised\" divides both terms by their means, so a factor before one of them is lost; weigh it by gamma.")
	}
	return ds
}
