package gguf

import (
	"fmt"
	"slices"
	"strings"
)

// hfClass is the Hugging Face class of each model type.
var hfClass = map[string]string{
	"llama":   "LlamaForCausalLM",
	"mistral": "MistralForCausalLM",
	"qwen2":   "Qwen2ForCausalLM",
	"qwen3":   "Qwen3ForCausalLM",
}

// ConfigFromGGUF returns what a Hugging Face config.json would say of the
// model: ints, float64s, bools, strings and maps, ready for json.Marshal. It
// reads the metadata and, for what GGUF only says by presence, the tensors:
// tied embeddings (no output.weight), biases, and the llama3 rotary scaling,
// which GGUF stores as the factors it leads to (rope_freqs.weight).
//
// A Mistral model is architecture "llama" in GGUF; it comes back as mistral
// when the metadata has a sliding window and else as llama, which computes the
// same. The error is an *Error: an unsupported architecture or a missing key.
func ConfigFromGGUF(f *File) (map[string]any, error) {
	arch, ok := f.KVs.String("general.architecture")
	if !ok {
		return nil, &Error{Path: f.Path, Key: "general.architecture", Detail: "is missing: this is not a model file"}
	}
	if arch != "llama" && arch != deci && arch != "qwen2" && arch != "qwen3" {
		return nil, &Error{Path: f.Path, Key: "general.architecture", Detail: fmt.Sprintf("is %q; supported are llama, deci, qwen2, qwen3", arch)}
	}
	r := configReader{f: f, arch: arch}
	hidden := r.size("embedding_length")
	c := map[string]any{
		"hidden_act":        "silu",
		"hidden_size":       hidden,
		"num_hidden_layers": r.size("block_count"),
		"rms_norm_eps":      r.float("attention.layer_norm_rms_epsilon"),
	}
	heads := r.perBlock(c, "num_attention_heads", "attention.head_count")
	r.perBlock(c, "intermediate_size", "feed_forward_length")
	c["num_key_value_heads"] = heads
	if _, ok := f.KVs.Get(r.key("attention.head_count_kv")); ok {
		r.perBlock(c, "num_key_value_heads", "attention.head_count_kv")
	}
	if r.err != nil {
		return nil, r.err
	}
	if n := r.optional("context_length", 0); n > 0 {
		c["max_position_embeddings"] = n
	}

	headDim := r.optional("attention.key_length", 0)
	if headDim == 0 {
		if hidden%heads != 0 {
			return nil, &Error{Path: f.Path, Key: r.key("attention.key_length"), Detail: fmt.Sprintf("is missing, and %d features are not a multiple of %d heads", hidden, heads)}
		}
		headDim = hidden / heads
	}
	if n := r.optional("attention.value_length", headDim); n != headDim {
		return nil, &Error{Path: f.Path, Key: r.key("attention.value_length"), Detail: fmt.Sprintf("is %d, but keys have length %d: only equal lengths are supported", n, headDim)}
	}
	if n := r.optional("rope.dimension_count", headDim); n != headDim {
		return nil, &Error{Path: f.Path, Key: r.key("rope.dimension_count"), Detail: fmt.Sprintf("is %d of a head of %d: only whole heads are supported", n, headDim)}
	}
	c["head_dim"] = headDim

	embedding, ok := f.Tensor("token_embd.weight")
	if !ok || len(embedding.Dims) != 2 {
		return nil, &Error{Path: f.Path, Tensor: "token_embd.weight", Detail: "is missing or no matrix"}
	}
	c["vocab_size"] = embedding.Dims[1]
	_, head := f.Tensor("output.weight")
	c["tie_word_embeddings"] = !head

	model := arch
	if arch == deci { // a llama whose blocks may differ
		model = "llama"
	}
	if window := r.optional("attention.sliding_window", 0); arch == "llama" && window > 0 {
		model = "mistral"
		c["sliding_window"] = window
	}
	c["model_type"] = model
	c["architectures"] = []any{hfClass[model]}
	if model == "llama" || model == "qwen3" {
		_, bias := f.Tensor("blk.0.attn_q.bias")
		c["attention_bias"] = bias
	}
	if model == "llama" {
		_, bias := f.Tensor("blk.0.ffn_gate.bias")
		c["mlp_bias"] = bias
	}
	// Biases of what writes to the residual stream may stand alone.
	for key, part := range map[string]string{"attention_out_bias": "attn_output", "mlp_out_bias": "ffn_down"} {
		if _, bias := f.Tensor("blk.0." + part + ".bias"); bias {
			c[key] = true
		}
	}

	for hf, key := range map[string]string{
		"bos_token_id": "tokenizer.ggml.bos_token_id",
		"eos_token_id": "tokenizer.ggml.eos_token_id",
		"pad_token_id": "tokenizer.ggml.padding_token_id",
	} {
		if id, ok := f.KVs.Int(key); ok {
			c[hf] = id
		}
	}
	if err := r.rope(c, headDim); err != nil {
		return nil, err
	}
	return c, nil
}

