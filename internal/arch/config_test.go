package arch

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// base is the least a config.json must say; edit changes or adds keys.
func base(edit map[string]any) []byte {
	m := map[string]any{
		"model_type": "llama", "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3,
		"num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 260,
	}
	maps.Copy(m, edit)
	for k, v := range m {
		if v == nil {
			delete(m, k)
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func TestParseConfig(t *testing.T) {
	llama3 := &RopeScaling{Type: "llama3", Factor: 8, Low: 1, High: 4, Original: 64}
	scaling := map[string]any{"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
	with := func(m map[string]any, k string, v any) map[string]any {
		m = maps.Clone(m)
		m[k] = v
		return m
	}
	windows := func(c *Config) (w []int) {
		for i := range c.Layers {
			w = append(w, c.LayerWindow(i))
		}
		return w
	}
	for _, c := range []struct {
		name string
		edit map[string]any
		ok   func(c *Config) bool
	}{
		{"defaults", nil, func(c *Config) bool {
			return c.HeadDim == 8 && c.RopeTheta == 10000 && c.RMSEps == 1e-6 && !c.Tied && c.RopeScaling == nil && !c.AttentionBias && !c.MLPBias && !c.QKNorm
		}},
		{"no kv heads", map[string]any{"num_key_value_heads": nil}, func(c *Config) bool { return c.KVHeads == 8 }},
		{"head size", map[string]any{"head_dim": 24}, func(c *Config) bool { return c.HeadDim == 24 && c.QDim() == 192 && c.KVDim() == 48 }},
		{"older rope", map[string]any{"rope_theta": 5e5, "rope_scaling": with(scaling, "type", "llama3")}, func(c *Config) bool {
			return c.RopeTheta == 5e5 && reflect.DeepEqual(c.RopeScaling, llama3)
		}},
		{"newer rope", map[string]any{"rope_parameters": with(with(scaling, "rope_type", "llama3"), "rope_theta", 5e5)}, func(c *Config) bool {
			return c.RopeTheta == 5e5 && reflect.DeepEqual(c.RopeScaling, llama3)
		}},
		{"linear rope", map[string]any{"rope_scaling": map[string]any{"type": "linear", "factor": 2}}, func(c *Config) bool {
			return reflect.DeepEqual(c.RopeScaling, &RopeScaling{Type: "linear", Factor: 2})
		}},
		{"null rope", map[string]any{"rope_scaling": json.RawMessage("null")}, func(c *Config) bool { return c.RopeScaling == nil }},
		{"llama biases", map[string]any{"attention_bias": true, "mlp_bias": true}, func(c *Config) bool {
			return c.AttentionBias && c.AttentionOutBias && c.MLPBias
		}},
		{"qwen2 biases", map[string]any{"model_type": "qwen2"}, func(c *Config) bool { return c.AttentionBias && !c.AttentionOutBias && !c.MLPBias }},
		{"qwen3 norms", map[string]any{"model_type": "qwen3"}, func(c *Config) bool { return c.QKNorm && !c.AttentionBias }},
		{"token ids", map[string]any{"bos_token_id": 1, "eos_token_id": []int{2, 7}}, func(c *Config) bool {
			return slices.Equal(c.BOS, []int32{1}) && slices.Equal(c.EOS, []int32{2, 7})
		}},
		{"mistral window", map[string]any{"model_type": "mistral", "sliding_window": 24}, func(c *Config) bool { return slices.Equal(windows(c), []int{24, 24, 24}) }},
		{"mistral without", map[string]any{"model_type": "mistral", "sliding_window": json.RawMessage("null")}, func(c *Config) bool { return slices.Equal(windows(c), []int{0, 0, 0}) }},
		{"qwen window off", map[string]any{"model_type": "qwen2", "sliding_window": 24, "use_sliding_window": false}, func(c *Config) bool { return slices.Equal(windows(c), []int{0, 0, 0}) }},
		{"qwen window from a layer", map[string]any{"model_type": "qwen2", "sliding_window": 24, "use_sliding_window": true, "max_window_layers": 2}, func(c *Config) bool { return slices.Equal(windows(c), []int{0, 0, 24}) }},
		{"qwen layer types", map[string]any{"model_type": "qwen3", "sliding_window": 24, "use_sliding_window": true, "layer_types": []string{"sliding_attention", "full_attention", "sliding_attention"}}, func(c *Config) bool { return slices.Equal(windows(c), []int{24, 0, 24}) }},
	} {
		got, err := ParseConfig(base(c.edit))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if !c.ok(got) {
			t.Errorf("%s: read as %+v", c.name, got)
		}
	}
}

func TestParseConfigErrors(t *testing.T) {
	for _, c := range []struct {
		edit map[string]any
		want string
	}{
		{map[string]any{"model_type": "bert"}, `model_type is "bert"; supported are llama, mistral, qwen2, qwen3, gpt2, opt`},
		{map[string]any{"model_type": nil}, "model_type is missing"},
		{map[string]any{"hidden_size": nil}, "hidden_size is missing"},
		{map[string]any{"hidden_size": 0}, "hidden_size is 0; expected 1"},
		{map[string]any{"vocab_size": 1 << 40}, "vocab_size is 1099511627776"},
		{map[string]any{"num_key_value_heads": 3}, "num_key_value_heads is 3; expected a divisor of num_attention_heads = 8"},
		{map[string]any{"num_key_value_heads": 0}, "num_key_value_heads is 0"},
		{map[string]any{"hidden_size": 63}, "no multiple of num_attention_heads = 8"},
		{map[string]any{"head_dim": 7}, "head_dim is 7; expected an even number"},
		{map[string]any{"hidden_act": "gelu"}, `hidden_act is "gelu"`},
		{map[string]any{"rms_norm_eps": -1}, "rms_norm_eps is -1"},
		{map[string]any{"rope_theta": 0}, "rope_theta is 0"},
		{map[string]any{"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"},
		{map[string]any{"rope_scaling": map[string]any{"type": "yarn", "factor": 4}}, `rope_scaling has rope_type "yarn"; supported are default, linear, llama3`},
		{map[string]any{"rope_parameters": map[string]any{"rope_type": "linear"}}, "rope_parameters: factor is missing"},
		{map[string]any{"rope_scaling": map[string]any{"type": "llama3", "factor": 4}}, "needs low_freq_factor"},
		{map[string]any{"model_type": "mistral", "sliding_window": -2}, "sliding_window is -2"},
		{map[string]any{"model_type": "qwen2", "sliding_window": 4, "use_sliding_window": true, "layer_types": []string{"full_attention"}}, "layer_types has 1 entries"},
		{map[string]any{"model_type": "qwen2", "sliding_window": 4, "use_sliding_window": true, "layer_types": []string{"a", "b", "c"}}, `layer_types[0] is "a"`},
		{map[string]any{"hidden_size": "64"}, "hidden_size"},
	} {
		_, err := ParseConfig(base(c.edit))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v; expected one with %q", c.edit, err, c.want)
		}
	}
	for _, raw := range []string{"", "null", "[]", "{", "3"} {
		if _, err := ParseConfig([]byte(raw)); err == nil {
			t.Errorf("%q is accepted", raw)
		}
	}
}

// What is written must be read again as the same configuration, and unknown
// keys must survive.
func TestJSONRoundTrip(t *testing.T) {
	for _, edit := range []map[string]any{
		{"quirk": map[string]any{"a": []int{1, 2}}, "torch_dtype": "bfloat16"},
		{"rope_theta": 5e5, "rope_scaling": map[string]any{"type": "linear", "factor": 2.0}},
		{"rope_parameters": map[string]any{"rope_type": "default", "rope_theta": 1e6, "extra": 1}, "tie_word_embeddings": true},
		{"model_type": "qwen2", "sliding_window": 24, "use_sliding_window": true, "max_window_layers": 2},
		{"model_type": "qwen3", "attention_bias": true, "head_dim": 24},
		{"model_type": "mistral", "sliding_window": 24},
		{"attention_bias": true, "mlp_bias": true},
	} {
		c, err := ParseConfig(base(edit))
		if err != nil {
			t.Fatal(err)
		}
		c.Intermediate = 96 // as after slicing neurons away
		b, err := c.JSON()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseConfig(b)
		if err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		var raw map[string]any
		if err := json.Unmarshal(b, &raw); err != nil {
			t.Fatal(err)
		}
		if _, ok := edit["quirk"]; ok && !reflect.DeepEqual(raw["quirk"], map[string]any{"a": []any{1.0, 2.0}}) {
			t.Errorf("unknown key became %v", raw["quirk"])
		}
		if p, ok := raw["rope_parameters"].(map[string]any); ok && p["extra"] != 1.0 {
			t.Errorf("unknown key in rope_parameters is lost: %v", p)
		}
		if raw["architectures"] == nil {
			t.Error("architectures is missing")
		}
		for i := range c.Layers {
			if again.LayerWindow(i) != c.LayerWindow(i) {
				t.Errorf("block %d has window %d; expected %d", i, again.LayerWindow(i), c.LayerWindow(i))
			}
		}
		c.Raw, again.Raw = nil, nil
		if !reflect.DeepEqual(c, again) {
			t.Errorf("read again as\n%+v, written from\n%+v", again, c)
		}
		twice, err := again.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if c2, err := ParseConfig(twice); err != nil || c2.Intermediate != 96 {
			t.Errorf("without raw keys: %v", err)
		}
	}
}

func TestModules(t *testing.T) {
	c, err := ParseConfig(base(map[string]any{"model_type": "qwen2", "head_dim": 16, "tie_word_embeddings": true}))
	if err != nil {
		t.Fatal(err)
	}
	var names, sites []string
	for _, l := range c.Linears() {
		names = append(names, l.Name)
		if len(sites) == 0 || sites[len(sites)-1] != l.Site {
			sites = append(sites, l.Site)
		}
		if w := c.SiteWidth(l.Site); w != l.In {
			t.Errorf("%s reads %d features of %s, which has %d", l.Name, l.In, l.Site, w)
		}
	}
	if want := []string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}; !slices.Equal(names, want) {
		t.Errorf("layers %v; expected %v", names, want)
	}
	if !slices.Equal(sites, Sites()) {
		t.Errorf("sites %v; expected %v", sites, Sites())
	}
	// 2 norms, q [128, 64], k and v [32, 64], o [64, 128], three of 160·64; three biases.
	block := int64(2*64 + 128*64 + 2*32*64 + 64*128 + 3*160*64 + 128 + 32 + 32)
	if got := c.Parameters(); got != 3*block+260*64+64 {
		t.Errorf("%d parameters; expected %d", got, 3*block+260*64+64)
	}
	if got := c.LinearParameters(); got != 3*(block-2*64-192) {
		t.Errorf("%d weights in linear layers; expected %d", got, 3*(block-2*64-192))
	}
}

// SmolLM2-135M's published numbers.
func TestSmolLM2Parameters(t *testing.T) {
	c, err := ParseConfig([]byte(`{"model_type":"llama","hidden_size":576,"intermediate_size":1536,"num_hidden_layers":30,"num_attention_heads":9,"num_key_value_heads":3,"vocab_size":49152,"tie_word_embeddings":true}`))
	if err != nil {
		t.Fatal(err)
	}
	if c.Parameters() != 134_515_008 || c.LinearParameters() != 106_168_320 {
		t.Errorf("%d parameters, %d in linear layers; expected 134515008 and 106168320", c.Parameters(), c.LinearParameters())
	}
}

func TestCheckShapes(t *testing.T) {
	c, err := ParseConfig(base(map[string]any{"num_hidden_layers": 2, "tie_word_embeddings": true}))
	if err != nil {
		t.Fatal(err)
	}
	whole := func() map[string][]int {
		have := map[string][]int{}
		for _, x := range c.OuterTensors() {
			have[x.Name] = x.Shape
		}
		for i := range c.Layers {
			for _, x := range c.BlockTensors() {
				have[c.BlockPrefix(i)+x.Name] = x.Shape
			}
		}
		return have
	}
	have := whole()
	have["lm_head.weight"] = []int{260, 64}
	have["model.layers.0.self_attn.rotary_emb.inv_freq"] = []int{4}
	if got := c.CheckShapes(have); len(got) != 0 {
		t.Errorf("a whole checkpoint: %v", got)
	}
	have = whole()
	delete(have, "model.layers.1.mlp.up_proj.weight")
	have["model.layers.0.self_attn.k_proj.weight"] = []int{64, 16}
	have["model.layers.0.self_attn.q_proj.bias"] = []int{64}
	have["model.layers.2.mlp.up_proj.weight"] = []int{160, 64}
	var got []string
	for _, m := range c.CheckShapes(have) {
		got = append(got, m.String())
	}
	want := []string{
		"tensor model.layers.0.self_attn.k_proj.weight has shape [64 16], expected [16 64]",
		"tensor model.layers.1.mlp.up_proj.weight [160 64] is missing",
		"tensor model.layers.0.self_attn.q_proj.bias [64] is not part of this architecture",
		"tensor model.layers.2.mlp.up_proj.weight [160 64] is not part of this architecture",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nexpected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Whatever the bytes, ParseConfig returns an error or sizes that can be used,
// and what it accepts can be written and read again.
func FuzzParseConfig(f *testing.F) {
	f.Add(base(nil))
	f.Add(base(map[string]any{"rope_parameters": map[string]any{"rope_type": "linear", "factor": 2}}))
	f.Add(base(map[string]any{"model_type": "qwen2", "sliding_window": 4, "use_sliding_window": true, "max_window_layers": -1}))
	f.Add([]byte(`{"model_type":"llama","rope_scaling":[1]}`))
	if paths, err := filepath.Glob("../nn/testdata/*/config.json"); err == nil {
		for _, p := range paths {
			if b, err := os.ReadFile(p); err == nil {
				f.Add(b)
			}
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := ParseConfig(raw)
		if err != nil {
			return
		}
		if c.Heads%c.KVHeads != 0 || c.HeadDim%2 != 0 || c.QDim() < 2 {
			t.Fatalf("accepted sizes %+v", c)
		}
		if c.Layers < 1000 {
			for i := range c.Layers {
				if c.LayerWindow(i) < 0 {
					t.Fatalf("window %d", c.LayerWindow(i))
				}
			}
		}
		b, err := c.JSON()
		if err != nil {
			t.Fatalf("cannot be written again: %v", err)
		}
		if _, err := ParseConfig(b); err != nil {
			t.Fatalf("%s\ncannot be read again: %v", b, err)
		}
	})
}
