package gguf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/tensor"
)

func zeros(name string, shape ...int) WriteTensor {
	meta := tensor.Meta{DType: tensor.F32, Shape: shape}
	return WriteTensor{name, meta, func() ([]byte, error) { return make([]byte, 4*meta.Elements()), nil }}
}

// model returns the file a configuration is exported to, with just the tensors
// whose presence carries meaning.
func model(t testing.TB, config map[string]any, extra ...WriteTensor) *File {
	t.Helper()
	kvs, err := KVFromConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	vocab, _ := jsonInt(config["vocab_size"])
	hidden, _ := jsonInt(config["hidden_size"])
	w := &Writer{KVs: kvs, Tensors: append(extra, zeros("token_embd.weight", vocab, hidden))}
	if tied, _ := config["tie_word_embeddings"].(bool); !tied {
		w.Tensors = append(w.Tensors, zeros("output.weight", vocab, hidden))
	}
	freqs, err := RopeFreqs(config)
	if err != nil {
		t.Fatal(err)
	}
	if freqs != nil {
		b := make([]byte, 4*len(freqs))
		half.F32ToBytes(b, freqs)
		w.Tensors = append(w.Tensors, WriteTensor{"rope_freqs.weight", tensor.Meta{DType: tensor.F32, Shape: []int{len(freqs)}}, func() ([]byte, error) { return b, nil }})
	}
	f, err := Parse("model.gguf", writeFile(t, w))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func parseConfig(t testing.TB, text string) map[string]any {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

const llama3Config = `{"model_type":"llama","hidden_size":64,"intermediate_size":160,"num_hidden_layers":2,"num_attention_heads":2,
"num_key_value_heads":1,"rms_norm_eps":1e-05,"vocab_size":10,"max_position_embeddings":131072,"rope_theta":500000.0,"head_dim":128,
"rope_scaling":{"factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":8192,"rope_type":"llama3"},
"bos_token_id":1,"eos_token_id":[2,3],"tie_word_embeddings":true}`

func TestKVFromConfig(t *testing.T) {
	kvs, err := KVFromConfig(parseConfig(t, llama3Config))
	if err != nil {
		t.Fatal(err)
	}
	want := KVs{
		{"general.architecture", "llama"}, {"general.type", "model"},
		{"llama.block_count", uint32(2)}, {"llama.context_length", uint32(131072)},
		{"llama.embedding_length", uint32(64)}, {"llama.feed_forward_length", uint32(160)},
		{"llama.attention.head_count", uint32(2)}, {"llama.attention.head_count_kv", uint32(1)},
		{"llama.attention.layer_norm_rms_epsilon", float32(1e-5)},
		{"llama.attention.key_length", uint32(128)}, {"llama.attention.value_length", uint32(128)},
		{"llama.rope.dimension_count", uint32(128)}, {"llama.rope.freq_base", float32(500000)},
		{"llama.rope.scaling.original_context_length", uint32(8192)},
		{"llama.vocab_size", uint32(10)},
		{"tokenizer.ggml.bos_token_id", uint32(1)}, {"tokenizer.ggml.eos_token_id", uint32(2)},
	}
	if !reflect.DeepEqual(kvs, want) {
		t.Errorf("got\n%v, expected\n%v", kvs, want)
	}
}

// Every supported family goes to GGUF and back to a configuration that says
// the same.
func TestConfigRoundTrip(t *testing.T) {
	base := func() map[string]any {
		return map[string]any{
			"model_type": "llama", "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 8,
			"num_key_value_heads": 2, "rms_norm_eps": 1e-6, "vocab_size": 10, "max_position_embeddings": 512, "rope_theta": 10000.0,
			"head_dim": 8, "tie_word_embeddings": false, "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
		}
	}
	for name, c := range map[string]struct {
		change func(map[string]any)
		extra  []WriteTensor
	}{
		"llama":        {func(c map[string]any) { c["attention_bias"], c["mlp_bias"] = false, false }, nil},
		"llama biases": {func(c map[string]any) { c["attention_bias"], c["mlp_bias"] = true, true }, []WriteTensor{rotaryBias(64, 8), zeros("blk.0.ffn_gate.bias", 160)}},
		"tied": {func(c map[string]any) {
			c["attention_bias"], c["mlp_bias"] = false, false
			c["tie_word_embeddings"] = true
		}, nil},
		"linear": {func(c map[string]any) {
			c["attention_bias"], c["mlp_bias"] = false, false
			c["rope_scaling"] = map[string]any{"rope_type": "linear", "factor": 2.5}
		}, nil},
		"llama3": {func(c map[string]any) {
			c["attention_bias"], c["mlp_bias"] = false, false
			c["rope_scaling"] = map[string]any{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
		}, nil},
		"mistral": {func(c map[string]any) { c["model_type"], c["sliding_window"], c["head_dim"] = "mistral", 24, 16 }, nil},
		"qwen2":   {func(c map[string]any) { c["model_type"] = "qwen2" }, nil},
		"qwen3":   {func(c map[string]any) { c["model_type"], c["head_dim"], c["attention_bias"] = "qwen3", 24, false }, nil},
	} {
		config := base()
		c.change(config)
		got, err := ConfigFromGGUF(model(t, config, c.extra...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		config["architectures"] = []any{hfClass[config["model_type"].(string)]}
		if !reflect.DeepEqual(got, config) {
			t.Errorf("%s: got\n%v, expected\n%v", name, got, config)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func rotaryBias(rows, headDim int) WriteTensor {
	w := zeros("blk.0.attn_q.bias", rows)
	w.Meta.RotaryHeadDim = headDim
	return w
}

// The divisors against the formula of the Transformers library with the
// standard library's power, and what they must be at both ends.
func TestRopeFreqs(t *testing.T) {
	got, err := RopeFreqs(parseConfig(t, llama3Config))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 64 || got[0] != 1 || got[63] != 8 {
		t.Fatalf("%d divisors from %v to %v", len(got), got[0], got[len(got)-1])
	}
	between := 0
	for i, d := range got {
		wavelength := 2 * math.Pi * math.Pow(500000, float64(2*i)/128)
		want := 8.0
		if wavelength < 8192/4.0 {
			want = 1
		} else if wavelength <= 8192 {
			smooth := (8192/wavelength - 1) / 3
			want = 1 / ((1-smooth)/8 + smooth)
			between++
		}
		if math.Abs(float64(d)-want) > 1e-6*want {
			t.Errorf("divisor %d is %v, expected %v", i, d, want)
		}
	}
	if between < 3 {
		t.Errorf("only %d divisors in between", between)
	}
	plain := parseConfig(t, `{"hidden_size":64,"num_attention_heads":8}`)
	if got, err := RopeFreqs(plain); got != nil || err != nil {
		t.Errorf("without scaling: %v, %v", got, err)
	}
	// The newer spelling says the same.
	c := parseConfig(t, llama3Config)
	p := c["rope_scaling"].(map[string]any)
	p["rope_theta"] = c["rope_theta"]
	delete(c, "rope_theta")
	delete(c, "rope_scaling")
	c["rope_parameters"] = p
	if again, err := RopeFreqs(c); err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("rope_parameters: %v, %v", again, err)
	}
}

// Files of other converters have the divisors but not the original length:
// every combination of plausible parameters is found again from them alone.
func TestFitLlama3(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := ropeConfig{
			theta: float64(rapid.SampledFrom([]int{10000, 100000, 500000, 1000000}).Draw(t, "theta")), kind: "llama3",
			factor: float64(rapid.IntRange(2, 64).Draw(t, "factor")), low: 1,
			high:     float64(rapid.IntRange(2, 16).Draw(t, "high")),
			original: 1 << rapid.IntRange(10, 15).Draw(t, "original"),
		}
		dim := rapid.SampledFrom([]int{64, 96, 128}).Draw(t, "dim")
		w := wavelengths(r.theta, dim)
		divisors := make([]float32, len(w))
		between := 0
		for i := range w {
			divisors[i] = float32(r.divisor(w[i]))
			if divisors[i] > 1 && float64(divisors[i]) < r.factor {
				between++
			}
		}
		if between < 2 || float64(divisors[len(divisors)-1]) != r.factor {
			t.Skip("these frequencies do not show the parameters")
		}
		want := r
		want.theta = 0
		for _, original := range []int{0, r.original} {
			got, ok := fitLlama3(divisors, w, original)
			if !ok || got != want {
				t.Fatalf("%+v (%v), expected %+v", got, ok, want)
			}
		}
		if between < 3 {
			return // any two points lie on a curve of this family
		}
		divisors[len(divisors)/2] *= 1.01
		if got, ok := fitLlama3(divisors, w, 0); ok {
			t.Fatalf("a disturbed divisor fits %+v", got)
		}
	})
}

func TestConfigErrors(t *testing.T) {
	config := func(change func(map[string]any)) map[string]any {
		c := parseConfig(t, llama3Config)
		change(c)
		return c
	}
	scaling := func(change func(map[string]any)) map[string]any {
		return config(func(c map[string]any) { change(c["rope_scaling"].(map[string]any)) })
	}
	for _, e := range []struct {
		config map[string]any
		want   string
	}{
		{config(func(c map[string]any) { c["model_type"] = "gpt2" }), `model_type is "gpt2"`},
		{config(func(c map[string]any) { delete(c, "hidden_size"); delete(c, "vocab_size") }), "hidden_size, vocab_size: missing"},
		{config(func(c map[string]any) { c["vocab_size"] = 1.5 }), "vocab_size: missing, or not a positive integer"},
		{config(func(c map[string]any) { c["num_hidden_layers"] = -1 }), "num_hidden_layers"},
		{config(func(c map[string]any) { c["head_dim"] = 7 }), "head_dim is 7"},
		{config(func(c map[string]any) { delete(c, "head_dim"); c["num_attention_heads"] = 3 }), "head_dim is missing"},
		{config(func(c map[string]any) {
			c["model_type"], c["sliding_window"], c["use_sliding_window"] = "qwen2", 5, true
		}), "sliding_window is 5"},
		{config(func(c map[string]any) { c["rope_theta"] = 0 }), "rope_theta is 0"},
		{scaling(func(c map[string]any) { c["rope_type"] = "yarn" }), `rope_type "yarn"`},
		{scaling(func(c map[string]any) { delete(c, "factor") }), "factor is missing"},
		{scaling(func(c map[string]any) { c["high_freq_factor"] = 1 }), "low_freq_factor < high_freq_factor"},
	} {
		if _, err := KVFromConfig(e.config); err == nil || !strings.Contains(err.Error(), e.want) {
			t.Errorf("%v, expected %q", err, e.want)
		}
	}

	kvs := func(drop string, set ...KV) *File {
		f := model(t, parseConfig(t, llama3Config))
		var kept KVs
		for _, kv := range f.KVs {
			if kv.Key != drop {
				kept = append(kept, kv)
			}
		}
		f.KVs = kept
		for _, kv := range set {
			f.KVs = f.KVs.Set(kv.Key, kv.Value)
		}
		return f
	}
	without := func(tensor string) *File {
		f := kvs("")
		delete(f.byName, tensor)
		return f
	}
	disturbed := kvs("")
	freqs, _ := disturbed.Tensor("rope_freqs.weight")
	copy(freqs.data, []byte{0, 0, 0x80, 0x3f, 0, 0, 0, 0x40}) // 1, 2
	for _, e := range []struct {
		file *File
		want string
	}{
		{kvs("general.architecture"), `key "general.architecture": is missing`},
		{kvs("", KV{"general.architecture", "bert"}), `is "bert"; supported are`},
		{kvs("llama.block_count"), `key "llama.block_count": is missing`},
		{kvs("", KV{"llama.block_count", "3"}), "is a string, expected an integer"},
		{kvs("", KV{"llama.block_count", uint32(0)}), "is 0, expected a positive number"},
		{kvs("", KV{"llama.feed_forward_length", []int32{1, 2}}), "differs between blocks"},
		{kvs("llama.attention.layer_norm_rms_epsilon"), "layer_norm_rms_epsilon"},
		{kvs("", KV{"llama.attention.value_length", uint32(64)}), "is 64, but keys have length 128"},
		{kvs("", KV{"llama.rope.dimension_count", uint32(64)}), "is 64 of a head of 128"},
		{kvs("", KV{"llama.rope.freq_base", float32(0.5)}), "is 0.5"},
		{kvs("", KV{"llama.rope.scaling.type", "yarn"}), `is "yarn"`},
		{kvs("", KV{"llama.rope.scaling.type", "linear"}), "rope.scaling.factor"},
		{without("token_embd.weight"), `tensor "token_embd.weight"`},
		{disturbed, "not those of a llama3 rotary scaling"},
	} {
		_, err := ConfigFromGGUF(e.file)
		var want *Error
		if !errors.As(err, &want) || !strings.Contains(err.Error(), e.want) || want.Path != "model.gguf" {
			t.Errorf("%v, expected %q", err, e.want)
		}
	}
	// One number a block, all equal, is one number.
	got, err := ConfigFromGGUF(kvs("", KV{"llama.feed_forward_length", []int32{160, 160}}))
	if err != nil || got["intermediate_size"] != 160 {
		t.Errorf("a list of equal sizes: %v, %v", got["intermediate_size"], err)
	}
}

// The configurations of the reference models, as Transformers writes them.
func TestReferenceConfigs(t *testing.T) {
	dir := referencePath(t, "tiny")
	for _, name := range []string{"llama", "llama_tied", "mistral", "qwen2", "qwen3"} {
		raw, err := os.ReadFile(filepath.Join(dir, name, "config.json"))
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber() // the other form numbers arrive in
		if err := d.Decode(&want); err != nil {
			t.Fatal(err)
		}
		got, err := ConfigFromGGUF(model(t, want))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, key := range []string{"model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
			"head_dim", "vocab_size", "max_position_embeddings", "tie_word_embeddings", "bos_token_id", "eos_token_id"} {
			if want[key] != nil && fmt.Sprint(got[key]) != fmt.Sprint(want[key]) {
				t.Errorf("%s: %s is %v, expected %v", name, key, got[key], want[key])
			}
		}
		if eps, _ := configMap(want).float("rms_norm_eps"); got["rms_norm_eps"] != eps {
			t.Errorf("%s: rms_norm_eps is %v, expected %v", name, got["rms_norm_eps"], eps)
		}
		if name == "llama" {
			s, _ := got["rope_scaling"].(map[string]any)
			if s["factor"] != 8.0 || s["high_freq_factor"] != 4.0 || s["low_freq_factor"] != 1.0 || s["original_max_position_embeddings"] != 64 {
				t.Errorf("rope_scaling is %v", got["rope_scaling"])
			}
		} else if got["rope_scaling"] != nil {
			t.Errorf("%s: rope_scaling is %v", name, got["rope_scaling"])
		}
	}
}
