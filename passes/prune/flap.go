package prune

import (
	"encoding/json"
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// FLAPArgs are the arguments of prune "flap".
type FLAPArgs struct {
	Model       *passes.Model `arg:"model" doc:"the model to prune"`
	Data        *passes.Data  `arg:"data" doc:"calibration windows; the statistics are those of the model as it is"`
	Ratio       float64       `arg:"ratio" above:"0" below:"1" example:"0.2" doc:"share of the parameters of the decoder blocks to remove; embedding and head stay"`
	Metric      string        `arg:"metric" default:"wifv" enum:"wifv|ifv|wifn" doc:"how channels are scored: variance × squared norm of the weights that read them, variance alone, or mean |weight| × input norm as Wanda does"`
	Structure   string        `arg:"structure" default:"al-am" enum:"al-am|ul-um|al-mm|ul-mm" doc:"what competes: heads and neurons of all layers, or of each layer alone (ul); am and um let the scores and the ratio say how many heads go, mm takes remove_heads"`
	RemoveHeads int           `arg:"remove_heads" optional:"true" min:"0" doc:"query heads to remove where structure ends in -mm: of the whole model, or of each layer with ul-mm"`
	Compensate  bool          `arg:"compensate" default:"true" doc:"put the mean of what is removed into biases of o_proj and down_proj"`
	MinHeads    int           `arg:"min_heads" default:"1" min:"1" doc:"key heads, with their query heads, that every layer keeps"`
	MinNeurons  int           `arg:"min_neurons" default:"16" min:"1" doc:"MLP neurons that every layer keeps"`
	RoundTo     int           `arg:"round_to" default:"1" min:"1" doc:"a layer's neurons are a multiple of this, for the hardware and for the groups of quantisers"`
	Mode        string        `arg:"mode" default:"slice" enum:"slice|mask" doc:"slice makes the matrices smaller, mask keeps their shapes and fixes zeros"`
}

// decides reports whether the shapes hang on the scores.
func (a *FLAPArgs) decides() bool {
	return a.Mode == "slice" && (a.Structure == "al-am" || a.Structure == "al-mm")
}

// flapDecision is the leaf "decision": what a model keeps, block by block.
type flapDecision struct {
	Shapes []arch.BlockShape `json:"shapes"`
}

// flapScores yields how much a model would lose by each head and each neuron.
// Of the moments only those of the sites attn_out and mlp_mid are read.
var flapScores = action.NewKernel("prune.flap.scores", 1, func(c *action.Context, p flapScoreParams) error {
	out := c.Output("scores")
	for _, s := range []struct {
		linear, site, leaf string
		attention          bool
	}{
		{"self_attn.o_proj", arch.SiteAttnOut, "groups", true},
		{"mlp.down_proj", arch.SiteMLPMid, "neurons", false},
	} {
		m, err := blockwise.ReadMoments(c.Input("moments"), s.site)
		if err != nil {
			return err
		}
		w, err := blockwise.Dense(c.Input("block"), s.linear)
		if err != nil {
			return err
		}
		scores := channelScores(p.Metric, w, m)
		if s.attention {
			// The published code squares these, whatever the metric.
			for j, x := range scores {
				scores[j] = x * x
			}
		}
		standardise(scores)
		if s.attention {
			scores = means(scores, len(scores)/p.Groups)
		}
		out.PutFloat64(s.leaf, []int{len(scores)}, scores)
	}
	return nil
})

type flapScoreParams struct {
	Metric string `json:"metric"`
	// Groups are the block's key heads.
	Groups int `json:"groups"`
}

type flapDecideParams struct {
	Budget flapBudget        `json:"budget"`
	Shapes []arch.BlockShape `json:"shapes"`
}

// flapDecide ranks the units of all blocks by their scores. Outputs: shapes, with
// the leaf "decision", and each block's share, with the leaves "groups" and
// "neurons": the numbers of what stays, ascending.
var flapDecide = action.NewKernel("prune.flap.decide", 2, func(c *action.Context, p flapDecideParams) error {
	blocks := make([]flapUnits, len(p.Shapes))
	for b := range blocks {
		v := blockwise.Summary(c, b)
		var err error
		if blocks[b].groups, err = v.Float64("groups"); err != nil {
			return err
		}
		if blocks[b].neurons, err = v.Float64("neurons"); err != nil {
			return err
		}
	}
	kept := p.Budget.choose(blocks)
	d := flapDecision{}
	for b, k := range kept {
		per := p.Shapes[b].Heads / p.Shapes[b].KVHeads
		d.Shapes = append(d.Shapes, arch.BlockShape{Heads: per * len(k.groups), KVHeads: len(k.groups), Intermediate: len(k.neurons)})
		blockwise.Share(c, b).PutInt32("groups", []int{len(k.groups)}, k.groups)
		blockwise.Share(c, b).PutInt32("neurons", []int{len(k.neurons)}, k.neurons)
	}
	return c.Output("shapes").PutJSON("decision", d)
})

// decide lowers statistics, scores and ranking.
func (a *FLAPArgs) decide(node string, g *action.Graph) (decide *action.Action, kept, moments []action.Ref) {
	cfg := a.Model.Type.Config
	st := blockwise.Stream(g, node, a.Model, a.Data, blockwise.Needs{Moments: true}, func(int) bool { return true })
	p := flapDecideParams{Budget: a.budget(cfg)}
	var scores []action.Ref
	units := int64(0)
	for b := range cfg.Layers {
		shape := cfg.Shape(b)
		p.Shapes = append(p.Shapes, shape)
		units += int64(shape.KVHeads + shape.Intermediate)
		weights := float64(float64(cfg.Hidden) * float64(cfg.At(b).QDim()+shape.Intermediate))
		s := g.Add(action.Spec{Kernel: flapScores, Params: flapScoreParams{a.Metric, shape.KVHeads}, Node: node, Label: fmt.Sprintf("scores of block %d", b),
			Inputs:  []action.Input{{Name: "block", Ref: a.Model.Blocks[b]}, {Name: "moments", Ref: st[b].Moments}},
			Outputs: []action.Output{{Name: "scores", Class: action.Durable, Bytes: int64(shape.KVHeads+shape.Intermediate) * 8}},
			Flops:   float64(2 * weights), Peak: int64(weights) * 8})
		scores = append(scores, action.Ref{Action: s, Output: "scores"})
		moments = append(moments, st[b].Moments)
	}
	decide, kept = blockwise.Decision{Kernel: flapDecide, Params: p, Node: node, Label: "ranking", Summaries: scores,
		ShareBytes: 4 * units / int64(cfg.Layers), More: []action.Output{{Name: "shapes", Class: action.Durable, Bytes: 4096}},
		Flops: float64(units) * 100, Peak: units * 64}.Lower(g)
	return decide, kept, moments
}

type flapApplyParams struct {
	Geometry   blockwise.Geometry `json:"geometry"`
	Compensate bool               `json:"compensate,omitempty"`
	Mask       bool               `json:"mask,omitempty"`
}

// flapApply cuts one block down to what is kept.
var flapApply = action.NewKernel("prune.flap.apply", 1, func(c *action.Context, p flapApplyParams) error {
	cfg, in, out := p.Geometry.Config(), c.Input("block"), c.Output("block")
	groups, err := c.Input("kept").Int32("groups")
	if err != nil {
		return err
	}
	neurons, err := c.Input("kept").Int32("neurons")
	if err != nil {
		return err
	}
	// Rows of q, k, v and columns of o come by whole heads.
	query := spread(groups, cfg.HeadDim*cfg.Heads/cfg.KVHeads)
	kv := spread(groups, cfg.HeadDim)
	rows := map[string][]int32{"attn.q": query, "attn.k": kv, "attn.v": kv, "mlp.gate": neurons, "mlp.up": neurons}
	cols := map[string][]int32{"attn.o": query, "mlp.down": neurons}
	replaced := map[string]bool{}
	var names []string
	for i, l := range cfg.Linears() {
		names = append(names, l.Name)
		if err := c.Err(); err != nil {
			return err
		}
		w, err := blockwise.Dense(in, l.Name)
		if err != nil {
			return err
		}
		m, err := blockwise.Mask(in, l.Name)
		if err != nil {
			return err
		}
		var bias []float32
		if l.Bias {
			if bias, err = in.Float32(l.BiasName()); err != nil {
				return err
			}
		}
		r, k := rows[l.Role], cols[l.Role]
		if k != nil && p.Compensate {
			mo, err := blockwise.ReadMoments(c.Input("moments"), l.Site)
			if err != nil {
				return err
			}
			bias = meanBias(w, l.Out, l.In, k, mo.Mean, bias)
		}
		if p.Mask {
			w, m = maskOut(w, l.Out, l.In, r, k, m)
			blockwise.PutDense(out, l.Name, l.Out, l.In, w, m)
		} else {
			nr, nk := l.Out, l.In
			if r != nil {
				nr, bias = len(r), pick(bias, r)
			}
			if k != nil {
				nk = len(k)
			}
			sliced, sm := slice(w, l.Out, l.In, r, k, m)
			blockwise.PutDense(out, l.Name, nr, nk, sliced, sm)
		}
		if bias != nil {
			replaced[l.BiasName()] = true
			out.PutFloat32(l.BiasName(), []int{len(bias)}, append([]float32(nil), bias...))
		}
		if err := c.Step(i+1, 7); err != nil {
			return err
		}
	}
	weights := blockwise.OfLinears(names)
	out.CopyExcept(in, func(leaf string) bool { return replaced[leaf] || weights(leaf) })
	return c.Output("report").PutJSON("report", map[string]map[string]float64{
		"self_attn.o_proj": {"heads": float64(cfg.Heads), "kept_heads": float64(len(groups) * cfg.Heads / cfg.KVHeads)},
		"mlp.down_proj":    {"neurons": float64(cfg.Intermediate), "kept_neurons": float64(len(neurons))},
	})
})

type flapConfigParams struct {
	Shapes []arch.BlockShape `json:"shapes"`
	Biases bool              `json:"biases,omitempty"`
}

// config returns what a configuration becomes.
func (p flapConfigParams) config(c *arch.Config) *arch.Config {
	n := c.WithShapes(p.Shapes)
	if p.Biases {
		n.AttentionOutBias, n.MLPOutBias = true, true
	}
	return n
}

// flapConfig says the new shapes in config.json.
var flapConfig = action.NewKernel("prune.flap.config", 1, func(c *action.Context, p flapConfigParams) error {
	return blockwise.PutConfig(c, p.config)
})

// FLAP removes whole heads and MLP neurons whose inputs hardly vary, and puts
// their means into biases.
//
// An et al. 2023, arXiv:2312.11983. Departures: variances are exact, the prefix
// of the ranking is the one nearest to the budget, and with grouped queries a
// key head goes with its query heads.
var FLAP = &passes.Pass{
	Verb: "prune", Method: "flap",
	Summary: "Removes whole heads and neurons, and puts their mean into biases; the model gets smaller.",
	Doc: `A channel that hardly varies can be replaced by its mean. Scores of channels are
standardised within a layer's attention and within its MLP (those of attention are
squared first, as the published code does), and all heads and neurons compete for
the parameters that ` + "`ratio`" + ` leaves. With ` + "`structure = \"ul-um\"`" + ` each layer is cut
by the same share: as many heads as come nearest, the rest of its budget in neurons.

With al-am and al-mm the shapes are known once the ranking has run: until then what
follows is checked with shapes of the same share in every layer. Quantisers want
` + "`round_to`" + ` to be a multiple of their group size.

` + "`metric = \"wifn\"`" + `, ` + "`structure = \"ul-um\"`" + `, ` + "`compensate = false`" + ` is structured Wanda. Layers
of different shapes can be written as GGUF alone (architecture deci).
`,
	Paper:   "An et al. 2023, arXiv:2312.11983",
	NewArgs: func() any { return &FLAPArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*FLAPArgs)
		res := passes.Result{Model: &passes.Model{From: c.Node}}
		if a.Model.Type == nil {
			return res, nil
		}
		ds := a.check()
		if ds.HasErrors() {
			return res, ds
		}
		var err error
		res.Model.Type, err = a.typed(c)
		if err != nil {
			ds.Errorf("", "Decision cannot be read", "%s", err)
		}
		return res, ds
	},
	Decide: func(c *passes.Call, g *action.Graph) (action.Ref, bool) {
		a := c.Args.(*FLAPArgs)
		if !a.decides() {
			return action.Ref{}, false
		}
		d, _, _ := a.decide(c.Node, g)
		return action.Ref{Action: d, Output: "shapes"}, true
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		return c.Args.(*FLAPArgs).lower(c.Node, g, r)
	},
}

