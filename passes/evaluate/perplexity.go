// Package evaluate measures models.
package evaluate

import (
	"math"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// All lists the methods of the verb.
func All() []*passes.Pass { return []*passes.Pass{Perplexity, Sensitivity} }

// PerplexityArgs are the arguments of evaluate "perplexity".
type PerplexityArgs struct {
	Model *passes.Model `arg:"model" doc:"the model to measure, side paths included"`
	Data  *passes.Data  `arg:"data" doc:"test windows; each stands alone from position 0"`

	ActivationBits int `arg:"activation_bits" default:"0" min:"0" max:"16" doc:"round the inputs of the decoder blocks' linears to integers of so many bits, 2 to 16; 0 leaves them as they are"`
	Activations
	Calibration *passes.Data `arg:"calibration" optional:"true" doc:"windows that fix the ranges for activation = \"tensor\""`
}

// Activations are the arguments that say how activations are rounded.
type Activations struct {
	Activation     string `arg:"activation" json:"activation" default:"token" enum:"token|tensor" doc:"whose range a scale of rounded activations covers: each token's, as it comes, or, fixed beforehand, the whole input's over calibration"`
	SymmetricRange bool   `arg:"activation_symmetric" json:"activation_symmetric" default:"true" doc:"the range is as wide below zero as above; otherwise it reaches from a token's least value to its greatest"`
}

// rounding is that to so many bits.
func (a Activations) rounding(bits int) blockwise.Rounding {
	return blockwise.Rounding{Bits: bits, Fixed: a.Activation == "tensor", Asymmetric: !a.SymmetricRange}
}

// check reports what does not go together, under names that begin with prefix.
func (a Activations) check(prefix string, calibration *passes.Data) (ds diag.List) {
	if a.Activation != "tensor" {
		return nil
	}
	if calibration == nil {
		ds.Errorf(prefix+"activation", "No ranges", "activation = \"tensor\" fixes one scale for an input before it is seen, from the ranges over some text. Add calibration = data.NAME, or use activation = \"token\".")
	}
	if !a.SymmetricRange {
		ds.Errorf(prefix+"activation_symmetric", "Ranges are symmetric", "The ranges that activation = \"tensor\" fixes beforehand are those of magnitudes. Use activation = \"token\", or a symmetric range.")
	}
	return ds
}

// check reports arguments about activations that do not go together.
func (a *PerplexityArgs) check() (ds diag.List) {
	switch {
	case a.ActivationBits == 1:
		ds.Errorf("activation_bits", "Too few bits", "A symmetric integer of 1 bit is always 0; give 2 to 16, or 0 to leave activations as they are.")
	case a.ActivationBits > 0:
		ds = a.Activations.check("", a.Calibration)
	}
	if a.Calibration != nil && !(a.ActivationBits > 0 && a.Activation == "tensor") {
		ds.Warnf("calibration", "Calibration is not used", "Only activation_bits with activation = \"tensor\" needs ranges beforehand.")
	}
	return ds
}

// checkWindows reports windows in which nothing is predicted.
func checkWindows(d *passes.Data) (ds diag.List) {
	if d.Type.SequenceLength == 1 {
		ds.Errorf("data", "Windows too short", "Perplexity predicts each token of a window from those before it, so windows need at least 2 tokens; %s has sequence_length = 1.", d.From)
	}
	return ds
}

// PerplexityReport is the JSON leaf "report".
type PerplexityReport struct {
	// Perplexity is exp(nll per token); null when it is not a number.
	Perplexity *float64 `json:"perplexity"`
	// NLL is the mean negative log-likelihood of a token in nats.
	NLL    *float64 `json:"nll"`
	Tokens int      `json:"tokens"`
	// Windows holds each window's summed negative log-likelihood.
	Windows  []float64 `json:"windows"`
	Diverged bool      `json:"diverged,omitempty"`
}

var nllKernel = action.NewKernel("evaluate.perplexity", 1, func(c *action.Context, g blockwise.Geometry) error {
	losses, T, err := windowLosses(c, g)
	if err != nil {
		return err
	}
	return c.Output("report").PutJSON("report", reportOf(losses, len(losses)*(T-1)))
})

// windowLosses sums the negative log-likelihoods of each window of the input
// "hidden", whose tokens are those of the input "tokens", over again where there
// are more windows than it has.
func windowLosses(c *action.Context, g blockwise.Geometry) (losses []float64, T int, err error) {
	x, windows, T, err := blockwise.States(c.Input("hidden"))
	if err != nil {
		return nil, 0, err
	}
	ids, err := c.Input("tokens").Int32("tokens")
	if err != nil {
		return nil, 0, err
	}
	norm, head, err := blockwise.Head(c, g)
	if err != nil {
		return nil, 0, err
	}
	r := nn.NewRunner(g.Config(), c.Pool)
	defer r.Release()
	targets := make([]int32, T)
	buf := make([]float32, T*g.Hidden)
	for w := 0; w < windows; w++ {
		from := w * T % len(ids)
		copy(targets, ids[from+1:from+T])
		targets[T-1] = -1
		copy(buf, x[w*T*g.Hidden:])
		sum := 0.0
		for _, v := range r.NLL(norm, head, buf, T, targets) {
			sum += v
		}
		losses = append(losses, sum)
		if err := c.Step(w+1, windows); err != nil {
			return nil, 0, err
		}
	}
	return losses, T, nil
}

// reportOf sums up the losses of windows in which so many tokens are predicted.
func reportOf(losses []float64, tokens int) PerplexityReport {
	rep := PerplexityReport{Tokens: tokens, Windows: losses}
	total := 0.0
	for _, v := range losses {
		total += v
	}
	mean := total / float64(tokens)
	if math.IsNaN(mean) || math.IsInf(mean, 0) {
		rep.Diverged = true
		rep.Windows = nil
	} else if p := vmath.Exp64(mean); math.IsInf(p, 0) {
		rep.Diverged = true
		rep.NLL = &mean
	} else {
		rep.NLL, rep.Perplexity = &mean, &p
	}
	return rep
}

// Perplexity is exp of the mean negative log-likelihood of the tokens 1…T−1 of
// each window given those before.
var Perplexity = &passes.Pass{
	Verb: "evaluate", Method: "perplexity",
	Summary: "Perplexity over windows of text, each from position 0.",
	Paper:   "Jelinek et al. 1977, Perplexity: a measure of the difficulty of speech recognition tasks",
	NewArgs: func() any { return &PerplexityArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*PerplexityArgs)
		ds := append(a.check(), checkWindows(a.Data)...)
		return passes.Result{Report: &passes.Report{Metrics: []passes.Metric{
			{Name: "perplexity", Doc: "exp of nll"},
			{Name: "nll", Doc: "mean negative log-likelihood of a token, in nats"},
		}}}, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*PerplexityArgs)
		var rounding *blockwise.Rounding
		var ranges []blockwise.Stats
		if a.ActivationBits > 0 {
			r := a.rounding(a.ActivationBits)
			rounding = &r
			if r.Fixed {
				ranges = rangesOf(g, c.Node, a.Model, a.Calibration)
			}
		}
		rep := *r.Report
		rep.Ref = lowerPerplexity(g, c.Node, a.Model, a.Data, ranges, func(int) *blockwise.Rounding { return rounding })
		r.Report = &rep
		return r
	},
}

