package export

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/passes/blockwise"
)

func ggufFile(m *toy, dtype, adapters string) *GGUFArgs {
	return &GGUFArgs{Common{Model: m.model, Path: "toy.gguf", DType: dtype, Adapters: adapters}}
}

func TestGGUFRoundTrip(t *testing.T) {
	for _, config := range []string{toyLlama, toyTied, toyScaled, toyQwen2, toyQwen3} {
		for _, dtype := range []string{"f16", "bf16", "f32"} {
			m := newToy(t, config, mixed)
			dir := export(t, m, GGUF, ggufFile(m, dtype, "")).save(t)
			back, _ := reopen(t, filepath.Join(dir, "toy.gguf"))
			for i := range m.cfg.Layers {
				for _, l := range m.cfg.Linears() {
					want, err := blockwise.Dense(m.block(i), l.Name)
					check(t, err)
					if s := mixed(i, l.Name); s.spec == nil && s.encoding == "" {
						want = rounded(t, dtypeOf(dtype), want)
					}
					got, err := blockwise.Dense(back.block(i), l.Name)
					check(t, err)
					equal(t, l.Name, got, want)
					if l.Bias {
						want, err := m.block(i).Float32(l.BiasName())
						check(t, err)
						got, err := back.block(i).Float32(l.BiasName())
						check(t, err)
						sameBits(t, l.BiasName(), got, want)
					}
				}
			}
			if dtype == "f32" {
				ids := []int32{0, 1, 2, 70, 71, 256, 9, 8, 7, 6}
				equal(t, "logits", back.logits(t, ids), m.logits(t, ids))
			}
		}
	}
}

// equal compares values: a block's zero may have a sign.
func equal(t testing.TB, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("%s: element %d is %v, expected %v", what, i, got[i], want[i])
		}
	}
}

func TestGGUFCarriesCodes(t *testing.T) {
	for _, s := range grids() {
		if s.Bits == 8 && !s.Symmetric || s.ScaleDType != grid.F16 {
			continue
		}
		t.Run(fmt.Sprintf("%d-%d-%v", s.Bits, s.GroupSize, s.Symmetric), func(t *testing.T) {
			m := newToy(t, toyLlama, wide(s))
			dir := export(t, m, GGUF, ggufFile(m, "f16", "")).save(t)
			back, _ := reopen(t, filepath.Join(dir, "toy.gguf"))
			for i := range m.cfg.Layers {
				for _, l := range m.cfg.Linears() {
					want, err := blockwise.Dense(m.block(i), l.Name)
					check(t, err)
					got, err := blockwise.Dense(back.block(i), l.Name)
					check(t, err)
					equal(t, l.Name, got, want)
				}
			}
		})
	}
}

// Blocks that came from a GGUF file go back as the same bytes, in the rotary
// order they had.
func TestGGUFBlocksPassThrough(t *testing.T) {
	for _, config := range []string{toyLlama, toyQwen2} {
		for _, encoding := range []string{"q4_0", "q4_1", "q5_0", "q5_1", "q8_0"} {
			m := newToy(t, config, same(layer{encoding: encoding}))
			dir := export(t, m, GGUF, ggufFile(m, "f16", "")).save(t)
			back, _ := reopen(t, filepath.Join(dir, "toy.gguf"))
			for i := range m.cfg.Layers {
				for _, l := range m.cfg.Linears() {
					a, err := m.block(i).Entry(l.Weight())
					check(t, err)
					b, err := back.block(i).Entry(l.Weight())
					check(t, err)
					if a.Digest != b.Digest || a.Meta.Encoding != b.Meta.Encoding || a.Meta.RotaryHeadDim != b.Meta.RotaryHeadDim {
						t.Errorf("%s: %v %s became %v %s", l.Name, a.Meta, a.Digest.Short(), b.Meta, b.Digest.Short())
					}
				}
			}
		}
	}
}

// A tensor with a side path to merge is no longer the file's.
func TestGGUFMergeIntoBlocks(t *testing.T) {
	m := newToy(t, toyLlama, func(block int, linear string) layer {
		l := layer{encoding: "q4_1"}
		if linear == "self_attn.q_proj" {
			l.sides = []int{4}
		}
		return l
	})
	merged := export(t, m, Safetensors, folder(m, "f32", "dense", "merge")).save(t)
	want, _ := reopen(t, filepath.Join(merged, "out"))
	dir := export(t, m, GGUF, ggufFile(m, "f32", "merge")).save(t)
	got, _ := reopen(t, filepath.Join(dir, "toy.gguf"))
	for _, l := range m.cfg.Linears() {
		a, err := blockwise.Dense(got.block(0), l.Name)
		check(t, err)
		b, err := blockwise.Dense(want.block(0), l.Name)
		check(t, err)
		equal(t, l.Name, a, b)
		e, err := got.block(0).Entry(l.Weight())
		check(t, err)
		if plain := e.Meta.Encoding == ""; plain != (l.Role == "attn.q") {
			t.Errorf("%s is stored as %v", l.Name, e.Meta)
		}
	}
}

