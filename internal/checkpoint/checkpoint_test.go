package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/tensor"
)

const config = `{"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
	"num_attention_heads": 2, "vocab_size": 40, "tie_word_embeddings": true`

// quantization targets every linear layer with zero points and 5 bits.
const quantization = `, "quantization_config": {"quant_method": "compressed-tensors", "format": "pack-quantized", "version": "0.20.0",
	"config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": 5, "strategy": "group", "group_size": 32, "symmetric": false, "type": "int"}}}}`

// files is a Hugging Face folder before it is written.
type files struct {
	config  string
	tensors map[string]written
}

type written struct {
	meta tensor.Meta
	data []byte
}

func zero(d tensor.DType, shape ...int) written {
	m := tensor.Meta{DType: d, Shape: shape}
	return written{m, make([]byte, d.Size()*m.Elements())}
}

// shapeTensor is a weight_shape.
func shapeTensor(out, in byte) written {
	w := zero(tensor.I64, 2)
	w.data[0], w.data[8] = out, in
	return w
}

// dense is a folder of zeros.
func dense(t *testing.T) *files {
	t.Helper()
	f := &files{config + "}", map[string]written{}}
	c, err := arch.ParseConfig([]byte(f.config))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range c.OuterTensors() {
		f.tensors[x.Name] = zero(tensor.BF16, x.Shape...)
	}
	for b := range c.Layers {
		for _, x := range c.BlockTensors() {
			f.tensors[c.BlockPrefix(b)+x.Name] = zero(tensor.BF16, x.Shape...)
		}
	}
	return f
}

const module = "model.layers.1.mlp.up_proj" // [64, 32]

// packed is the same with one layer stored as codes; padded says how.
func packed(t *testing.T, padded bool) *files {
	t.Helper()
	f := dense(t)
	f.config = config + quantization + "}"
	delete(f.tensors, module+".weight")
	words, zeros := 5, 10 // 160 and 320 bits
	if padded {
		words, zeros = 6, 11 // six codes a word
	}
	f.tensors[module+".weight_packed"] = zero(tensor.I32, 64, words)
	f.tensors[module+".weight_scale"] = zero(tensor.F16, 64, 1)
	f.tensors[module+".weight_shape"] = shapeTensor(64, 32)
	f.tensors[module+".weight_zero_point"] = zero(tensor.I32, zeros, 1)
	return f
}

