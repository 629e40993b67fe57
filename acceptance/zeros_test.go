package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/passes/blockwise"
)

// shortBlocks is how many of the reference model's blocks the short form
// compresses.
const shortBlocks = 2

// compressed are the blocks and the targets argument of a chain.
func compressed() (blocks int, targets string) {
	if long() {
		return 30, `["*"]`
	}
	return shortBlocks, `["model.layers.0.*", "model.layers.1.*"]`
}

// keptChains is the reference model taken through both kept-mask chains, and
// exported after quantisation.
func keptChains(r Reference) string {
	_, targets := compressed()
	steps, length := "2", "128"
	if long() {
		steps, length = "40", "512"
	}
	out := ""
	for _, b := range []struct{ verb, method, name, model, more string }{
		{"prune", "sparsegpt", "s", "model.base", "data = data.calib\n  sparsity = \"2:4\""},
		{"quantize", "gptq", "sq", "prune.s", "data = data.calib\n  group_size = 64"},
		{"compensate", "eora", "sqe", "quantize.sq", "reference = model.base\n  data = data.calib\n  rank = 64"},
		{"compensate", "lorc", "sql", "quantize.sq", "reference = model.base\n  rank = 64"},
		{"prune", "wanda", "w", "model.base", "data = data.calib\n  sparsity = \"2:4\""},
		{"retrain", "lora", "wl", "prune.w", "data = data.healing\n  steps = " + steps},
		{"quantize", "gptq", "wlq", "retrain.wl", "data = data.calib\n  group_size = 64"},
		{"compensate", "eora", "wlqe", "quantize.wlq", "reference = model.base\n  data = data.calib\n  rank = 64"},
		{"quantize", "rtn", "r", "model.base", "group_size = 64"},
		{"quantize", "gptq", "g", "model.base", "data = data.calib\n  group_size = 64"},
	} {
		out += fmt.Sprintf("%s %q %q {\n  model = %s\n  %s\n  targets = %s\n}\n", b.verb, b.method, b.name, b.model, b.more, targets)
	}
	return out + `
data "text" "healing" {
  source          = "` + filepath.ToSlash(r.Text("calib")) + `"
  tokenizer       = model.base
  sequence_length = ` + length + `
  samples         = 40
}
`
}

// zeroes counts the weights of a layer [out, in] that are zero, and checks that
// every four have two.
func zeroes(w []float32) (zeros int, broken int) {
	for i := 0; i+4 <= len(w); i += 4 {
		n := 0
		for _, x := range w[i : i+4] {
			if x == 0 {
				n++
			}
		}
		zeros += n
		if n < 2 {
			broken++
		}
	}
	return zeros, broken
}

// The 2:4 pattern stands in every linear after every stage of both chains: each
// weight that the pruner dropped is zero, and every four have two zeros.
func TestZerosKept(t *testing.T) {
	r := reference(t)
	blocks, _ := compressed()
	s := open(t, r, keptChains(r), SessionOptions{})
	ctx := context.Background()
	for _, c := range []struct {
		pruner string
		stages []string
	}{
		{"prune.s", []string{"prune.s", "quantize.sq", "compensate.sqe", "compensate.sql"}},
		{"prune.w", []string{"prune.w", "retrain.wl", "quantize.wlq", "compensate.wlqe"}},
	} {
		if err := s.Run(ctx, c.stages...); err != nil {
			t.Fatal(err)
		}
		m, err := s.Model(c.pruner)
		if err != nil {
			t.Fatal(err)
		}
		for _, stage := range c.stages {
			layers, weights, zeros := 0, 0, 0
			for b := range blocks {
				masks, done, err := s.Block(ctx, c.pruner, b)
				if err != nil {
					t.Fatal(err)
				}
				v, release, err := s.Block(ctx, stage, b)
				if err != nil {
					t.Fatal(err)
				}
				for _, l := range m.Type.Block(b) {
					w, err := blockwise.Dense(v, l.Name)
					if err != nil {
						t.Fatal(err)
					}
					mask, err := blockwise.Mask(masks, l.Name)
					if err != nil {
						t.Fatal(err)
					}
					filled := 0
					for i, x := range w {
						if x != 0 && !mask.Keep(i/l.In, i%l.In) {
							filled++
						}
					}
					n, broken := zeroes(w)
					if filled+broken > 0 {
						t.Errorf("%s %s: %d pruned weights are not zero, %d of %d groups have fewer than two zeros", stage, l.Path, filled, broken, len(w)/4)
					}
					layers, weights, zeros = layers+1, weights+len(w), zeros+n
				}
				release()
				done()
			}
			if layers != 7*blocks {
				t.Errorf("%s: %d layers counted; expected %d", stage, layers, 7*blocks)
			}
			t.Logf("%s: %d layers, %.4f %% zeros", stage, layers, 100*float64(zeros)/float64(weights))
		}
	}
}