func (a *FLAPArgs) lower(node string, g *action.Graph, r passes.Result) passes.Result {
	cfg, to := a.Model.Type.Config, r.Model.Type.Config
	_, kept, moments := a.decide(node, g)
	next := *a.Model
	next.Type, next.From, next.Blocks = r.Model.Type, node, nil
	res := passes.Result{Model: &next}
	for b := range cfg.Layers {
		in := []action.Input{{Name: "block", Ref: a.Model.Blocks[b]}, {Name: "kept", Ref: kept[b]}}
		if a.Compensate {
			in = append(in, action.Input{Name: "moments", Ref: moments[b]})
		}
		before, after := blockwise.BlockWeights(cfg.At(b)), blockwise.BlockWeights(to.At(b))
		act := g.Add(action.Spec{Kernel: flapApply, Params: flapApplyParams{blockwise.BlockGeometry(cfg, b), a.Compensate, a.Mode == "mask"},
			Inputs: in, Node: node, Label: fmt.Sprintf("block %d", b),
			Outputs: []action.Output{{Name: "block", Class: action.Durable, Bytes: after * 4}, {Name: "report", Class: action.Durable, Bytes: 4096}},
			Flops:   4 * float64(before), Peak: before*4 + after*4})
		next.Blocks = append(next.Blocks, action.Ref{Action: act, Output: "block"})
		res.Layers = append(res.Layers, passes.LayerReport{Block: b, Ref: action.Ref{Action: act, Output: "report"}})
	}
	if a.Mode == "slice" || a.Compensate {
		p := flapConfigParams{Biases: a.Compensate}
		for b := range to.Layers {
			p.Shapes = append(p.Shapes, to.Shape(b))
		}
		act := g.Add(action.Spec{Kernel: flapConfig, Params: p, Node: node, Label: "config",
			Inputs:  []action.Input{{Name: "config", Ref: a.Model.Config}},
			Outputs: []action.Output{{Name: "config", Class: action.Durable, Bytes: 4096}}, Flops: 1, Peak: 1 << 20})
		next.Config = action.Ref{Action: act, Output: "config"}
	}
	return res
}