func (f *files) save(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	var ts []safetensors.WriteTensor
	for name, w := range f.tensors {
		ts = append(ts, safetensors.WriteTensor{Name: name, Meta: w.meta, Data: func() ([]byte, error) { return w.data, nil }})
	}
	slices.SortFunc(ts, func(a, b safetensors.WriteTensor) int { return strings.Compare(a.Name, b.Name) })
	var b bytes.Buffer
	if err := safetensors.Write(&b, ts, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"config.json": []byte(f.config), "model.safetensors": b.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpenFolderAndFile(t *testing.T) {
	f := dense(t)
	f.tensors["lm_head.weight"] = zero(tensor.BF16, 40, 32) // an alias of the tied embedding
	f.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = zero(tensor.F32, 8)
	dir := f.save(t)
	for _, path := range []string{dir, filepath.Join(dir, "model.safetensors")} {
		c, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Tensors) != 2+2*9 || len(c.Quantized) > 0 || c.TokenizerJSON != nil {
			t.Errorf("%s: %d tensors, %d quantised, tokenizer %q", path, len(c.Tensors), len(c.Quantized), c.TokenizerJSON)
		}
		x, ok := c.Lookup("model.norm.weight")
		if !ok || x.Length != 64 || x.Path != filepath.Join(dir, "model.safetensors") {
			t.Errorf("model.norm.weight: %+v, %v", x, ok)
		}
		if _, ok := c.Lookup("model.norm"); ok {
			t.Error("a prefix was found")
		}
		ty := c.Type("model.m")
		for _, l := range ty.Linears {
			if l.StoredBits != 16 || l.Format.Quantized() || l.QuantizedBy != "" {
				t.Errorf("%s: %+v", l.Path, l)
			}
		}
		// Embedding and five norms of BF16.
		if want := int64(2 * 32 * (40 + 5)); ty.OtherBytes != want {
			t.Errorf("%d other bytes, expected %d", ty.OtherBytes, want)
		}
	}
}

func TestOpenPacked(t *testing.T) {
	for _, padded := range []bool{false, true} {
		f := packed(t, padded)
		c, err := Open(f.save(t))
		if err != nil {
			t.Fatal(err)
		}
		want := compressedtensors.Stored{Spec: grid.Spec{Bits: 5, GroupSize: 32, ScaleDType: grid.F16}, Padded: padded}
		if got := c.Quantized[module]; len(c.Quantized) != 1 || got != want {
			t.Errorf("padded %v: %+v, expected %+v", padded, c.Quantized, want)
		}
		names := c.BlockTensors(1)
		if slices.Contains(names, "mlp.up_proj.weight") || !slices.Contains(names, "mlp.up_proj.weight_zero_point") || len(names) != 9+3 {
			t.Errorf("block 1: %v", names)
		}
		if names := c.BlockTensors(0); len(names) != 9 || !slices.Contains(names, "mlp.up_proj.weight") {
			t.Errorf("block 0: %v", names)
		}
		for _, l := range c.Type("model.m").Linears {
			if l.Path != module {
				if l.Format.Quantized() {
					t.Errorf("%s: %+v", l.Path, l.Format)
				}
				continue
			}
			bytes := 0
			for _, s := range compressedtensors.Suffixes() {
				bytes += len(f.tensors[module+s].data)
			}
			if want := (model.Format{Bits: 5, GroupSize: 32, ScaleBits: 16}); l.Format != want || l.StoredBits != float64(8*bytes)/(64*32) || l.QuantizedBy != "model.m" {
				t.Errorf("type %+v, %v bits, changed by %q", l.Format, l.StoredBits, l.QuantizedBy)
			}
		}
	}
}

// The leaf that says how a layer is stored is read back as it was.
func TestStoredIsJSON(t *testing.T) {
	want := compressedtensors.Stored{Spec: grid.Spec{Bits: 3, GroupSize: -1, Symmetric: true, ScaleDType: grid.F32}, Padded: true}
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got compressedtensors.Stored
	var spec grid.Spec
	if json.Unmarshal(raw, &got) != nil || got != want || json.Unmarshal(raw, &spec) != nil || spec != want.Spec {
		t.Errorf("%s became %+v and %+v", raw, got, spec)
	}
}

func TestOpenRefuses(t *testing.T) {
	of := func(change func(*files)) func(*testing.T) *files {
		return func(t *testing.T) *files {
			f := packed(t, false)
			change(f)
			return f
		}
	}
	put := func(suffix string, w written) func(*testing.T) *files {
		return of(func(f *files) { f.tensors[module+suffix] = w })
	}
	for _, c := range []struct {
		name string
		of   func(*testing.T) *files
		says string
	}{
		{"a missing tensor", of(func(f *files) { delete(f.tensors, "model.norm.weight") }), "model.norm.weight"},
		{"another shape", of(func(f *files) { f.tensors["model.norm.weight"] = zero(tensor.F32, 31) }), "[31]"},
		{"an unknown tensor", of(func(f *files) { f.tensors["model.layers.0.mlp.experts.weight"] = zero(tensor.F32, 1) }), "experts"},
		{"integers as weights", of(func(f *files) { f.tensors["model.layers.0.mlp.up_proj.weight"] = zero(tensor.I8, 64, 32) }), "pack-quantized"},
		{"codes without a configuration", of(func(f *files) { f.config = config + "}" }), "no quantization_config"},
		{"another method", of(func(f *files) {
			f.config = config + `, "quantization_config": {"quant_method": "awq"}}`
		}), `"awq"`},
		{"a layer no group targets", of(func(f *files) { f.config = strings.Replace(f.config, `"Linear"`, `"re:.*q_proj"`, 1) }), "no group"},
		{"codes and numbers", put(".weight", zero(tensor.F32, 64, 32)), "both"},
		{"activation order", put(".weight_g_idx", zero(tensor.I32, 32)), "activation order"},
		{"no scales", of(func(f *files) { delete(f.tensors, module+".weight_scale") }), "weight_scale is missing"},
		{"no zero points", of(func(f *files) { delete(f.tensors, module+".weight_zero_point") }), "weight_zero_point is missing"},
		{"zero points of a symmetric grid", of(func(f *files) { f.config = strings.Replace(f.config, `"symmetric": false`, `"symmetric": true`, 1) }), "not expected"},
		{"scales of another shape", put(".weight_scale", zero(tensor.F16, 64, 2)), "expected F16[64 1]"},
		{"scales of another type", put(".weight_scale", zero(tensor.F64, 64, 1)), "expected F16, BF16 or F32"},
		{"words of another width", put(".weight_packed", zero(tensor.I32, 64, 7)), "expected 5, or 6"},
		{"words that are no matrix", put(".weight_packed", zero(tensor.I32, 64*5)), "matrix"},
		{"a weight_shape of another layer", put(".weight_shape", shapeTensor(32, 32)), "weight_packed is I32[64 5]"},
		{"a transposed layer", of(func(f *files) {
			f.tensors[module+".weight_shape"] = shapeTensor(32, 64)
			f.tensors[module+".weight_packed"] = zero(tensor.I32, 32, 10)
			f.tensors[module+".weight_scale"] = zero(tensor.F16, 32, 2)
			f.tensors[module+".weight_zero_point"] = zero(tensor.I32, 5, 2)
		}), "expected [64 32]"},
		{"a negative weight_shape", put(".weight_shape", written{tensor.Meta{DType: tensor.I64, Shape: []int{2}}, bytes.Repeat([]byte{255}, 16)}), "[-1, -1]"},
		{"a short weight_shape", put(".weight_shape", zero(tensor.I64, 1)), "two I64"},
		{"groups that do not divide", of(func(f *files) { f.config = strings.Replace(f.config, `"group_size": 32`, `"group_size": 24`, 1) }), "24"},
		{"a quantised head", of(func(f *files) { f.tensors["lm_head.weight_packed"] = zero(tensor.I32, 40, 5) }), "decoder blocks"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Open(c.of(t).save(t)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v; expected one that says %q", err, c.says)
			}
		})
	}
}

func TestOpenNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "config.json") {
		t.Errorf("an empty folder: %v", err)
	}
	text := filepath.Join(dir, "model.bin")
	if err := os.WriteFile(text, []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(text); err == nil || !strings.Contains(err.Error(), ".gguf") {
		t.Errorf("another file: %v", err)
	}
}
