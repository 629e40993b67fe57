package merge

import (
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
)

const toyConfig = `{"model_type": "llama", "hidden_act": "silu", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3,
"num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000, "vocab_size": 64, "tie_word_embeddings": true}`

// toy is a model of a changed configuration whose linears change changes.
func toy(t testing.TB, name, from, to string, change func(*model.Linear)) *passes.Model {
	t.Helper()
	cfg, err := arch.ParseConfig([]byte(strings.Replace(toyConfig, from, to, 1)))
	if err != nil {
		t.Fatal(err)
	}
	ty := model.New(cfg, name, func(string) float64 { return 32 })
	ty.Tokenizer = "words"
	for _, l := range ty.Linears {
		if change != nil {
			change(l)
		}
	}
	return &passes.Model{Type: ty, From: name}
}

func TestTypeRules(t *testing.T) {
	plainToy := func(name string) *passes.Model { return toy(t, name, "", "", nil) }
	base := plainToy("model.base")
	code := func(l *model.Linear) {
		if l.Block == 1 && l.Role == "mlp.down" {
			l.Format = model.Format{Bits: 3, GroupSize: 32}
			l.QuantizedBy = "quantize.q"
		}
	}
	half := mask.Pattern{}
	if p, err := mask.ParsePattern("2:4"); err == nil {
		half = p
	}
	masked := func(l *model.Linear) { l.Mask, l.MaskedBy = half, "prune.p" }
	words := plainToy("model.words")
	words.Type.Tokenizer = "other words"
	of := func(m ...*passes.Model) any {
		return &TaskArithmeticArgs{Base: base, Sources: Sources{Models: m, Embeddings: "merge"}, Lambda: 1}
	}
	kept := func(m ...*passes.Model) any {
		return &TaskArithmeticArgs{Base: base, Sources: Sources{Models: m, Embeddings: "base"}, Lambda: 1}
	}
	vocab := toy(t, "model.wide", `"vocab_size": 64`, `"vocab_size": 70`, nil)
	for _, c := range []struct {
		name     string
		pass     *passes.Pass
		args     any
		severity diag.Severity
		arg      string
		summary  string
		says     string
	}{
		{"no models", TaskArithmetic, of(), diag.Error, "models", "Too few models", "at least 1"},
		{"codes", TaskArithmetic, of(toy(t, "quantize.q", "", "", code)), diag.Error, "models", "Merging codes", "model.layers.1.mlp.down_proj are 3-bit codes in quantize.q since quantize.q"},
		{"zeros", TaskArithmetic, of(toy(t, "prune.p", "", "", masked)), diag.Error, "models", "Merging would fill zeros", "2:4"},
		{"a base of zeros", TaskArithmetic, &TaskArithmeticArgs{Base: toy(t, "prune.p", "", "", masked), Sources: Sources{Models: []*passes.Model{base}, Embeddings: "merge"}}, diag.Error, "base", "Merging would fill zeros", "prune.p"},
		{"fewer blocks", TaskArithmetic, of(toy(t, "model.short", `"num_hidden_layers": 3`, `"num_hidden_layers": 2`, nil)), diag.Error, "models", "Models of different shapes", "it has 2 decoder blocks, expected 3"},
		{"narrower", TaskArithmetic, of(toy(t, "model.thin", `"intermediate_size": 64`, `"intermediate_size": 48`, nil)), diag.Error, "models", "Models of different shapes", "mlp.gate_proj is [48, 32], expected [64, 32]"},
		{"more words", TaskArithmetic, of(vocab), diag.Error, "models", "Models of different shapes", `is [70 32], expected [64 32]; embeddings = "base" keeps`},
		{"a head of its own", TaskArithmetic, of(toy(t, "model.head", `"tie_word_embeddings": true`, `"tie_word_embeddings": false`, nil)), diag.Error, "models", "Models of different shapes", "it has lm_head.weight [64 32], expected none"},
		{"biases", TaskArithmetic, of(toy(t, "model.bias", `"model_type"`, `"attention_bias": true, "model_type"`, nil)), diag.Error, "models", "Models of different shapes", "self_attn.q_proj.bias"},
		{"other heads", TaskArithmetic, of(toy(t, "model.heads", `"num_attention_heads": 4, "num_key_value_heads": 2`, `"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 4`, nil)), diag.Error, "models", "Models of different shapes", "8 heads of 4"},
		{"other angles", TaskArithmetic, of(toy(t, "model.far", "10000", "50000", nil)), diag.Warning, "models", "Models compute differently", "rope_theta 50000"},
		{"other words", TaskArithmetic, of(words), diag.Warning, "models", "Models of different tokenizers", "model.words and model.base"},
		{"density of nothing", TIES, &TIESArgs{Base: base, Sources: Sources{Models: []*passes.Model{base}, Embeddings: "merge"}, Density: Density{1e-4}}, diag.Error, "density", "Nothing is kept", "none of the 1024 weights"},
		{"a weight too many", TaskArithmetic, &TaskArithmeticArgs{Base: base, Sources: Sources{Models: []*passes.Model{base}, Embeddings: "merge"}, Weighted: Weighted{[]float64{1, 2}}}, diag.Error, "weights", "Weights do not fit the models", "2 weights for 1 models"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, ds := c.pass.Type(&passes.Call{Node: "merge.m", Args: c.args})
			if len(ds) == 0 {
				t.Fatalf("nothing is said; result %+v", r.Model)
			}
			d := ds[0]
			if d.Severity != c.severity || d.Arg != c.arg || d.Summary != c.summary || !strings.Contains(d.Detail, c.says) {
				t.Errorf("%s: %s: %s; want %s: %s: … %s …", d.Arg, d.Summary, d.Detail, c.arg, c.summary, c.says)
			}
		})
	}
	if _, ds := TaskArithmetic.Type(&passes.Call{Node: "merge.m", Args: kept(vocab)}); len(ds) > 0 {
		t.Errorf("the base's embedding is kept, yet: %v", ds)
	}
	sided := toy(t, "retrain.s", "", "", func(l *model.Linear) { l.Sides, l.SideBits, l.SidedBy = []int{4}, 32, "retrain.s" })
	r, ds := TaskArithmetic.Type(&passes.Call{Node: "merge.m", Args: of(sided, plainToy("b"))})
	if len(ds) > 0 || r.Model.Type == nil || len(r.Model.Type.Linears[0].Sides) > 0 || r.Model.Type.BitsPerWeight() != 16 || r.Model.Type.Linears[0].SidedBy != "" {
		t.Errorf("%v, %+v", ds, r.Model.Type)
	}
	unknown := &passes.Model{From: "model.absent"}
	if r, ds := TaskArithmetic.Type(&passes.Call{Node: "merge.m", Args: of(unknown)}); len(ds) > 0 || r.Model.Type != nil {
		t.Errorf("a model that is not at hand: %v, %+v", ds, r.Model.Type)
	}
}
