package export

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/internal/tokenizer"
	"github.com/compressc/compressc/passes/blockwise"
)

func folder(m *toy, dtype, layout, adapters string) *SafetensorsArgs {
	return &SafetensorsArgs{Common: Common{Model: m.model, Path: "out", DType: dtype, Adapters: adapters}, Layout: layout}
}

// mixed gives every linear layer another form.
func mixed(block int, linear string) layer {
	switch linear {
	case "self_attn.q_proj":
		return layer{dtype: tensor.F16}
	case "self_attn.k_proj":
		return layer{dtype: tensor.BF16}
	case "self_attn.v_proj":
		return layer{masked: true}
	case "mlp.gate_proj":
		return layer{encoding: "q4_1"}
	case "mlp.up_proj":
		return layer{spec: &grid.Spec{Bits: 4, GroupSize: 32, ScaleDType: grid.F16, Symmetric: true}, masked: true}
	case "mlp.down_proj":
		return layer{spec: &grid.Spec{Bits: 3, GroupSize: grid.RowGroup, ScaleDType: grid.F16, Symmetric: block == 0}}
	}
	return layer{}
}

func TestDenseFolderRoundTrip(t *testing.T) {
	for _, config := range []string{toyLlama, toyTied, toyScaled, toyQwen2, toyQwen3} {
		for _, dtype := range []string{"f16", "bf16", "f32"} {
			m := newToy(t, config, mixed)
			dir := export(t, m, Safetensors, folder(m, dtype, "dense", "")).save(t)
			back, cp := reopen(t, filepath.Join(dir, "out"))
			if len(cp.Quantized) > 0 {
				t.Fatalf("a dense folder has codes: %v", cp.Quantized)
			}
			for _, part := range []string{"embed", "final"} {
				for _, e := range m.values[part].Tree.Entries {
					want, err := m.values[part].Float32(e.Name)
					check(t, err)
					got, err := back.values[part].Float32(e.Name)
					check(t, err)
					sameBits(t, e.Name, got, rounded(t, dtypeOf(dtype), want))
				}
			}
			for i := range m.cfg.Layers {
				for _, l := range m.cfg.Linears() {
					want, err := blockwise.Dense(m.block(i), l.Name)
					check(t, err)
					got, err := blockwise.Dense(back.block(i), l.Name)
					check(t, err)
					sameBits(t, l.Name, got, rounded(t, dtypeOf(dtype), want))
					if l.Bias {
						want, err := m.block(i).Float32(l.BiasName())
						check(t, err)
						got, err := back.block(i).Float32(l.BiasName())
						check(t, err)
						sameBits(t, l.BiasName(), got, rounded(t, dtypeOf(dtype), want))
					}
					keep, err := blockwise.Mask(m.block(i), l.Name)
					check(t, err)
					for k := 0; keep != nil && k < len(got); k++ {
						if !keep.Keep(k/l.In, k%l.In) && got[k] != 0 {
							t.Fatalf("%s: pruned weight %d is %v", l.Name, k, got[k])
						}
					}
				}
			}
			if dtype == "f32" {
				ids := []int32{0, 1, 2, 70, 71, 256, 9, 8, 7, 6}
				sameBits(t, "logits", back.logits(t, ids), m.logits(t, ids))
			}
		}
	}
}

// grids lists the grids of the packed and GGUF round trips.
func grids() []grid.Spec {
	var out []grid.Spec
	for _, bits := range []int{2, 3, 4, 5, 6, 7, 8} {
		for _, size := range []int{32, 64, grid.RowGroup} {
			for _, symmetric := range []bool{true, false} {
				for _, scale := range []grid.ScaleDType{grid.F16, grid.F32} {
					out = append(out, grid.Spec{Bits: bits, GroupSize: size, Symmetric: symmetric, ScaleDType: scale})
				}
			}
		}
	}
	return out
}

// wide gives the layers with 64 inputs to one grid; 96 inputs are not cut into
// groups of 64.
func wide(s grid.Spec) func(int, string) layer {
	return func(_ int, linear string) layer {
		l := layer{spec: &s, masked: linear == "mlp.up_proj"}
		if linear == "mlp.down_proj" && s.GroupSize == 64 {
			d := s
			d.GroupSize = 32
			l.spec = &d
		}
		return l
	}
}

func TestPackedFolderRoundTrip(t *testing.T) {
	for _, s := range grids() {
		t.Run(fmt.Sprintf("%d-%d-%v-%s", s.Bits, s.GroupSize, s.Symmetric, s.ScaleDType), func(t *testing.T) {
			m := newToy(t, toyTied, wide(s))
			dir := export(t, m, Safetensors, folder(m, "f32", "auto", "")).save(t)
			back, cp := reopen(t, filepath.Join(dir, "out"))
			ty := cp.Type("model.back")
			for i := range m.cfg.Layers {
				for k, l := range m.cfg.Linears() {
					want, err := blockwise.Quantized(m.block(i), l.Name)
					check(t, err)
					got, err := blockwise.Quantized(back.block(i), l.Name)
					check(t, err)
					sameQuantized(t, l.Name, got, want)
					wantDense, err := blockwise.Dense(m.block(i), l.Name)
					check(t, err)
					gotDense, err := blockwise.Dense(back.block(i), l.Name)
					check(t, err)
					sameBits(t, l.Name, gotDense, wantDense)
					was, is := m.model.Type.Block(i)[k], ty.Block(i)[k]
					if is.Format != was.Format {
						t.Errorf("%s: type %+v, expected %+v", l.Name, is.Format, was.Format)
					}
				}
			}
			// What was read back is written as it is: the same file.
			again := memory{}
			back.values["config"], back.values["tokenizer"] = m.values["config"], m.values["tokenizer"]
			back.model = m.model
			for name, data := range export(t, back, Safetensors, folder(back, "f32", "auto", "")) {
				again[name] = data
			}
			first := export(t, m, Safetensors, folder(m, "f32", "auto", ""))
			for name := range first {
				if string(first[name]) != string(again[name]) {
					t.Errorf("%s changed on a second trip", name)
				}
			}
		})
	}
}

