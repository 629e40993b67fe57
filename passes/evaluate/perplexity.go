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
func All() []*passes.Pass { return []*passes.Pass{Perplexity} }

// PerplexityArgs are the arguments of evaluate "perplexity".
type PerplexityArgs struct {
	Model *passes.Model `arg:"model" doc:"the model to measure, side paths included"`
	Data  *passes.Data  `arg:"data" doc:"test windows; each stands alone from position 0"`

	ActivationBits int          `arg:"activation_bits" default:"0" min:"0" max:"16" doc:"round the inputs of the decoder blocks' linears to symmetric integers of so many bits, 2 to 16; 0 leaves them as they are"`
	Activation     string       `arg:"activation" default:"token" enum:"token|tensor" doc:"whose range a scale of rounded activations covers: each token's, as it comes, or, fixed beforehand, the whole input's over calibration"`
	Calibration    *passes.Data `arg:"calibration" optional:"true" doc:"windows that fix the ranges for activation = \"tensor\""`
}

// check reports arguments about activations that do not go together.
func (a *PerplexityArgs) check() (ds diag.List) {
	static := a.ActivationBits > 0 && a.Activation == "tensor"
	switch {
	case a.ActivationBits == 1:
		ds.Errorf("activation_bits", "Too few bits", "A symmetric integer of 1 bit is always 0; give 2 to 16, or 0 to leave activations as they are.")
	case static && a.Calibration == nil:
		ds.Errorf("activation", "No ranges", "activation = \"tensor\" fixes one scale for an input before it is seen, from the ranges over some text. Add calibration = data.NAME, or use activation = \"token\".")
	case a.Calibration != nil && !static:
		ds.Warnf("calibration", "Calibration is not used", "Only activation_bits with activation = \"tensor\" needs ranges beforehand.")
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
	x, windows, T, err := blockwise.States(c.Input("hidden"))
	if err != nil {
		return err
	}
	ids, err := c.Input("tokens").Int32("tokens")
	if err != nil {
		return err
	}
	norm, head, err := blockwise.Head(c, g)
	if err != nil {
		return err
	}
	r := nn.NewRunner(g.Config(), c.Pool)
	rep := PerplexityReport{Tokens: windows * (T - 1)}
	total := 0.0
	targets := make([]int32, T)
	buf := make([]float32, T*g.Hidden)
	for w := 0; w < windows; w++ {
		copy(targets, ids[w*T+1:(w+1)*T])
		targets[T-1] = -1
		copy(buf, x[w*T*g.Hidden:])
		sum := 0.0
		for _, v := range r.NLL(norm, head, buf, T, targets) {
			sum += v
		}
		rep.Windows = append(rep.Windows, sum)
		total += sum
		if err := c.Step(w+1, windows); err != nil {
			return err
		}
	}
	mean := total / float64(rep.Tokens)
	if math.IsNaN(mean) || math.IsInf(mean, 0) {
		rep.Diverged = true
		rep.Windows = nil
	} else if p := vmath.Exp64(mean); math.IsInf(p, 0) {
		rep.Diverged = true
		rep.NLL = &mean
	} else {
		rep.NLL, rep.Perplexity = &mean, &p
	}
	return c.Output("report").PutJSON("report", rep)
})

// Perplexity is exp of the mean negative log-likelihood of the tokens 1…T−1 of
// each window given those before.
var Perplexity = &passes.Pass{
	Verb: "evaluate", Method: "perplexity",
	Summary: "Perplexity over windows of text, each from position 0.",
	Paper:   "Jelinek et al. 1977, Perplexity: a measure of the difficulty of speech recognition tasks",
	NewArgs: func() any { return &PerplexityArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*PerplexityArgs)
		ds := a.check()
		if n := a.Data.Type.SequenceLength; n == 1 {
			ds.Errorf("data", "Windows too short", "Perplexity predicts each token of a window from those before it, so windows need at least 2 tokens; %s has sequence_length = 1.", a.Data.From)
		}
		return passes.Result{Report: &passes.Report{Metrics: []passes.Metric{
			{Name: "perplexity", Doc: "exp of nll"},
			{Name: "nll", Doc: "mean negative log-likelihood of a token, in nats"},
		}}}, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*PerplexityArgs)
		cfg := a.Model.Type.Config
		n := int64(a.Data.Type.Windows) * int64(a.Data.Type.SequenceLength)
		hidden := blockwise.Embed(g, c.Node, a.Model, a.Data)
		ranges := make([]blockwise.Stats, len(a.Model.Blocks))
		if a.ActivationBits > 0 && a.Activation == "tensor" {
			ranges = blockwise.Stream(g, c.Node, a.Model, a.Calibration, blockwise.Needs{Norms: true}, func(int) bool { return true })
		}
		for b := range a.Model.Blocks {
			if a.ActivationBits > 0 {
				hidden = blockwise.WalkRounded(g, c.Node, cfg, b, a.Model.Blocks[b], hidden, ranges[b].Norms, n, a.ActivationBits)
				continue
			}
			_, hidden = blockwise.Walk(g, c.Node, cfg, b, a.Model.Blocks[b], hidden, n, blockwise.Needs{}, true, action.Transient)
		}
		in := []action.Input{{Name: "hidden", Ref: hidden}, {Name: "tokens", Ref: a.Data.Tokens}, {Name: "final", Ref: a.Model.Final}}
		if cfg.Tied {
			in = append(in, action.Input{Name: "embed", Ref: a.Model.Embed})
		}
		act := g.Add(action.Spec{Kernel: nllKernel, Params: blockwise.ModelGeometry(cfg), Inputs: in, Node: c.Node, Label: "head",
			Outputs: []action.Output{{Name: "report", Class: action.Durable, Bytes: 4096}},
			Flops:   2 * float64(n) * float64(cfg.Vocab) * float64(cfg.Hidden),
			Peak:    int64(cfg.Vocab)*int64(cfg.Hidden)*4 + int64(cfg.Vocab)*4*128})
		rep := *r.Report
		rep.Ref = action.Ref{Action: act, Output: "report"}
		r.Report = &rep
		return r
	},
}