// check refuses what heads and neurons cannot be cut out of.
func (a *FLAPArgs) check() (ds diag.List) {
	ty := a.Model.Type
	manual := a.Structure == "al-mm" || a.Structure == "ul-mm"
	switch g := ty.Config.Shape(0); {
	case manual && a.RemoveHeads == 0:
		ds.Errorf("remove_heads", "No number of heads", "structure = %q removes as many heads as remove_heads says. Set it, or use structure = %q, where the scores say how many.", a.Structure, map[string]string{"al-mm": "al-am", "ul-mm": "ul-um"}[a.Structure])
	case !manual && a.RemoveHeads > 0:
		ds.Errorf("remove_heads", "Heads are not counted", "With structure = %q the scores and the ratio say how many heads go. Leave remove_heads out, or use structure = \"%s-mm\".", a.Structure, a.Structure[:2])
	case a.RemoveHeads%(g.Heads/g.KVHeads) != 0:
		ds.Errorf("remove_heads", "Heads share keys", "%d query heads share each key head of %s and go together, so remove_heads is a multiple of %d.", g.Heads/g.KVHeads, a.Model.From, g.Heads/g.KVHeads)
	}
	var packed, sided, grouped []*model.Linear
	for _, l := range ty.Linears {
		switch {
		case l.Format.Quantized():
			packed = append(packed, l)
		case len(l.Sides) > 0:
			sided = append(sided, l)
		case l.Mask.IsNM() && a.Mode == "slice" && (l.Role == "attn.o" || l.Role == "mlp.down"):
			grouped = append(grouped, l)
		}
	}
	if len(packed) > 0 {
		ds.Errorf("model", "Cutting codes", "%s are %s since %s; columns that go would tear what is coded together. Prune first, then quantise.", blockwise.Paths(packed), packed[0].Format, packed[0].QuantizedBy)
		ds.Since(packed[0].QuantizedBy)
	}
	if len(sided) > 0 {
		ds.Errorf("model", "Cutting beside side paths", "%s carry side paths since %s, which were made for all of the heads and neurons. Prune before the compensation, or merge an adapter first.", blockwise.Paths(sided), sided[0].SidedBy)
		ds.Since(sided[0].SidedBy)
	}
	if len(grouped) > 0 {
		ds.Errorf("model", "Cutting would break the pattern", "%s are pruned to %s since %s; without some columns the groups of %d are others. Prune heads and neurons first, or use mode = \"mask\".", blockwise.Paths(grouped), grouped[0].Mask, grouped[0].MaskedBy, grouped[0].Mask.M)
		ds.Since(grouped[0].MaskedBy)
	}
	return ds
}