// EoRA leaves no more output error than LoRC at the same rank on the same
// statistics, in every layer; GPTQ no more than rounding to nearest and
// SparseGPT no more than Wanda in the sum over a block's layers.
func TestBetterMethodsAreBetter(t *testing.T) {
	const rounding = 1e-6 // side paths are stored as float32
	r := reference(t)
	blocks, _ := compressed()
	s := open(t, r, keptChains(r), SessionOptions{})
	ctx := context.Background()
	if err := s.Run(ctx, "compensate.sqe", "compensate.sql", "quantize.r", "quantize.g", "prune.s", "prune.w"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		better, worse string
		// stream is whose inputs weigh the errors.
		stream string
		each   bool
	}{
		{"compensate.sqe", "compensate.sql", "quantize.sq", true},
		{"quantize.g", "quantize.r", "model.base", false},
		{"prune.s", "prune.w", "model.base", false},
	} {
		better, err := s.OutputErrors(ctx, c.better, "model.base", c.stream, "data.calib", blocks)
		if err != nil {
			t.Fatal(err)
		}
		worse, err := s.OutputErrors(ctx, c.worse, "model.base", c.stream, "data.calib", blocks)
		if err != nil {
			t.Fatal(err)
		}
		for b := range better {
			var sumBetter, sumWorse float64
			for layer, e := range better[b] {
				f := worse[b][layer]
				sumBetter, sumWorse = sumBetter+e.Error, sumWorse+f.Error
				if !(e.Error <= f.Error*(1+rounding)) {
					if c.each {
						t.Errorf("block %d %s: %s leaves %.6g, %s %.6g", b, layer, c.better, e.Relative(), c.worse, f.Relative())
					} else {
						t.Logf("exception: block %d %s: %s leaves %.6g, %s %.6g", b, layer, c.better, e.Relative(), c.worse, f.Relative())
					}
				}
			}
			if !(sumBetter <= sumWorse) {
				t.Errorf("block %d: %s leaves %.6g over its layers, %s %.6g", b, c.better, sumBetter, c.worse, sumWorse)
			}
			if len(better[b]) != 7 {
				t.Errorf("block %d: %d layers; expected 7", b, len(better[b]))
			}
		}
	}
}

// What is exported is what was made: GGUF and safetensors read back to the same
// weights, bit for bit, with the zeros in place, and to the same perplexity; the
// codes in the files, decoded here by the formats' own rules, give those weights
// and use the bits that were reported.
func TestExportsReadBack(t *testing.T) {
	r := reference(t)
	blocks, _ := compressed()
	ctx := context.Background()
	dir := t.TempDir()
	text := protocol(r) + keptChains(r) + `
export "gguf" "g" {
  model = quantize.sq
  path  = "out/model.gguf"
}
export "safetensors" "s" {
  model = quantize.sq
  path  = "out/folder"
}
export "safetensors" "d" {
  model = prune.s
  path  = "out/dense"
  dtype = "f32"
}
evaluate "perplexity" "before" {
  model = quantize.sq
  data  = data.test
}
`
	file := filepath.Join(dir, "p.pipeline.hcl")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p := program(t)
	rec, err := p.Run(ctx, RunOptions{Pipeline: file, CacheDir: sharedCache(t)})
	if err != nil {
		t.Fatal(err)
	}
	before := *FindEvaluation(rec, "evaluate.before", "").Metrics["perplexity"]

	s := open(t, r, keptChains(r), SessionOptions{})
	if err := s.Run(ctx, "quantize.sq", "prune.s"); err != nil {
		t.Fatal(err)
	}
	m, err := s.Model("quantize.sq")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, node string }{{"out/model.gguf", "quantize.sq"}, {"out/folder", "quantize.sq"}, {"out/dense", "prune.s"}} {
		cp, err := checkpoint.Open(filepath.Join(dir, c.path))
		if err != nil {
			t.Fatal(err)
		}
		layers := 0
		for b := range blocks {
			v, release, err := s.Block(ctx, c.node, b)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range m.Type.Block(b) {
				want, err := blockwise.Dense(v, l.Name)
				if err != nil {
					t.Fatal(err)
				}
				got, codes, err := fileWeights(cp, cp.Config, b, l.Name)
				if err != nil {
					t.Fatal(err)
				}
				if len(got) != len(want) {
					t.Fatalf("%s %s: %d weights; expected %d", c.path, l.Path, len(got), len(want))
				}
				differ := 0
				for i := range got {
					// A pruned −0 and +0 are the same weight.
					if got[i] != want[i] {
						differ++
					}
				}
				if differ > 0 {
					t.Errorf("%s %s: %d of %d weights differ from what was exported", c.path, l.Path, differ, len(got))
				}
				if _, broken := zeroes(got); broken > 0 {
					t.Errorf("%s %s: %d groups have fewer than two zeros", c.path, l.Path, broken)
				}
				if codes > 16 {
					t.Errorf("%s %s: %d codes in use; expected at most 2^4", c.path, l.Path, codes)
				}
				if c.path == "out/folder" {
					if codes == 0 {
						t.Errorf("%s %s is not stored as codes", c.path, l.Path)
					}
					stored := int64(0)
					for _, part := range []string{".weight_packed", ".weight_scale"} {
						x, _ := cp.Lookup(l.Path + part)
						stored += x.Length
					}
					if bits := 8 * float64(stored) / float64(len(got)); bits != l.StoredBits {
						t.Errorf("%s %s takes %.4f bits a weight; the model's type says %.4f", c.path, l.Path, bits, l.StoredBits)
					}
				}
				layers++
			}
			release()
		}
		if layers != 7*blocks {
			t.Errorf("%s: %d layers compared; expected %d", c.path, layers, 7*blocks)
		}
	}

	again := fmt.Sprintf(`
model "gguf" {
  source = %q
}
model "folder" {
  source = %q
}
evaluate "perplexity" "gguf" {
  model = model.gguf
  data  = data.test
}
evaluate "perplexity" "folder" {
  model = model.folder
  data  = data.test
}
`, filepath.ToSlash(filepath.Join(dir, "out/model.gguf")), filepath.ToSlash(filepath.Join(dir, "out/folder")))
	if err := os.WriteFile(file, []byte(protocol(r)+again), 0o644); err != nil {
		t.Fatal(err)
	}
	if rec, err = p.Run(ctx, RunOptions{Pipeline: file, CacheDir: sharedCache(t)}); err != nil {
		t.Fatal(err)
	}
	// What was not compressed is stored in 16 bits: the folder's other tensors
	// are rounded, the GGUF file keeps its source's blocks.
	for name, tolerance := range map[string]float64{"evaluate.gguf": 1e-6, "evaluate.folder": 1e-3} {
		after := *FindEvaluation(rec, name, "").Metrics["perplexity"]
		t.Logf("%s: perplexity %.6f; before export %.6f", name, after, before)
		if math.Abs(after/before-1) > tolerance {
			t.Errorf("%s: perplexity %.6f; before export %.6f", name, after, before)
		}
	}
}

