package acceptance

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
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
		for _, stage := range c.stages {
			z, err := s.CountZeros(ctx, c.pruner, stage, blocks)
			if err != nil {
				t.Fatal(err)
			}
			if !z.Kept() {
				t.Errorf("%s: %d pruned weights are not zero, %d of %d groups have fewer than two zeros", stage, z.Filled, z.Broken, z.Weights/4)
			}
			if z.Layers != 7*blocks {
				t.Errorf("%s: %d layers counted; expected %d", stage, z.Layers, 7*blocks)
			}
			t.Logf("%s: %d layers, %.4f %% zeros", stage, z.Layers, 100*z.Share())
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
	comparisons := []Comparison{
		{Nodes: []string{"compensate.sqe", "compensate.sql"}, Within: "quantize.sq", Through: "quantize.sq"},
		{Nodes: []string{"quantize.g", "quantize.r"}, Within: "model.base", Through: "model.base"},
		{Nodes: []string{"prune.s", "prune.w"}, Within: "model.base", Through: "model.base"},
	}
	for i := range comparisons {
		c := &comparisons[i]
		c.Original, c.Data, c.Blocks = "model.base", "data.calib", blocks
	}
	all, err := s.OutputErrors(ctx, comparisons...)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range comparisons {
		names := c.Nodes
		each := i == 0
		better, worse := all[i][names[0]], all[i][names[1]]
		for b := range better {
			var sumBetter, sumWorse float64
			for layer, e := range better[b] {
				f := worse[b][layer]
				sumBetter, sumWorse = sumBetter+e.Error, sumWorse+f.Error
				if !(e.Error <= f.Error*(1+rounding)) {
					if each {
						t.Errorf("block %d %s: %s leaves %.6g, %s %.6g", b, layer, names[0], e.Relative(), names[1], f.Relative())
					} else {
						t.Logf("exception: block %d %s: %s leaves %.6g, %s %.6g", b, layer, names[0], e.Relative(), names[1], f.Relative())
					}
				}
			}
			if !(sumBetter <= sumWorse) {
				t.Errorf("block %d: %s leaves %.6g over its layers, %s %.6g", b, names[0], sumBetter, names[1], sumWorse)
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
	for _, c := range []struct {
		path, node   string
		packed, same bool // the layers are codes; the file takes the bits that the type says
	}{{"out/model.gguf", "quantize.sq", true, false}, {"out/folder", "quantize.sq", true, true}, {"out/dense", "prune.s", false, false}} {
		r, err := s.ReadBack(ctx, c.node, filepath.Join(dir, c.path), blocks)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %+v", c.path, r)
		if r.Differ > 0 {
			t.Errorf("%s: %d of %d weights differ from what was exported", c.path, r.Differ, r.Zeros.Weights)
		}
		if !r.Zeros.Kept() {
			t.Errorf("%s: %d groups have fewer than two zeros", c.path, r.Zeros.Broken)
		}
		if r.Zeros.Layers != 7*blocks {
			t.Errorf("%s: %d layers compared; expected %d", c.path, r.Zeros.Layers, 7*blocks)
		}
		if want := map[bool]int{true: r.Zeros.Layers}[c.packed]; r.Packed != want || r.Codes > 16 {
			t.Errorf("%s: %d layers are codes, of up to %d values; expected %d layers and at most 2^4 values", c.path, r.Packed, r.Codes, want)
		}
		if c.same && r.Bits != r.Reported {
			t.Errorf("%s takes %.4f bits a weight; the model's type says %.4f", c.path, r.Bits, r.Reported)
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
