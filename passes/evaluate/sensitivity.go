package evaluate

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/quantize"
)

// SensitivityArgs are the arguments of evaluate "sensitivity".
type SensitivityArgs struct {
	Model       *passes.Model `arg:"model" doc:"the model to study; it stays as it is"`
	Data        *passes.Data  `arg:"data" doc:"test windows; each stands alone from position 0"`
	Settings    []Setting     `arg:"settings" doc:"what to round, and how: a perplexity each" example:"[{ weight_bits = 4 }, { weight_bits = 4, group_size = 32 }, { activation_bits = 8 }]"`
	Granularity string        `arg:"granularity" default:"model" enum:"model|layer|site" doc:"what is rounded at a time: the whole model, one decoder layer, or the linears of one that read the same input"`
	Thresholds  []float64     `arg:"thresholds" default:"[0.1, 0.5]" min:"0" doc:"ascending; a rise of the perplexity up to the first is class 1, one beyond it class 2, and so on"`
	Relative    bool          `arg:"relative" default:"false" doc:"count rises as a share of the perplexity; for models whose perplexity is far from 10 to 30"`
	Calibration *passes.Data  `arg:"calibration" optional:"true" doc:"windows that fix the ranges for settings with activation = \"tensor\""`
	blockwise.Target
}

// Setting says what is rounded.
type Setting struct {
	Name           string `arg:"name" json:"name" optional:"true" doc:"what metrics and the table call it: \"w4a16_g64\" by default, and alike"`
	WeightBits     int    `arg:"weight_bits" json:"weight_bits" default:"16" min:"2" max:"16" doc:"bits of the weights' codes, rounded to nearest, 2 to 8; 16 leaves the weights as they are"`
	ActivationBits int    `arg:"activation_bits" json:"activation_bits" default:"16" min:"2" max:"16" doc:"bits of the inputs of linears; 16 leaves them as they are"`
	GroupSize      int    `arg:"group_size" json:"group_size" default:"-1" min:"-1" doc:"inputs whose weights share a scale; -1 is the whole row"`
	Symmetric      bool   `arg:"symmetric" json:"symmetric" default:"true" doc:"zero point of the weights in the middle of the codes; otherwise an integer zero point a group"`
	Activations
}

// asIs are the bits that leave numbers as they are.
const asIs = 16

func (s Setting) weights() bool { return s.WeightBits < asIs }
func (s Setting) inputs() bool  { return s.ActivationBits < asIs }

// grid is that of the weights' codes.
func (s Setting) grid() grid.Spec {
	return grid.Spec{Bits: s.WeightBits, GroupSize: s.GroupSize, Symmetric: s.Symmetric, ScaleDType: grid.F16}
}

// label is the setting's name.
func (s Setting) label() string {
	if s.Name != "" {
		return s.Name
	}
	l := fmt.Sprintf("w%da%d", s.WeightBits, s.ActivationBits)
	if s.weights() && s.GroupSize != grid.RowGroup {
		l += fmt.Sprintf("_g%d", s.GroupSize)
	}
	if s.weights() && !s.Symmetric {
		l += "_asym"
	}
	if s.inputs() && s.Activation != "token" {
		l += "_" + s.Activation
	}
	if s.inputs() && !s.SymmetricRange {
		l += "_range"
	}
	return l
}

// roundingOf is that of the inputs at some sites, nil where they stay.
func (s Setting) roundingOf(sites []string) *blockwise.Rounding {
	if !s.inputs() || len(sites) == 0 {
		return nil
	}
	r := s.rounding(s.ActivationBits)
	r.Sites = sites
	return &r
}

var identifier = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// check reports what is wrong with the arguments by themselves.
func (a *SensitivityArgs) check() (ds diag.List) {
	if len(a.Settings) == 0 {
		ds.Errorf("settings", "Nothing to round", "settings is empty. Give one or more, such as [{ weight_bits = 4 }, { activation_bits = 8 }].")
	}
	names, fixed := map[string]bool{}, false
	for i, s := range a.Settings {
		at := fmt.Sprintf("settings[%d]", i)
		switch {
		case s.Name != "" && !identifier.MatchString(s.Name):
			ds.Errorf(at+".name", "Invalid name", "Metrics are called by it (delta_NAME, class_NAME), so a name has letters, digits and underscores, and begins with none of the digits. Got %q.", s.Name)
		case names[s.label()]:
			ds.Errorf(at, "Setting twice", "Another setting is called %s. Remove one of the two, or give this one a name.", s.label())
		case s.WeightBits > 8 && s.weights():
			ds.Errorf(at+".weight_bits", "No such codes", "Codes have 2 to 8 bits, and 16 leaves the weights as they are; got %d.", s.WeightBits)
		case !s.weights() && !s.inputs():
			ds.Errorf(at, "Nothing to round", "This setting leaves weights and activations as they are. Give weight_bits or activation_bits.")
		case s.GroupSize == 0:
			ds.Errorf(at+".group_size", "Group size of zero", "A group holds at least one input; -1 makes the whole row one group.")
		case s.inputs():
			fixed = fixed || s.Activation == "tensor"
			ds = append(ds, s.Activations.check(at+".", a.Calibration)...)
		}
		names[s.label()] = true
	}
	if !slices.IsSorted(a.Thresholds) {
		ds.Errorf("thresholds", "Invalid thresholds", "Thresholds ascend; got %v.", a.Thresholds)
	}
	if a.Calibration != nil && !fixed {
		ds.Warnf("calibration", "Calibration is not used", `Only settings that round activations with activation = "tensor" need ranges beforehand.`)
	}
	return append(ds, checkWindows(a.Data)...)
}

