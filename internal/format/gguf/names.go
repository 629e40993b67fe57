package gguf

import (
	"strconv"
	"strings"
)

// The names of both sides in the same order, without block prefix.
var (
	topNames = [][2]string{
		{"token_embd", "model.embed_tokens"},
		{"output_norm", "model.norm"},
		{"output", "lm_head"},
	}
	blockNames = [][2]string{
		{"attn_norm", "input_layernorm"},
		{"attn_q", "self_attn.q_proj"},
		{"attn_k", "self_attn.k_proj"},
		{"attn_v", "self_attn.v_proj"},
		{"attn_output", "self_attn.o_proj"},
		{"attn_q_norm", "self_attn.q_norm"},
		{"attn_k_norm", "self_attn.k_norm"},
		{"ffn_norm", "post_attention_layernorm"},
		{"ffn_gate", "mlp.gate_proj"},
		{"ffn_up", "mlp.up_proj"},
		{"ffn_down", "mlp.down_proj"},
	}
)

// HFName returns the Hugging Face name of a GGUF tensor of the llama, qwen2
// and qwen3 architectures; ok is false for one without a counterpart, like
// rope_freqs.weight. The name says nothing of the row order: see RotaryHeadDim.
func HFName(gguf string) (hf string, ok bool) {
	if n, part, ok := splitBlock(gguf); ok {
		if name, ok := rename(blockNames, 0, part); ok {
			return "model.layers." + n + "." + name, true
		}
		return "", false
	}
	return rename(topNames, 0, gguf)
}

// GGUFName is the inverse of HFName.
func GGUFName(hf string) (gguf string, ok bool) {
	if rest, found := strings.CutPrefix(hf, "model.layers."); found {
		n, part, found := cutNumber(rest)
		if !found {
			return "", false
		}
		if name, ok := rename(blockNames, 1, part); ok {
			return "blk." + n + "." + name, true
		}
		return "", false
	}
	return rename(topNames, 1, hf)
}

// rename looks up a name with its .weight or .bias suffix.
func rename(table [][2]string, from int, name string) (string, bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 || name[i:] != ".weight" && name[i:] != ".bias" {
		return "", false
	}
	for _, pair := range table {
		if pair[from] == name[:i] {
			return pair[1-from] + name[i:], true
		}
	}
	return "", false
}

// splitBlock splits "blk.12.attn_q.weight" into "12" and "attn_q.weight".
func splitBlock(name string) (n, part string, ok bool) {
	rest, ok := strings.CutPrefix(name, "blk.")
	if !ok {
		return "", "", false
	}
	return cutNumber(rest)
}

// cutNumber splits "12.x". The number must be in its usual spelling, so that
// renaming is one-to-one.
func cutNumber(s string) (n, part string, ok bool) {
	n, part, ok = strings.Cut(s, ".")
	if !ok {
		return "", "", false
	}
	v, err := strconv.Atoi(n)
	if err != nil || v < 0 || strconv.Itoa(v) != n {
		return "", "", false
	}
	return n, part, true
}
