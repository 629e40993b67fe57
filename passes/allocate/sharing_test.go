package allocate

import (
	"fmt"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/prune"
)

const config = `{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 64,
	"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
	"vocab_size": 50, "tie_word_embeddings": true}`

// Two budgets and two pruners measure the curves once: a trial of each unit at each
// level.
func TestCurvesAreShared(t *testing.T) {
	cfg, err := arch.ParseConfig([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	g := action.NewGraph()
	leaf := func(part string) action.Ref {
		b := artifact.NewBuilder()
		b.PutBytes(part, tensor.Meta{DType: tensor.U8, Shape: []int{len(part)}}, []byte(part))
		tree, _ := b.Finish()
		return g.AddLeaf(part, tree)
	}
	m := &passes.Model{From: "model.base", Type: model.New(cfg, "model.base", func(string) float64 { return 32 }), Embed: leaf("embed"), Final: leaf("final")}
	for b := range cfg.Layers {
		m.Blocks = append(m.Blocks, leaf(fmt.Sprintf("block%d", b)))
	}
	data := &passes.Data{From: "data.text", Type: passes.DataType{Windows: 2, SequenceLength: 16}, Tokens: leaf("tokens")}
	lower := func(p *passes.Pass, node string, values map[string]cty.Value) passes.Result {
		t.Helper()
		args := p.NewArgs()
		values["model"] = schema.RefValue(&schema.Ref{Value: m})
		if p.Method != "magnitude" {
			values["data"] = schema.RefValue(&schema.Ref{Value: data})
		}
		if ds := schema.Decode(args, values); ds.HasErrors() {
			t.Fatal(ds.Err())
		}
		c := &passes.Call{Node: node, Args: args}
		r, ds := p.Type(c)
		if ds.HasErrors() {
			t.Fatal(ds.Err())
		}
		return p.Lower(c, g, r)
	}
	for _, s := range []float64{0.3, 0.5} {
		r := lower(RD, fmt.Sprintf("allocate.s%v", s), map[string]cty.Value{"sparsity": cty.NumberFloatVal(s)})
		shares := schema.RefValue(&schema.Ref{Value: r.Allocation})
		for _, p := range prune.All() {
			if p.Method == "magnitude" || p.Method == "wanda" {
				lower(p, fmt.Sprintf("prune.%s%v", p.Method, s), map[string]cty.Value{"allocation": shares})
			}
		}
	}
	count := map[string]int{}
	for _, a := range g.Actions {
		if a.Kernel != nil {
			count[a.Kernel.Name]++
		}
	}
	const blocks, units, levels, budgets = 3, 2, 7, 2
	for kernel, want := range map[string]int{
		"trial.spread":  blocks,
		"trial.compare": blocks,
		"allocate.rd":   budgets,
		// Trials of units at levels, and each budget's layers, one by one.
		"prune.magnitude": blocks*units*levels + budgets*blocks*7,
		"prune.wanda":     budgets * blocks,
	} {
		if count[kernel] != want {
			t.Errorf("%s: %d actions, want %d", kernel, count[kernel], want)
		}
	}
}