// checkLayers reports layers that a setting cannot round.
func (a *SensitivityArgs) checkLayers(ls []*model.Linear) (ds diag.List) {
	for i, s := range a.Settings {
		if !s.weights() {
			continue
		}
		var coded, ragged []*model.Linear
		for _, l := range ls {
			switch {
			case l.Format.Quantized():
				coded = append(coded, l)
			case s.GroupSize > 0 && l.In%s.GroupSize != 0:
				ragged = append(ragged, l)
			}
		}
		if len(ragged) > 0 {
			ds.Errorf(fmt.Sprintf("settings[%d].group_size", i), "Group size does not divide", "group_size = %d does not divide the %d inputs of %s. -1 is the whole row.",
				s.GroupSize, ragged[0].In, blockwise.Paths(slices.DeleteFunc(ragged, func(l *model.Linear) bool { return l.In != ragged[0].In })))
			ds.Since(a.Model.Type.Source)
		}
		if len(coded) > 0 {
			ds.Errorf("model", "Quantised already", "%s: the weights are %s since %s, and rounding them again says nothing of the model. Study the model from before that block, leave these layers out with targets, or round activations alone.",
				blockwise.Paths(coded), coded[0].Format, coded[0].QuantizedBy)
			ds.Since(coded[0].QuantizedBy)
			break
		}
	}
	return ds
}

// part is what is rounded at a time.
type part struct {
	name    string
	linears []*model.Linear
}

// sites are those that the part's layers read.
func (u part) sites() (out []string) {
	for _, l := range u.linears {
		if !slices.Contains(out, l.Site) {
			out = append(out, l.Site)
		}
	}
	return out
}

// parts of the selected layers of block b: one, or one for each site.
func (a *SensitivityArgs) parts(ty *model.Type, b int) (out []part) {
	for _, l := range ty.Block(b) {
		if !a.Selects(l) {
			continue
		}
		if n := len(out); n > 0 && (a.Granularity != "site" || slices.Contains(out[n-1].sites(), l.Site)) {
			out[n-1].linears = append(out[n-1].linears, l)
			continue
		}
		out = append(out, part{linears: []*model.Linear{l}})
	}
	for i := range out {
		first := out[i].linears[0]
		out[i].name = blockwise.Paths(out[i].linears)
		if a.Granularity == "layer" {
			out[i].name = strings.TrimSuffix(strings.TrimSuffix(first.Path, first.Name), ".")
		}
	}
	return out
}

// Sensitivity measures what rounding weights or activations does to a model's
// perplexity, in all of it or in a part at a time.
//
// Yao et al. 2023, arXiv:2303.08302.
var Sensitivity = &passes.Pass{
	Verb: "evaluate", Method: "sensitivity",
	Summary: "What rounding weights or activations does to the perplexity, in the whole model or part by part.",
	Doc: `Each setting is tried and measured; the model stays as it is. Weights are rounded to
the nearest code with float16 scales, as ` + "`quantize \"rtn\"`" + ` does; activations are the inputs
of linear layers, rounded as they come.

By ` + "`layer` or `site`" + ` every part is rounded alone, and the rest of the model goes on from
the hidden states that enter its block, all trials of a block side by side. The table
lists the parts with the largest rise first. A part's rise is small: measure it on the
text of an evaluation, not on a window or two.

Settings have metrics by their names: ` + "`evaluate.x.delta_w4a16`" + ` is the rise (by parts, the
largest), ` + "`evaluate.x.class_w4a16`" + ` its class. To spread bits by such curves within a budget
use ` + "`allocate \"rd\"`" + `, which measures its own at the levels of its grid.`,
	Paper:   "Yao et al. 2023, ZeroQuant-V2: Exploring Post-training Quantization in LLMs from Comprehensive Study to Low Rank Compensation, arXiv:2303.08302",
	NewArgs: func() any { return &SensitivityArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*SensitivityArgs)
		ds := a.check()
		rep := &passes.Report{Metrics: []passes.Metric{{Name: "perplexity", Doc: "of the model as it is"}}}
		which := "rise of the perplexity"
		if a.Granularity != "model" {
			which = "largest rise of the perplexity"
		}
		for _, s := range a.Settings {
			rep.Metrics = append(rep.Metrics, passes.Metric{Name: "delta_" + s.label(), Doc: which}, passes.Metric{Name: "class_" + s.label(), Doc: "class of delta_" + s.label() + " by the thresholds"})
		}
		r := passes.Result{Report: rep}
		if a.Model.Type == nil || ds.HasErrors() {
			return r, ds
		}
		ds = append(ds, a.Target.Check(a.Model.Type)...)
		var chosen []*model.Linear
		for _, l := range a.Model.Type.Linears {
			if a.Selects(l) {
				chosen = append(chosen, l)
			}
		}
		return r, append(ds, a.checkLayers(chosen)...)
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*SensitivityArgs)
		rep := *r.Report
		rep.Ref = a.lower(g, c.Node)
		r.Report = &rep
		return r
	},
}