// configReader reads keys of one architecture and keeps the first error.
type configReader struct {
	f    *File
	arch string
	err  error
}

func (r *configReader) key(name string) string { return r.arch + "." + name }

func (r *configReader) fail(name, format string, args ...any) {
	if r.err == nil {
		r.err = &Error{Path: r.f.Path, Key: r.key(name), Detail: fmt.Sprintf(format, args...)}
	}
}

func (r *configReader) size(name string) int {
	v, present := r.f.KVs.Get(r.key(name))
	n, ok := r.f.KVs.Int(r.key(name))
	if !ok {
		// Some hybrid models store one number a block.
		list, isList := r.f.KVs.Ints(r.key(name))
		switch {
		case isList && len(list) > 0 && slices.Min(list) == slices.Max(list):
			n = list[0]
		case isList:
			r.fail(name, "differs between blocks, which is not supported")
			return 0
		case present:
			r.fail(name, "is a %T, expected an integer", v)
			return 0
		default:
			r.fail(name, "is missing")
			return 0
		}
	}
	if n <= 0 {
		r.fail(name, "is %d, expected a positive number", n)
	}
	return n
}

// deci is the architecture of llama models whose blocks differ in heads and in
// width: the same block, with numbers for each.
const deci = "deci"

// perBlock reads a size that architecture deci may say block by block: the
// largest goes under the key of config.json, and where they differ the list
// under the same key with _per_layer. It returns the largest.
func (r *configReader) perBlock(c map[string]any, hf, name string) int {
	list, ok := r.f.KVs.Ints(r.key(name))
	if r.arch != deci || !ok || len(list) == 0 || slices.Min(list) == slices.Max(list) {
		n := r.size(name)
		c[hf] = n
		return n
	}
	if slices.Min(list) <= 0 {
		r.fail(name, "has a block without any, which is not supported")
	}
	c[hf], c[hf+perLayer] = slices.Max(list), list
	return slices.Max(list)
}

// perLayer ends the keys of config.json that hold a number for each block.
const perLayer = "_per_layer"

func (r *configReader) float(name string) float64 {
	v, ok := r.f.KVs.Float(r.key(name))
	if !ok {
		r.fail(name, "is missing or not a number")
	}
	return v
}

// optional returns an integer key, or other when it is absent.
func (r *configReader) optional(name string, other int) int {
	if n, ok := r.f.KVs.Int(r.key(name)); ok {
		return n
	}
	if list, ok := r.f.KVs.Ints(r.key(name)); ok && len(list) > 0 && slices.Min(list) == slices.Max(list) {
		return list[0]
	}
	return other
}

// perBlockKeys are the keys of config.json that may be said block by block.
var perBlockKeys = []string{"intermediate_size", "num_attention_heads", "num_key_value_heads"}

// intList reads a decoded list of n positive integers; of nil, n times all.
func intList(v any, n int, all int32) (out []int32, ok bool) {
	if v == nil {
		return slices.Repeat([]int32{all}, max(n, 0)), true
	}
	list, ok := v.([]any)
	if !ok || len(list) != n {
		return nil, false
	}
	for _, x := range list {
		i, ok := jsonInt(x)
		if !ok || i <= 0 || i > 1<<31-1 {
			return nil, false
		}
		out = append(out, int32(i))
	}
	return out, true
}

