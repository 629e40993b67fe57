package export

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// A source in the padded layout of old versions reads as the same codes and is
// written in the layout of today.
func TestPaddedSource(t *testing.T) {
	for _, bits := range []int{3, 5, 6, 7} {
		m := newToy(t, toyTied, same(layer{spec: &grid.Spec{Bits: bits, GroupSize: 32, ScaleDType: grid.F16}}))
		want := export(t, m, Safetensors, folder(m, "f16", "auto", ""))
		old := *m
		old.values = map[string]*artifact.Value{}
		for name, v := range m.values {
			old.values[name] = v
		}
		for i := range m.cfg.Layers {
			b := artifact.NewBuilder()
			src := m.block(i)
			for _, l := range m.cfg.Linears() {
				q, err := blockwise.Quantized(src, l.Name)
				check(t, err)
				s := compressedtensors.Stored{Spec: q.Spec, Padded: true}
				check(t, b.PutJSON(blockwise.QuantLeaf(l.Name), s))
				for _, p := range s.Parts(l.Out, l.In) {
					var data []byte
					switch p.Suffix {
					case compressedtensors.PackedSuffix:
						data = artifact.AsBytes(padded(q.Codes, l.Out, l.In, bits))
					case compressedtensors.ZeroSuffix:
						n := q.Groups(l.In)
						columns := padded(turned(q.Zeros, l.Out, n), n, l.Out, bits)
						data = artifact.AsBytes(turned(columns, n, len(columns)/n))
					default:
						data, err = partBytes(p, q)
						check(t, err)
					}
					b.PutBytes(l.Name+p.Suffix, p.Meta, data)
				}
			}
			for _, e := range src.Tree.Entries {
				if !slices.ContainsFunc(m.cfg.Linears(), func(l arch.LinearSpec) bool { return blockwise.OfLinear(e.Name, l.Name) }) {
					data, err := src.Bytes(e.Name)
					check(t, err)
					b.PutBytes(e.Name, e.Meta, data)
				}
			}
			old.values[fmt.Sprintf("block%d", i)] = value(b)
		}
		for i := range m.cfg.Layers {
			for _, l := range m.cfg.Linears() {
				a, err := blockwise.Quantized(m.block(i), l.Name)
				check(t, err)
				b, err := blockwise.Quantized(old.block(i), l.Name)
				check(t, err)
				sameQuantized(t, l.Name, b, a)
			}
		}
		got := export(t, &old, Safetensors, folder(&old, "f16", "auto", ""))
		for name := range want {
			if string(got[name]) != string(want[name]) {
				t.Errorf("%d bits: %s differs", bits, name)
			}
		}
	}
}

// padded packs ⌊32/bits⌋ codes into each word.
func padded(codes []uint8, rows, cols, bits int) []int32 {
	per := 32 / bits
	words := (cols + per - 1) / per
	out := make([]int32, rows*words)
	for r := range rows {
		for c := range cols {
			out[r*words+c/per] |= int32(codes[r*cols+c]) << (c % per * bits)
		}
	}
	return out
}

func turned[T any](x []T, rows, cols int) []T {
	out := make([]T, len(x))
	for r := range rows {
		for c := range cols {
			out[c*rows+r] = x[r*cols+c]
		}
	}
	return out
}

const referenceModel = "smollm2-135m-instruct-q4_1.gguf"

// referenceDir is the folder of the reference model and its golden values.
func referenceDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("COMPRESSC_REFERENCE")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "reference")
	}
	if _, err := os.Stat(filepath.Join(dir, referenceModel)); err != nil {
		t.Skip("the reference model is not here; COMPRESSC_REFERENCE names its folder")
	}
	return dir
}

// The reference model goes through unchanged: every tensor and token of the
// written file is the source's.
func TestReferenceModelPassesThrough(t *testing.T) {
	source := filepath.Join(referenceDir(t), referenceModel)
	m, cp := reopen(t, source)
	m.model = asModel(t, m, cp)
	path := filepath.Join(export(t, m, GGUF, ggufFile(m, "f16", "")).save(t), "toy.gguf")
	want, err := gguf.Open(source)
	check(t, err)
	defer want.Close()
	got, err := gguf.Open(path)
	check(t, err)
	defer got.Close()
	if len(got.Tensors()) != len(want.Tensors()) {
		t.Errorf("%d tensors, expected %d", len(got.Tensors()), len(want.Tensors()))
	}
	for _, w := range want.Tensors() {
		g, ok := got.Tensor(w.Name)
		if !ok || g.Meta.Encoding != w.Meta.Encoding || string(g.Bytes()) != string(w.Bytes()) {
			t.Errorf("%s is %v, was %v", w.Name, g, w.Meta)
		}
	}
	for _, key := range []string{"tokenizer.ggml.tokens", "tokenizer.ggml.merges"} {
		g, _ := got.KVs.Strings(key)
		w, _ := want.KVs.Strings(key)
		if len(w) == 0 || !slices.Equal(g, w) {
			t.Errorf("%s: %d entries, expected %d", key, len(g), len(w))
		}
	}
	for _, key := range []string{"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "general.file_type", "llama.attention.head_count_kv"} {
		g, _ := got.KVs.Int(key)
		if w, ok := want.KVs.Int(key); !ok || g != w {
			t.Errorf("%s is %d, expected %d", key, g, w)
		}
	}
}

// asModel makes what was opened an input of exports.
func asModel(t *testing.T, m *toy, cp *checkpoint.Checkpoint) *passes.Model {
	t.Helper()
	out := &passes.Model{Type: cp.Type("model.opened"), From: "model.opened"}
	g := action.NewGraph()
	small := func(name, leaf string, data []byte) action.Ref {
		b := artifact.NewBuilder()
		check(t, b.PutJSON(leaf, json.RawMessage(data)))
		m.values[name] = value(b)
		return g.AddLeaf("model.opened", m.values[name].Tree)
	}
	out.Config = small("config", "config.json", cp.ConfigJSON)
	if cp.TokenizerJSON != nil {
		out.Type.Tokenizer = "known"
		out.Tokenizer = small("tokenizer", "tokenizer.json", cp.TokenizerJSON)
	}
	out.Embed = g.AddLeaf("model.opened", m.values["embed"].Tree)
	out.Final = g.AddLeaf("model.opened", m.values["final"].Tree)
	for i := range cp.Config.Layers {
		out.Blocks = append(out.Blocks, g.AddLeaf("model.opened", m.block(i).Tree))
	}
	return out
}
