package checkpoint

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/tensor"
)

const firstLayer = "model.layers.0.self_attn.q_proj"

// peftFolder writes a PEFT folder with a configuration and matrices by name.
func peftFolder(t *testing.T, config string, shapes map[string][]int) string {
	t.Helper()
	dir := t.TempDir()
	var list []safetensors.WriteTensor
	for name, shape := range shapes {
		m := tensor.Meta{DType: tensor.F32, Shape: shape}
		list = append(list, safetensors.WriteTensor{Name: name, Meta: m, Data: func() ([]byte, error) { return make([]byte, 4*m.Elements()), nil }})
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, list, nil); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"adapter_config.json": []byte(config), "adapter_model.safetensors": b.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// pair are the factors of a layer of rank 4.
func pair(path string) map[string][]int {
	return map[string][]int{peftPrefix + path + ".lora_A.weight": {4, 32}, peftPrefix + path + ".lora_B.weight": {64, 4}}
}

// The scale is what PEFT computes: lora_alpha / r, or / √r, with the patterns of
// single layers.
func TestAdapterScale(t *testing.T) {
	for _, c := range []struct {
		config       string
		scale, alpha float64
	}{
		{`{"peft_type": "LORA", "r": 4, "lora_alpha": 8}`, 2, 8},
		{`{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "use_rslora": true}`, 4, 0},
		{`{"peft_type": "LORA", "r": 8, "lora_alpha": 8, "rank_pattern": {"q_proj": 4}}`, 2, 8},
		{`{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "alpha_pattern": {"q_proj": 2}}`, 0.5, 2},
		{`{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "alpha_pattern": {"layers.0.self_attn.q_proj": 4}}`, 1, 4},
		{`{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "alpha_pattern": {"proj": 2}}`, 2, 8},
	} {
		a, err := OpenAdapter(peftFolder(t, c.config, pair(firstLayer)))
		if err != nil {
			t.Errorf("%s: %v", c.config, err)
			continue
		}
		if l := a.Layers[0]; len(a.Layers) != 1 || l.Path != firstLayer || l.Rank != 4 || l.Scale != c.scale || l.Alpha != c.alpha {
			t.Errorf("%s: %+v, want scale %g and alpha %g", c.config, l, c.scale, c.alpha)
		}
	}
}

func TestAdapterRefuses(t *testing.T) {
	const plain = `{"peft_type": "LORA", "r": 4, "lora_alpha": 8}`
	lone := pair(firstLayer)
	delete(lone, peftPrefix+firstLayer+".lora_B.weight")
	odd := pair(firstLayer)
	odd[peftPrefix+firstLayer+".lora_B.weight"] = []int{64, 5}
	table := pair(firstLayer)
	table[peftPrefix+"model.embed_tokens.lora_embedding_A"] = []int{4, 100}
	for _, c := range []struct {
		name, config string
		shapes       map[string][]int
		says         string
	}{
		{"another method", `{"peft_type": "IA3"}`, pair(firstLayer), `it is of type "IA3"`},
		{"magnitudes", `{"peft_type": "LORA", "use_dora": true}`, pair(firstLayer), "DoRA"},
		{"biases", `{"peft_type": "LORA", "bias": "all"}`, pair(firstLayer), "it changes biases"},
		{"whole modules", `{"peft_type": "LORA", "modules_to_save": ["lm_head"]}`, pair(firstLayer), "lm_head"},
		{"transposed", `{"peft_type": "LORA", "fan_in_fan_out": true}`, pair(firstLayer), "transposed"},
		{"no JSON", `{`, pair(firstLayer), "adapter_config.json"},
		{"half a pair", plain, lone, "needs two matrices"},
		{"ranks that differ", plain, odd, "expected [rank, in] and [out, rank]"},
		{"an embedding", plain, table, "is no factor of a linear layer"},
		{"nothing", plain, nil, "holds no factors"},
		{"a pattern", `{"peft_type": "LORA", "alpha_pattern": {"(": 1}}`, pair(firstLayer), "alpha_pattern"},
	} {
		if _, err := OpenAdapter(peftFolder(t, c.config, c.shapes)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
	if _, err := OpenAdapter(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "no adapter at") {
		t.Errorf("a missing folder: %v", err)
	}
}