// Layers that are not quantised, and the head even where it is tied, must be
// named, or readers look for their codes.
func TestPackedFolderNamesWhatItLeaves(t *testing.T) {
	m := newToy(t, toyTied, mixed)
	var cfg struct {
		Q struct {
			Ignore []string `json:"ignore"`
			Groups map[string]struct {
				Targets []string `json:"targets"`
			} `json:"config_groups"`
		} `json:"quantization_config"`
	}
	files := export(t, m, Safetensors, folder(m, "f16", "auto", ""))
	check(t, json.Unmarshal(files["out/config.json"], &cfg))
	ignore := strings.Join(cfg.Q.Ignore, " ")
	for _, name := range []string{"model.layers.0.self_attn.q_proj", "model.layers.1.mlp.gate_proj", "lm_head"} {
		if !strings.Contains(ignore, name) {
			t.Errorf("%s is not ignored: %s", name, ignore)
		}
	}
	if len(cfg.Q.Ignore) != 2*5+1 {
		t.Errorf("%d modules are ignored, expected 11: %s", len(cfg.Q.Ignore), ignore)
	}
	if len(cfg.Q.Groups) != 3 {
		t.Errorf("%d groups, expected 3", len(cfg.Q.Groups))
	}
}

func TestMergedFolder(t *testing.T) {
	m := newToy(t, toyLlama, func(block int, linear string) layer {
		if linear == "self_attn.q_proj" || block == 1 && linear == "mlp.down_proj" {
			return layer{sides: []int{3, 5}}
		}
		return layer{}
	})
	dir := export(t, m, Safetensors, folder(m, "f32", "auto", "merge")).save(t)
	back, _ := reopen(t, filepath.Join(dir, "out"))
	for i := range m.cfg.Layers {
		for _, l := range m.cfg.Linears() {
			w, err := blockwise.Dense(m.block(i), l.Name)
			check(t, err)
			sides, err := blockwise.Sides(m.block(i), l.Name)
			check(t, err)
			got, err := blockwise.Dense(back.block(i), l.Name)
			check(t, err)
			for k := range w {
				want := float64(w[k])
				for _, s := range sides {
					for r := range s.Rank {
						want += float64(s.B[k/l.In*s.Rank+r]) * float64(s.A[r*l.In+k%l.In])
					}
				}
				// Two roundings to float32, one a side path.
				if d := float64(got[k]) - want; d > 2e-7*(1+max(want, -want)) || -d > 2e-7*(1+max(want, -want)) {
					t.Fatalf("%s: element %d is %v, expected %v", l.Name, k, got[k], want)
				}
				if len(sides) == 0 && got[k] != w[k] {
					t.Fatalf("%s: element %d changed without a side path", l.Name, k)
				}
			}
		}
	}
}

func TestFolderTokenizer(t *testing.T) {
	m := newToy(t, toyLlama, same(layer{}))
	files := export(t, m, Safetensors, folder(m, "f16", "auto", ""))
	tok, err := tokenizer.FromJSON(files["out/tokenizer.json"])
	check(t, err)
	tok, err = tok.WithConfig(files["out/tokenizer_config.json"])
	check(t, err)
	if bos, ok := tok.BOS(); !ok || bos != 256 {
		t.Errorf("BOS is %d, %v; config.json says 256", bos, ok)
	}
	var gen map[string]any
	check(t, json.Unmarshal(files["out/generation_config.json"], &gen))
	if gen["eos_token_id"] != 256.0 {
		t.Errorf("generation_config.json: %v", gen)
	}

	delete(m.values, "tokenizer")
	m.model.Type.Tokenizer, m.model.Tokenizer = "", action.Ref{}
	files = export(t, m, Safetensors, folder(m, "f16", "auto", ""))
	if _, ok := files["out/tokenizer.json"]; ok || len(files) != 3 {
		t.Errorf("a model without a tokenizer gave %d files", len(files))
	}
}

func TestWeightsBeyondF16AreRefused(t *testing.T) {
	if _, err := encode(tensor.F16, []float32{1, -70000}); err == nil || !strings.Contains(err.Error(), "bf16") {
		t.Errorf("error %v", err)
	}
	if _, err := encode(tensor.F16, []float32{65504, -65519}); err != nil {
		t.Errorf("error %v for numbers that f16 holds", err)
	}
}

func peftTensors(t *testing.T, data []byte) map[string][]float32 {
	t.Helper()
	f, err := safetensors.Parse("adapter", data)
	check(t, err)
	out := map[string][]float32{}
	for _, x := range f.Tensors() {
		out[x.Name] = make([]float32, x.Meta.Elements())
		check(t, decodeFloat(x.Meta.DType, out[x.Name], x.Bytes()))
	}
	return out
}
