package training

import (
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/train"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// mergeKernel turns the trained state into a model: outputs block0…, embed and
// final as asked for, and ranks0… with the blocks' ranks as the leaf "report".
var mergeKernel = action.NewKernel("train.merge", 1, func(c *action.Context, s Spec) error {
	l, err := s.load(c, false)
	if err != nil {
		return err
	}
	st, err := readState(c.Input("state"), true)
	if err != nil {
		return err
	}
	if err := l.trainer.Restore(st); err != nil {
		return err
	}
	cfg := s.config()
	replaced := map[string]bool{}
	err = l.trainer.Merged(func(name string, shape []int, data []float32) error {
		out, leaf := place(cfg, name)
		if !c.Wants(out) {
			return nil
		}
		replaced[out+"/"+leaf] = true
		c.Output(out).PutFloat32(leaf, shape, data)
		return nil
	})
	if err != nil {
		return err
	}
	for name, out := range c.Out {
		if !isRanks(name) {
			out.CopyExcept(c.Input(name), func(leaf string) bool { return replaced[name+"/"+leaf] })
		}
	}
	for _, b := range s.rankedBlocks() {
		if err := putRanks(c.Output(ranksOutput(b)), st, cfg.BlockPrefix(b), s.Linears[b]); err != nil {
			return err
		}
	}
	return nil
})

// place says in which part of the model a tensor lies, and its name there.
func place(cfg *arch.Config, name string) (part, leaf string) {
	switch name {
	case cfg.EmbedName(), cfg.PositionName():
		return "embed", name
	case cfg.FinalNormName(), cfg.FinalNormBiasName(), "lm_head.weight":
		return "final", name
	}
	rest := strings.TrimPrefix(name, "model.layers.")
	b, leaf, _ := strings.Cut(rest, ".")
	return "block" + b, leaf
}

// Merge lowers the run and the merge of what was trained into the weights.
// layers report the ranks that a budget left, if there is one.
func (j Job) Merge(g *action.Graph, next *passes.Model) (layers []passes.LayerReport, logs []action.Ref) {
	state, logs := j.Chunks(g)
	cfg := j.Model.Type.Config
	p := cfg.Parameters() * 4
	spec := action.Spec{Kernel: mergeKernel, Params: j.Spec, Node: j.Node, Label: "merge",
		Inputs: append(modelInputs(j.Model), action.Input{Name: "state", Ref: state}),
		Flops:  float64(p), Peak: j.peak(j.trained())}
	changed := map[string]bool{}
	if j.Spec.Embedding || j.Spec.Geometry.Tied && j.Spec.Head.Kind == train.Full {
		changed["embed"] = true
	}
	if j.Spec.Norms || j.Spec.Head.Kind != train.Frozen && !changed["embed"] {
		changed["final"] = true
	}
	for b, ls := range j.Spec.Linears {
		if len(ls) > 0 || j.Spec.Norms || j.Spec.Biases || j.Spec.Adapters.Any() {
			changed[blockInput(b)] = true
		}
	}
	for _, in := range modelInputs(j.Model) {
		if changed[in.Name] {
			spec.Outputs = append(spec.Outputs, action.Output{Name: in.Name, Class: action.Durable, Bytes: p / int64(cfg.Layers)})
		}
	}
	for _, b := range j.Spec.rankedBlocks() {
		spec.Outputs = append(spec.Outputs, ranksDeclared(ranksOutput(b)))
	}
	a := g.Add(spec)
	for _, b := range j.Spec.rankedBlocks() {
		layers = append(layers, ranksReport(b, a, ranksOutput(b)))
	}
	ref := func(name string, old action.Ref) action.Ref {
		if changed[name] {
			return action.Ref{Action: a, Output: name}
		}
		return old
	}
	next.Embed, next.Final = ref("embed", j.Model.Embed), ref("final", j.Model.Final)
	next.Blocks = nil
	for b, old := range j.Model.Blocks {
		next.Blocks = append(next.Blocks, ref(blockInput(b), old))
	}
	return layers, logs
}

// adapterParams name the trained layers of one block by their names in the
// state.
type adapterParams struct {
	Prefix  string   `json:"prefix"`
	Linears []Linear `json:"linears"`
	// Ins and Outs are the layers' shapes.
	Ins  []int `json:"ins"`
	Outs []int `json:"outs"`
	// Fold puts the scale into the adapter's B.
	Fold bool `json:"fold,omitempty"`
}

// adapterKernel takes one block's low-rank factors out of the state: output
// "adapter" as NAME.lora_A and NAME.lora_B, output "block" the block with them
// as side paths, the scale folded into B, and output "report" their ranks where
// a budget chose them. A layer without any is left out.
var adapterKernel = action.NewKernel("train.adapter", 2, func(c *action.Context, p adapterParams) error {
	st, err := readState(c.Input("state"), false)
	if err != nil {
		return err
	}
	byName := map[string]*train.Param{}
	for _, q := range st.Params {
		byName[q.Name] = q
	}
	if c.Wants("report") {
		if err := putRanks(c.Output("report"), st, p.Prefix, p.Linears); err != nil {
			return err
		}
	}
	if c.Wants("block") {
		c.Output("block").CopyExcept(c.Input("block"), nil)
	}
	for i, l := range p.Linears {
		rank, a, b := train.Factors(l.plan(nil), p.Prefix+l.Name, p.Outs[i], p.Ins[i], byName)
		if rank == 0 {
			continue
		}
		scaled, scale := make([]float32, len(b)), l.factor()
		for k, x := range b {
			scaled[k] = float32(float64(x) * scale)
		}
		if c.Wants("adapter") {
			if p.Fold {
				b = slices.Clone(scaled)
			}
			c.Output("adapter").PutFloat32(l.Name+".lora_A", []int{rank, p.Ins[i]}, slices.Clone(a))
			c.Output("adapter").PutFloat32(l.Name+".lora_B", []int{p.Outs[i], rank}, b)
		}
		if c.Wants("block") {
			n := blockwise.SideCount(c.Input("block"), l.Name)
			blockwise.PutSide(c.Output("block"), l.Name, n, rank, a, scaled)
		}
	}
	return nil
})

// Taken are the updates of a final state.
type Taken struct {
	Blocks   []action.Ref // with the updates as side paths; nil unless asked for
	Adapters []action.Ref
	Layers   []passes.LayerReport // the ranks that a budget left, if there is one
}

// Adapters takes the factors out of a final state, as an adapter and, with side,
// as blocks with side paths. fold puts the adapter's scale into B.
func (j Job) Adapters(g *action.Graph, state action.Ref, side, fold bool) (t Taken) {
	cfg := j.Model.Type.Config
	for b, ls := range j.Spec.Linears {
		p := adapterParams{Prefix: cfg.BlockPrefix(b), Linears: ls, Fold: fold}
		for _, l := range ls {
			shape := find(j.Model.Type.Block(b), l.Name)
			p.Ins, p.Outs = append(p.Ins, shape.In), append(p.Outs, shape.Out)
		}
		outs := []action.Output{{Name: "adapter", Class: action.Durable, Bytes: j.trained() * 4 / int64(cfg.Layers)}}
		if side {
			outs = append(outs, action.Output{Name: "block", Class: action.Durable, Bytes: j.trained() * 4 / int64(cfg.Layers)})
		}
		ranked := j.Spec.Budget != nil && len(ls) > 0
		if ranked {
			outs = append(outs, ranksDeclared("report"))
		}
		a := g.Add(action.Spec{Kernel: adapterKernel, Params: p, Node: j.Node, Label: blockInput(b),
			Inputs:  []action.Input{{Name: "block", Ref: j.Model.Blocks[b]}, {Name: "state", Ref: state}},
			Outputs: outs, Flops: 1e6, Peak: j.trained() * 16 / int64(cfg.Layers)})
		t.Adapters = append(t.Adapters, action.Ref{Action: a, Output: "adapter"})
		if side {
			t.Blocks = append(t.Blocks, action.Ref{Action: a, Output: "block"})
		}
		if ranked {
			t.Layers = append(t.Layers, ranksReport(b, a, "report"))
		}
	}
	return t
}
