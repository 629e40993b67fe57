package compressedtensors

import (
	"encoding/json"
	"strings"
	"testing"
)

// What is written is what the reference implementation accepts: no key under
// "weights" beyond those it knows.
func TestConfigOfOneScheme(t *testing.T) {
	c := NewConfig()
	c.Add("model.layers.0.mlp.up_proj", Weights{4, 64, true})
	c.Add("model.layers.1.mlp.up_proj", Weights{4, 64, true})
	c.Ignore("lm_head")
	got, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"config_groups":{"group_0":{"input_activations":null,"output_activations":null,"targets":["Linear"],` +
		`"weights":{"actorder":null,"dynamic":false,"group_size":64,"num_bits":4,"strategy":"group","symmetric":true,"type":"int"}}},` +
		`"format":"pack-quantized","global_compression_ratio":null,"ignore":["lm_head"],"kv_cache_scheme":null,` +
		`"quant_method":"compressed-tensors","quantization_status":"compressed","version":"0.18.0"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestConfigOfSeveralSchemes(t *testing.T) {
	c := NewConfig()
	c.Add("a.q_proj", Weights{4, 64, true})
	c.Add("a.up_proj", Weights{3, -1, false})
	c.Add("b.q_proj", Weights{4, 64, true})
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string]Weights{"a.q_proj": {4, 64, true}, "b.q_proj": {4, 64, true}, "a.up_proj": {3, -1, false}} {
		if got, ok := s.Of(module); !ok || got != want {
			t.Errorf("%s: %+v, %v; expected %+v", module, got, ok, want)
		}
	}
	if w, ok := s.Of("a.k_proj"); ok {
		t.Errorf("a.k_proj is targeted: %+v", w)
	}
}

func scheme(groups string) string {
	return `{"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {` + groups + `}}`
}

func TestTargets(t *testing.T) {
	s, err := ParseConfig([]byte(scheme(`
		"a": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 128}},
		"b": {"targets": ["re:.*\\.down_proj$", "re:model\\.layers\\.1\\."], "weights": {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": true}},
		"c": {"targets": ["model.layers.1.up_proj"], "weights": {"num_bits": 2, "strategy": "group", "group_size": 32, "symmetric": false}},
		"d": {"targets": ["k_proj"]}`)))
	if err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string]Weights{
		"model.layers.0.up_proj":   {4, 128, true}, // symmetric and group are the defaults
		"model.layers.0.down_proj": {8, -1, true},
		"model.layers.1.q_proj":    {8, -1, true},
		"model.layers.1.up_proj":   {2, 32, false},
		// A pattern is anchored at the start, as Python's re.match is.
		"x.model.layers.1.q_proj": {4, 128, true},
	} {
		if got, ok := s.Of(module); !ok || got != want {
			t.Errorf("%s: %+v, %v; expected %+v", module, got, ok, want)
		}
	}
}

func TestParseConfigRefuses(t *testing.T) {
	group := func(weights string) string { return scheme(`"g": {"targets": ["Linear"], "weights": ` + weights + `}`) }
	for _, c := range [][2]string{
		{`[]`, "quantization_config"},
		{`{"quant_method": "gptq"}`, `"gptq"`},
		{`{"quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized"}`, "nvfp4"},
		{`{"quant_method": "compressed-tensors", "format": "pack-quantized", "kv_cache_scheme": {"num_bits": 8}}`, "kv_cache_scheme"},
		{`{"quant_method": "compressed-tensors", "format": "pack-quantized", "sparsity_config": {"format": "sparse-24-bitmask"}}`, "sparse-24-bitmask"},
		{`{"quant_method": "compressed-tensors", "format": "pack-quantized", "transform_config": {"config_groups": {"u": {}}}}`, "transform_config"},
		{group(`{"num_bits": 9, "strategy": "channel"}`), "9 bits"},
		{group(`{"num_bits": 1, "strategy": "channel"}`), "1 bits"},
		{group(`{"num_bits": 8, "type": "float", "strategy": "channel"}`), "float"},
		{group(`{"num_bits": 4, "strategy": "group"}`), "group_size"},
		{group(`{"num_bits": 4, "strategy": "group", "group_size": -1}`), "group_size"},
		{group(`{"num_bits": 4, "strategy": "tensor"}`), `"tensor"`},
		{group(`{"num_bits": 4}`), "strategy"},
		{scheme(`"g": {"targets": ["re:("], "weights": {"num_bits": 4, "group_size": 32}}`), "re:("},
		{scheme(`"g": {"targets": ["Linear"], "input_activations": {"num_bits": 8}, "weights": {"num_bits": 4, "group_size": 32}}`), "activations"},
		{scheme(`"g": {"targets": ["Linear"], "format": "int-quantized", "weights": {"num_bits": 4, "group_size": 32}}`), "int-quantized"},
		{`{"quant_method": "compressed-tensors", "format": "mixed-precision", "config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 32}}}}`, "mixed-precision"},
	} {
		if _, err := ParseConfig([]byte(c[0])); err == nil || !strings.Contains(err.Error(), c[1]) {
			t.Errorf("%s\n: error %v; expected one that says %q", c[0], err, c[1])
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(scheme(`"g": {"targets": ["Linear", "re:.*q"], "weights": {"num_bits": 4, "group_size": 32}}`)))
	f.Add([]byte(`{"quant_method": "compressed-tensors", "format": "dense"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := ParseConfig(raw)
		if err != nil {
			return
		}
		if w, ok := s.Of("model.layers.0.self_attn.q_proj"); ok && (w.Bits < 2 || w.Bits > 8 || w.GroupSize == 0 || w.GroupSize < -1) {
			t.Errorf("scheme %+v", w)
		}
	})
}
