package arch

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	tinyGPT2 = `{"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 2, "n_positions": 16, "vocab_size": 10}`
	tinyOPT  = `{"model_type": "opt", "hidden_size": 8, "ffn_dim": 12, "num_attention_heads": 2, "num_hidden_layers": 2,
		"max_position_embeddings": 16, "vocab_size": 10, "do_layer_norm_before": true}`
)

func TestParseLayerNorm(t *testing.T) {
	g, err := ParseConfig([]byte(tinyGPT2))
	if err != nil {
		t.Fatal(err)
	}
	if g.Intermediate != 32 || g.PositionRows() != 16 || !g.Tied || g.RMSEps != 1e-5 || g.Activation != ActGELUTanh {
		t.Errorf("gpt2: %+v", g)
	}
	o, err := ParseConfig([]byte(tinyOPT))
	if err != nil {
		t.Fatal(err)
	}
	if o.Intermediate != 12 || o.PositionRows() != 18 || !o.Tied || o.RMSEps != 1e-5 || o.Activation != ActReLU {
		t.Errorf("opt: %+v", o)
	}
	for _, c := range []*Config{g, o} {
		var roles []string
		for _, l := range c.Linears() {
			roles = append(roles, l.Role)
			if !l.Bias {
				t.Errorf("%s: %s has no bias", c.ModelType, l.Role)
			}
		}
		if want := []string{"attn.q", "attn.k", "attn.v", "attn.o", "mlp.up", "mlp.down"}; !slices.Equal(roles, want) {
			t.Errorf("%s: roles %v; expected %v", c.ModelType, roles, want)
		}
	}
}

func TestParseLayerNormRefuses(t *testing.T) {
	with := func(base, add string) string { return strings.TrimSuffix(base, "}") + ", " + add + "}" }
	for _, c := range []struct{ name, raw, want string }{
		{"norms after the sum", with(tinyOPT, `"do_layer_norm_before": false`), "OPT-350m"},
		{"a projected embedding", with(tinyOPT, `"word_embed_proj_dim": 4`), "word_embed_proj_dim"},
		{"no biases", with(tinyOPT, `"enable_bias": false`), "enable_bias"},
		{"norms without gains", with(tinyOPT, `"layer_norm_elementwise_affine": false`), "layer_norm_elementwise_affine"},
		{"no final norm", with(tinyOPT, `"_remove_final_layer_norm": true`), "_remove_final_layer_norm"},
		{"another activation", with(tinyGPT2, `"activation_function": "gelu"`), "activation_function"},
		{"scores scaled by block", with(tinyGPT2, `"scale_attn_by_inverse_layer_idx": true`), "scale_attn_by_inverse_layer_idx"},
		{"scores not scaled", with(tinyGPT2, `"scale_attn_weights": false`), "scale_attn_weights"},
		{"cross attention", with(tinyGPT2, `"add_cross_attention": true`), "add_cross_attention"},
		{"no positions", strings.Replace(tinyGPT2, `"n_positions": 16, `, "", 1), "learned positions"},
		{"no width", strings.Replace(tinyGPT2, `"n_embd": 8, `, "", 1), "n_embd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ParseConfig([]byte(c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v; expected one with %q", err, c.want)
			}
		})
	}
}

func TestSource(t *testing.T) {
	g, o := &Config{ModelType: "gpt2"}, &Config{ModelType: "opt"}
	for _, c := range []struct {
		c    *Config
		name string
		want Place
	}{
		{g, "model.layers.11.self_attn.k_proj.weight", Place{"transformer.h.11.attn.c_attn.weight", true, 1, 3}},
		{g, "model.layers.0.self_attn.v_proj.bias", Place{"transformer.h.0.attn.c_attn.bias", false, 2, 3}},
		{g, "model.layers.0.mlp.down_proj.weight", Place{"transformer.h.0.mlp.c_proj.weight", true, 0, 1}},
		{g, "model.layers.0.input_layernorm.weight", Place{"transformer.h.0.ln_1.weight", false, 0, 1}},
		{g, "model.embed_tokens.weight", Place{"transformer.wte.weight", false, 0, 1}},
		{o, "model.layers.2.mlp.up_proj.bias", Place{"model.decoder.layers.2.fc1.bias", false, 0, 1}},
		{o, "model.norm.bias", Place{"model.decoder.final_layer_norm.bias", false, 0, 1}},
		{o, "lm_head.weight", Place{"lm_head.weight", false, 0, 1}},
		{&Config{ModelType: "llama"}, "model.norm.weight", Place{"model.norm.weight", false, 0, 1}},
	} {
		if got := c.c.Source(c.name); got != c.want {
			t.Errorf("%s: %s lies at %+v; expected %+v", c.c.ModelType, c.name, got, c.want)
		}
	}
}

func TestTake(t *testing.T) {
	// Stored [in, 3·out] with in = 2 and out = 2.
	x := []float32{1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16}
	p := Place{Name: "x", Transposed: true, Part: 1, Parts: 3}
	got, err := p.Take(x, 2, 2)
	if want := []float32{3, 13, 4, 14}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; expected %v", got, err, want)
	}
	if got, err := (Place{Name: "b", Part: 2, Parts: 3}).Take(x[:6], 2, 1); err != nil || !slices.Equal(got, []float32{5, 6}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := p.Take(x[:11], 2, 2); err == nil {
		t.Error("a tensor of another size is taken")
	}
}

// FuzzParseLayerNorm: no input panics, and what is accepted has tensors of
// positive size.
func FuzzParseLayerNorm(f *testing.F) {
	f.Add([]byte(tinyGPT2))
	f.Add([]byte(tinyOPT))
	for _, name := range []string{"gpt2", "opt"} {
		if raw, err := os.ReadFile(filepath.Join(referenceDir(), "tiny", name, "config.json")); err == nil {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := ParseConfig(raw)
		if err != nil {
			return
		}
		for _, x := range append(c.OuterTensors(), c.BlockTensors()...) {
			if x.Elements() < 1 {
				t.Errorf("%s has %d elements", x.Name, x.Elements())
			}
		}
	})
}

func referenceDir() string {
	if dir := os.Getenv("COMPRESSC_REFERENCE"); dir != "" {
		return dir
	}
	return "../../../shared/reference"
}