// fileWeights reads a linear layer of a file, and how many codes a group of it
// uses at most; 0 where it is not stored as codes of compressed-tensors. Packed
// codes are unpacked here by the format's description: the i-th of a row takes
// the i-th b bits of its words, symmetric codes are stored plus 2^(b−1), and a
// weight is its code times its group's scale.
func fileWeights(cp *checkpoint.Checkpoint, cfg *arch.Config, block int, linear string) (w []float32, codes int, err error) {
	path := cfg.BlockPrefix(block) + linear
	if _, packed := cp.Quantized[path]; !packed {
		w, err = readTensor(cp, path+".weight")
		return w, 0, err
	}
	var config struct {
		Quantization struct {
			Groups map[string]struct {
				Weights struct {
					Bits      int  `json:"num_bits"`
					GroupSize int  `json:"group_size"`
					Symmetric bool `json:"symmetric"`
				} `json:"weights"`
			} `json:"config_groups"`
		} `json:"quantization_config"`
	}
	raw, err := os.ReadFile(filepath.Join(cp.Path, "config.json"))
	if err != nil {
		return nil, 0, err
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return nil, 0, err
	}
	if len(config.Quantization.Groups) != 1 {
		return nil, 0, fmt.Errorf("%d groups in quantization_config; expected 1", len(config.Quantization.Groups))
	}
	for _, g := range config.Quantization.Groups {
		if !g.Weights.Symmetric || 32%g.Weights.Bits != 0 {
			return nil, 0, fmt.Errorf("%+v: expected a symmetric grid of 2, 4 or 8 bits", g.Weights)
		}
		t, ok := cp.Lookup(path + ".weight_packed")
		if !ok {
			return nil, 0, fmt.Errorf("%s has no weight_packed", path)
		}
		words, err := readBytes(t)
		if err != nil {
			return nil, 0, err
		}
		scales, err := readTensor(cp, path+".weight_scale")
		if err != nil {
			return nil, 0, err
		}
		bits := g.Weights.Bits
		out, in := t.Meta.Shape[0], t.Meta.Shape[1]*32/bits
		w = make([]float32, out*in)
		used := map[int]bool{}
		for i := range w {
			// Words are little-endian, so bit k of a row is bit k%8 of byte k/8.
			at := i * bits
			code := int(words[at/8]>>(at%8)) & (1<<bits - 1)
			used[code] = true
			w[i] = scales[i/g.Weights.GroupSize] * float32(code-1<<(bits-1))
		}
		codes = len(used)
	}
	return w, codes, nil
}

func readBytes(t checkpoint.Tensor) ([]byte, error) {
	f, err := os.Open(t.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, t.Length)
	_, err = f.ReadAt(b, t.Offset)
	return b, err
}