// rangesOf lowers the statistics that ranges of activations are fixed by.
func rangesOf(g *action.Graph, node string, m *passes.Model, d *passes.Data) []blockwise.Stats {
	return blockwise.Stream(g, node, m, d, blockwise.Needs{Norms: true}, func(int) bool { return true })
}

// lowerPerplexity lowers a model's perplexity, a PerplexityReport. rounding is that
// of the inputs of each block's layers, nil for none; ranges are needed where one
// is fixed.
func lowerPerplexity(g *action.Graph, node string, m *passes.Model, d *passes.Data, ranges []blockwise.Stats, rounding func(block int) *blockwise.Rounding) action.Ref {
	cfg := m.Type.Config
	n := int64(d.Type.Windows) * int64(d.Type.SequenceLength)
	hidden := blockwise.Embed(g, node, m, d)
	for b := range m.Blocks {
		if r := rounding(b); r != nil {
			var norms action.Ref
			if r.Fixed {
				norms = ranges[b].Norms
			}
			hidden = blockwise.WalkRounded(g, node, cfg, b, m.Blocks[b], hidden, norms, n, *r)
			continue
		}
		_, hidden = blockwise.Walk(g, node, cfg, b, m.Blocks[b], hidden, n, blockwise.Needs{}, true, action.Transient)
	}
	return lowerLosses(g, node, nllKernel, m, d, hidden, n, action.Output{Name: "report", Class: action.Durable, Bytes: 4096}, "head")
}

// lowerLosses lowers a kernel that makes windowLosses of n tokens into out.
func lowerLosses(g *action.Graph, node string, k *action.Kernel, m *passes.Model, d *passes.Data, hidden action.Ref, n int64, out action.Output, label string) action.Ref {
	cfg := m.Type.Config
	a := g.Add(action.Spec{Kernel: k, Params: blockwise.ModelGeometry(cfg), Node: node, Label: label,
		Inputs:  append([]action.Input{{Name: "hidden", Ref: hidden}, {Name: "tokens", Ref: d.Tokens}}, blockwise.HeadInputs(m)...),
		Outputs: []action.Output{out},
		Flops:   2 * float64(n) * float64(cfg.Vocab) * float64(cfg.Hidden),
		Peak:    int64(cfg.Vocab)*int64(cfg.Hidden)*4 + int64(cfg.Vocab)*4*128})
	return action.Ref{Action: a, Output: out.Name}
}