func (a *SensitivityArgs) lower(g *action.Graph, node string) action.Ref {
	m := a.Model
	probe := quantize.Probe(func(setting float64) grid.Spec { return a.Settings[int(setting)].grid() })
	p := rankParams{Thresholds: a.Thresholds, Relative: a.Relative, Windows: a.Data.Type.Windows}
	var ranges []blockwise.Stats
	for _, s := range a.Settings {
		p.Settings = append(p.Settings, s.label())
		if s.inputs() && s.Activation == "tensor" && ranges == nil {
			ranges = rangesOf(g, node, m, a.Calibration)
		}
	}
	table := blockwise.Decision{Kernel: rankKernel, Node: node, Label: "table",
		Inputs: []action.Input{{Name: "base", Ref: lowerPerplexity(g, node, m, a.Data, nil, func(int) *blockwise.Rounding { return nil })}}}
	if a.Granularity == "model" {
		for i, s := range a.Settings {
			table.Inputs = append(table.Inputs, action.Input{Name: settingInput(i), Ref: a.lowerWhole(g, node, probe, i, s, ranges)})
		}
	} else {
		table.Summaries = a.lowerParts(g, node, probe, ranges, &p)
	}
	table.Params = p
	table.More = []action.Output{{Name: "report", Class: action.Durable, Bytes: int64(256 * (1 + len(p.Parts)) * len(p.Settings))}}
	act, _ := table.Lower(g)
	return action.Ref{Action: act, Output: "report"}
}

// lowerWhole lowers the perplexity with a setting in all selected layers.
func (a *SensitivityArgs) lowerWhole(g *action.Graph, node string, probe *blockwise.Probe, i int, s Setting, ranges []blockwise.Stats) action.Ref {
	m := *a.Model
	m.Blocks = slices.Clone(m.Blocks)
	rounding := make([]*blockwise.Rounding, len(m.Blocks))
	for b := range m.Blocks {
		for _, u := range a.parts(m.Type, b) {
			if s.weights() {
				m.Blocks[b] = probe.Change(g, node, a.Model, b, blockwise.Stats{}, u.linears, float64(i))
			}
			rounding[b] = s.roundingOf(u.sites())
		}
	}
	return lowerPerplexity(g, node, &m, a.Data, ranges, func(b int) *blockwise.Rounding { return rounding[b] })
}

// lowerParts lowers the losses of every part with every setting, for each block
// part by part, as summaries for the table; p gets the parts in that order.
func (a *SensitivityArgs) lowerParts(g *action.Graph, node string, probe *blockwise.Probe, ranges []blockwise.Stats, p *rankParams) (losses []action.Ref) {
	ty := a.Model.Type
	tried := blockwise.Try(g, node, a.Model, a.Data, probe, ranges, func(b int) (ts []blockwise.Trial) {
		for _, u := range a.parts(ty, b) {
			p.Parts = append(p.Parts, rankPart{u.name, b})
			for i, s := range a.Settings {
				t := blockwise.Trial{Level: float64(i), Rounding: s.roundingOf(u.sites())}
				if s.weights() {
					t.Linears = u.linears
				}
				ts = append(ts, t)
			}
		}
		return ts
	})
	n := int64(a.Data.Type.Windows) * int64(a.Data.Type.SequenceLength)
	losses = make([]action.Ref, len(tried.Trials))
	for b, hidden := range tried.Trials {
		if count := int64(tried.Counts[b]); count > 0 {
			out := action.Output{Name: "losses", Class: action.Durable, Bytes: count * int64(a.Data.Type.Windows) * 8}
			losses[b] = lowerLosses(g, node, lossesKernel, a.Model, a.Data, hidden, n*count, out, fmt.Sprintf("head of block %d", b))
		}
	}
	return losses
}