func TestGGUFMetadata(t *testing.T) {
	spec := &grid.Spec{Bits: 4, GroupSize: 32, Symmetric: true, ScaleDType: grid.F16}
	for _, c := range []struct {
		name      string
		of        func(int, string) layer
		fileType  int
		quantized bool
	}{
		{"dense", same(layer{}), 1, false},
		{"codes", same(layer{spec: spec}), 2, true},
		{"half codes", func(b int, _ string) layer {
			if b == 0 {
				return layer{spec: spec}
			}
			return layer{encoding: "q8_0"}
		}, 2, true},
	} {
		m := newToy(t, toyScaled, c.of)
		dir := export(t, m, GGUF, ggufFile(m, "f16", "")).save(t)
		f, err := gguf.Open(filepath.Join(dir, "toy.gguf"))
		check(t, err)
		defer f.Close()
		if n, _ := f.KVs.Int("general.file_type"); n != c.fileType {
			t.Errorf("%s: file type %d, expected %d", c.name, n, c.fileType)
		}
		if _, ok := f.KVs.Int("general.quantization_version"); ok != c.quantized {
			t.Errorf("%s: quantization_version %v", c.name, ok)
		}
		if eos, _ := f.KVs.Int("tokenizer.ggml.eos_token_id"); eos != 256 {
			t.Errorf("%s: eos %d", c.name, eos)
		}
		tokens, _ := f.KVs.Strings("tokenizer.ggml.tokens")
		if len(tokens) != m.cfg.Vocab {
			t.Errorf("%s: %d tokens for an embedding of %d", c.name, len(tokens), m.cfg.Vocab)
		}
		if _, ok := f.Tensor("rope_freqs.weight"); !ok {
			t.Errorf("%s: rope_freqs.weight is missing", c.name)
		}
		norm, _ := f.Tensor("blk.0.attn_norm.weight")
		if norm.Meta.DType != tensor.F32 {
			t.Errorf("%s: norms are %v", c.name, norm.Meta)
		}
	}
}

func TestGGUFAdapter(t *testing.T) {
	for _, c := range []struct {
		name  string
		ranks [2]int
		alpha float64
	}{{"one rank", [2]int{4, 4}, 4}, {"two ranks", [2]int{4, 6}, 0}} {
		m := newToy(t, toyLlama, func(block int, linear string) layer {
			if linear == "self_attn.q_proj" || linear == "mlp.down_proj" {
				return layer{masked: true, sides: []int{c.ranks[block]}}
			}
			return layer{}
		})
		dir := export(t, m, GGUF, ggufFile(m, "f16", "file")).save(t)
		f, err := gguf.Open(filepath.Join(dir, "toy-adapter.gguf"))
		check(t, err)
		defer f.Close()
		if alpha, ok := f.KVs.Float("adapter.lora.alpha"); !ok || alpha != c.alpha {
			t.Errorf("%s: alpha %v, expected %v (0: a scale of 1 for any rank)", c.name, alpha, c.alpha)
		}
		if kind, _ := f.KVs.String("general.type"); kind != "adapter" {
			t.Errorf("%s: general.type %q", c.name, kind)
		}
		if len(f.Tensors()) != 8 {
			t.Errorf("%s: %d tensors, expected 8", c.name, len(f.Tensors()))
		}
		sides, err := blockwise.Sides(m.block(1), "self_attn.q_proj")
		check(t, err)
		b, ok := f.Tensor("blk.1.attn_q.weight.lora_b")
		if !ok || !slices.Equal(b.Meta.Shape, []int{64, c.ranks[1]}) {
			t.Fatalf("%s: lora_b of attn_q: %v", c.name, b)
		}
		// The file has attn_q's rows in rotary order, whatever the reader says of
		// a tensor of this name.
		raw := make([]float32, len(sides[0].B))
		data, err := os.ReadFile(filepath.Join(dir, "toy-adapter.gguf"))
		check(t, err)
		check(t, decodeFloat(tensor.F32, raw, data[b.Offset:b.Offset+b.Length]))
		rank := c.ranks[1]
		for i := range 64 {
			j := gguf.RotarySource(i, 16)
			sameBits(t, "lora_b", raw[i*rank:(i+1)*rank], sides[0].B[j*rank:(j+1)*rank])
		}
	}
}