// KVFromConfig returns the metadata pairs that describe a model to a GGUF
// reader, general.architecture first, from a decoded config.json (numbers as
// float64, int or json.Number; both spellings of the rotary parameters). It
// covers blocks of different shapes (architecture deci), the model and the ids of its special tokens, not the tokenizer's
// vocabulary nor general.file_type. A model with llama3 rotary scaling also
// needs the tensor of RopeFreqs.
func KVFromConfig(config map[string]any) (KVs, error) {
	c := configMap(config)
	model, _ := config["model_type"].(string)
	arch := model
	switch model {
	case "mistral":
		arch = "llama"
	case "llama", "qwen2", "qwen3":
	default:
		return nil, fmt.Errorf("config: model_type is %q; supported are llama, mistral, qwen2, qwen3", model)
	}
	differ := false
	for _, key := range perBlockKeys {
		differ = differ || config[key+perLayer] != nil
	}
	if differ {
		if arch != "llama" {
			return nil, fmt.Errorf("config: blocks differ in shape, which GGUF readers know of llama models alone; model_type is %q", model)
		}
		arch = deci
	}
	var kvs KVs
	var missing []string
	size := func(key string) uint32 {
		n, ok := c.int(key)
		if !ok || n <= 0 || n > 1<<31-1 {
			missing = append(missing, key)
		}
		return uint32(n)
	}
	add := func(name string, value any) { kvs = append(kvs, KV{arch + "." + name, value}) }
	// sizes is one number, or with architecture deci one for each block.
	sizes := func(key string) any {
		n := size(key)
		if arch != deci {
			return n
		}
		blocks, _ := c.int("num_hidden_layers")
		list, ok := intList(config[key+perLayer], blocks, int32(n))
		if !ok {
			missing = append(missing, key+perLayer)
		}
		return list
	}

	kvs = append(kvs, KV{"general.architecture", arch}, KV{"general.type", "model"})
	add("block_count", size("num_hidden_layers"))
	add("context_length", size("max_position_embeddings"))
	hidden, heads := size("hidden_size"), size("num_attention_heads")
	add("embedding_length", hidden)
	add("feed_forward_length", sizes("intermediate_size"))
	add("attention.head_count", sizes("num_attention_heads"))
	if c["num_key_value_heads"] != nil {
		add("attention.head_count_kv", sizes("num_key_value_heads"))
	} else {
		add("attention.head_count_kv", sizes("num_attention_heads"))
	}
	eps := 1e-6 // the default of all four configuration classes
	if v, ok := c.float("rms_norm_eps"); ok {
		eps = v
	}
	add("attention.layer_norm_rms_epsilon", float32(eps))
	vocab := size("vocab_size")
	if len(missing) > 0 {
		return nil, fmt.Errorf("config: %s: missing, or not a positive integer", strings.Join(missing, ", "))
	}

	headDim, ok := c.int("head_dim")
	if !ok {
		if hidden%heads != 0 {
			return nil, fmt.Errorf("config: head_dim is missing and hidden_size = %d is no multiple of num_attention_heads = %d", hidden, heads)
		}
		headDim = int(hidden / heads)
	}
	if headDim <= 0 || headDim%2 != 0 {
		return nil, fmt.Errorf("config: head_dim is %d, expected a positive even number", headDim)
	}
	if arch == "qwen3" || arch == deci || headDim*int(heads) != int(hidden) {
		add("attention.key_length", uint32(headDim))
		add("attention.value_length", uint32(headDim))
	}
	if window, ok := c.int("sliding_window"); ok && window > 0 {
		switch use, _ := config["use_sliding_window"].(bool); {
		case model == "mistral":
			add("attention.sliding_window", uint32(window))
		case model != "llama" && use:
			return nil, fmt.Errorf("config: sliding_window is %d: GGUF readers know no sliding window for %s", window, model)
		}
	}
	if err := ropeKVs(c, arch, headDim, add); err != nil {
		return nil, err
	}
	add("vocab_size", vocab)
	for _, id := range [][2]string{
		{"bos_token_id", "tokenizer.ggml.bos_token_id"},
		{"eos_token_id", "tokenizer.ggml.eos_token_id"},
		{"pad_token_id", "tokenizer.ggml.padding_token_id"},
	} {
		v := config[id[0]]
		// Newer configurations list several end tokens; GGUF has room for one.
		if list, ok := v.([]any); ok && len(list) > 0 {
			v = list[0]
		}
		if n, ok := jsonInt(v); ok && n >= 0 {
			kvs = append(kvs, KV{id[1], uint32(n)})
		}
	}
	return kvs, nil
}