// typed is the type of what comes out: with the shapes that were decided, with
// those that follow from the arguments alone, or, until they are decided, with
// such ones in their place.
func (a *FLAPArgs) typed(c *passes.Call) (*model.Type, error) {
	ty := a.Model.Type.Clone()
	old := ty.Config
	p := flapConfigParams{Biases: a.Compensate}
	switch {
	case a.Mode == "mask":
		for b := range old.Layers {
			p.Shapes = append(p.Shapes, old.Shape(b))
		}
	case a.decides() && c.Decision != nil:
		var d flapDecision
		if err := json.Unmarshal(c.Decision, &d); err != nil {
			return nil, err
		}
		if len(d.Shapes) != old.Layers {
			return nil, fmt.Errorf("it has %d shapes for %d blocks", len(d.Shapes), old.Layers)
		}
		p.Shapes = d.Shapes
	default:
		if a.decides() {
			ty.Undecided = c.Node
		}
		p.Shapes = a.uniform(old)
	}
	if a.Mode == "slice" || a.Compensate {
		ty.Config = p.config(old)
	}
	i := 0
	for b := range old.Layers {
		for _, s := range ty.Config.At(b).Linears() {
			l := ty.Linears[i]
			i++
			if s.Bias && !l.HasBias {
				ty.OtherBytes += int64(s.Out) * 4
			}
			l.Out, l.In, l.HasBias, l.StoredBits = s.Out, s.In, s.Bias, DenseBits
			if a.Mode == "mask" {
				l.Mask, l.MaskedBy = mask.Pattern{Fraction: a.Ratio}, c.Node
			}
		}
	}
	return ty, nil
}

// spread returns the channels of units of a width.
func spread(units []int32, width int) []int32 {
	var out []int32
	for _, u := range units {
		for k := range width {
			out = append(out, u*int32(width)+int32(k))
		}
	}
	return out
}

// meanBias returns bias plus what the columns that are not kept make of the
// means of their inputs: bias may be nil.
func meanBias(w []float32, out, in int, kept []int32, mean []float64, bias []float32) []float32 {
	gone := make([]bool, in)
	for j := range gone {
		gone[j] = true
	}
	for _, j := range kept {
		gone[j] = false
	}
	b := make([]float32, out)
	for r := range out {
		sum := 0.0
		for j, x := range w[r*in : (r+1)*in] {
			if gone[j] {
				sum += float64(float64(x) * mean[j])
			}
		}
		if bias != nil {
			sum += float64(bias[r])
		}
		b[r] = float32(sum)
	}
	return b
}
