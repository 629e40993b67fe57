package gguf

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/tensor"
)

func TestRotaryPermute(t *testing.T) {
	want := []int{0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15}
	if got := RotaryPermute(16, 8); !slices.Equal(got, want) {
		t.Errorf("two heads of 8: %v, expected %v", got, want)
	}
	for _, bad := range [][2]int{{16, 3}, {16, 0}, {15, 2}, {16, -2}, {8, 16}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d rows in heads of %d: no panic", bad[0], bad[1])
				}
			}()
			RotaryPermute(bad[0], bad[1])
		}()
	}
}

// The permutation as the converter writes it: reshape [heads, 2, half, row],
// swap the middle axes.
func TestRotaryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		heads, half, row := rapid.IntRange(1, 4).Draw(t, "heads"), rapid.IntRange(1, 5).Draw(t, "half"), rapid.IntRange(1, 7).Draw(t, "row")
		headDim := 2 * half
		src := make([]byte, heads*headDim*row)
		for i := range src {
			src[i] = byte(i * 11)
		}
		want := make([]byte, 0, len(src))
		for h := range heads {
			for k := range half {
				for part := range 2 {
					at := (h*headDim + part*half + k) * row
					want = append(want, src[at:at+row]...)
				}
			}
		}
		got := make([]byte, len(src))
		ToRotary(got, src, row, headDim)
		if !bytes.Equal(got, want) {
			t.Fatalf("stored order %v, expected %v", got, want)
		}
		back := make([]byte, len(src))
		FromRotary(back, got, row, headDim)
		if !bytes.Equal(back, src) {
			t.Fatal("FromRotary does not undo ToRotary")
		}
	})
}

func TestRotaryHeadDim(t *testing.T) {
	llama := KVs{{"general.architecture", "llama"}, {"llama.attention.head_count", uint32(9)}, {"llama.attention.head_count_kv", uint32(3)}}
	equal := llama[:2]
	qwen := KVs{{"general.architecture", "qwen2"}, {"qwen2.attention.head_count", uint32(9)}, {"llama.attention.head_count", uint32(9)}}
	for _, c := range []struct {
		kvs  KVs
		name string
		rows int
		want int
	}{
		{llama, "blk.0.attn_q.weight", 576, 64},
		{llama, "blk.29.attn_k.weight", 192, 64},
		{llama, "blk.0.attn_q.bias", 576, 64},
		{llama, "blk.0.attn_v.weight", 192, 0},
		{llama, "blk.0.attn_output.weight", 576, 0},
		{llama, "attn_q.weight", 576, 0},
		{llama, "blk.0.attn_q_norm.weight", 64, 0},
		{equal, "blk.0.attn_k.weight", 576, 64},
		{qwen, "blk.0.attn_q.weight", 576, 0},
		{nil, "blk.0.attn_q.weight", 576, 0},
	} {
		if got := RotaryHeadDim(c.kvs, c.name, c.rows); got != c.want {
			t.Errorf("%s with %v: %d, expected %d", c.name, c.kvs, got, c.want)
		}
	}
}

// Blocks, plain floats and biases come out in the usual order.
func TestDequantizeRows(t *testing.T) {
	const rows, cols, headDim = 16, 64, 8
	order := RotaryPermute(rows, headDim)
	values := make([]float32, rows*cols)
	for i := range values {
		values[i] = float32(i/cols*16 + i%16 - 8)
	}
	for _, meta := range []tensor.Meta{
		{DType: tensor.F32, Shape: []int{rows, cols}, Encoding: "q8_0", RotaryHeadDim: headDim},
		{DType: tensor.F32, Shape: []int{rows, cols}, RotaryHeadDim: headDim},
		{DType: tensor.F16, Shape: []int{rows, cols}, RotaryHeadDim: headDim},
		{DType: tensor.BF16, Shape: []int{rows, cols}},
		{DType: tensor.F32, Shape: []int{rows}, RotaryHeadDim: headDim},
		{DType: tensor.F32, Shape: []int{rows, 2, cols / 2}, Encoding: "q4_1", RotaryHeadDim: headDim},
	} {
		encoding := meta.Encoding
		if encoding == "" {
			id, _ := MetaType(meta)
			info, _ := typeByID(id)
			encoding = info.name
		}
		n := meta.Elements()
		elems, size, _ := BlockSize(encoding)
		usual := make([]byte, n/elems*size)
		if err := Quantize(encoding, usual, values[:n]); err != nil {
			t.Fatal(err)
		}
		want := make([]float32, n)
		if err := Dequantize(encoding, want, usual); err != nil {
			t.Fatal(err)
		}
		stored := usual
		if meta.RotaryHeadDim != 0 {
			rowBytes := len(usual) / rows
			stored = make([]byte, 0, len(usual))
			for _, r := range order {
				stored = append(stored, usual[r*rowBytes:(r+1)*rowBytes]...)
			}
		}
		got := make([]float32, n)
		if err := DequantizeRows(meta, got, stored); err != nil {
			t.Fatalf("%s: %v", meta, err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: rows are not in the usual order", meta)
		}
		if err := DequantizeRows(meta, got, stored[:len(stored)-1]); err == nil {
			t.Errorf("%s: a byte less is accepted", meta)
		}
		if err := DequantizeRows(meta, got[:n-1], stored); err == nil {
			t.Errorf("%s: an element less is accepted", meta)
		}
	}
	odd := tensor.Meta{DType: tensor.F32, Shape: []int{12, 2}, RotaryHeadDim: 8}
	if err := DequantizeRows(odd, make([]float32, 24), make([]byte, 96)); err == nil {
		t.Error("12 rows pass as heads of 8")
	}
}

func TestNames(t *testing.T) {
	for gguf, hf := range map[string]string{
		"token_embd.weight":        "model.embed_tokens.weight",
		"output_norm.weight":       "model.norm.weight",
		"output.weight":            "lm_head.weight",
		"blk.0.attn_norm.weight":   "model.layers.0.input_layernorm.weight",
		"blk.12.attn_q.weight":     "model.layers.12.self_attn.q_proj.weight",
		"blk.12.attn_q.bias":       "model.layers.12.self_attn.q_proj.bias",
		"blk.7.attn_k.weight":      "model.layers.7.self_attn.k_proj.weight",
		"blk.7.attn_v.bias":        "model.layers.7.self_attn.v_proj.bias",
		"blk.7.attn_output.weight": "model.layers.7.self_attn.o_proj.weight",
		"blk.7.attn_q_norm.weight": "model.layers.7.self_attn.q_norm.weight",
		"blk.7.attn_k_norm.weight": "model.layers.7.self_attn.k_norm.weight",
		"blk.100.ffn_norm.weight":  "model.layers.100.post_attention_layernorm.weight",
		"blk.100.ffn_gate.weight":  "model.layers.100.mlp.gate_proj.weight",
		"blk.100.ffn_up.weight":    "model.layers.100.mlp.up_proj.weight",
		"blk.100.ffn_down.weight":  "model.layers.100.mlp.down_proj.weight",
	} {
		if got, ok := HFName(gguf); !ok || got != hf {
			t.Errorf("HFName(%q) = %q, %v, expected %q", gguf, got, ok, hf)
		}
		if got, ok := GGUFName(hf); !ok || got != gguf {
			t.Errorf("GGUFName(%q) = %q, %v, expected %q", hf, got, ok, gguf)
		}
	}
	for _, name := range []string{"", "rope_freqs.weight", "blk.0.attn_q", "blk.x.attn_q.weight", "blk.00.attn_q.weight", "blk.-1.attn_q.weight", "blk.0.weight", "blk.0.output.weight", "token_embd", "token_embd.scale"} {
		if got, ok := HFName(name); ok {
			t.Errorf("HFName(%q) = %q, expected none", name, got)
		}
	}
	for _, name := range []string{"", "model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.01.mlp.up_proj.weight", "model.layers.0", "lm_head", "transformer.h.0.attn.weight"} {
		if got, ok := GGUFName(name); ok {
			t.Errorf("GGUFName(%q) = %q, expected none", name, got)
		}
	}
}
