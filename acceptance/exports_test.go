package acceptance

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/passes/blockwise"
)

// chain prunes, heals and packs the quickstart's model, and writes it in two
// formats.
const chain = `
model "base" {
  source = "model"
}
data "text" "calib" {
  source          = "text/train.txt"
  tokenizer       = model.base
  sequence_length = 128
  samples         = 8
}
data "text" "test" {
  source          = "text/test.txt"
  tokenizer       = model.base
  sequence_length = 128
  samples         = 4
}
prune "sparsegpt" "sparse" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
}
retrain "lora" "healed" {
  model      = prune.sparse
  data       = data.calib
  rank       = 4
  steps      = 10
  batch_size = 3
}
quantize "gptq" "packed" {
  model      = retrain.healed
  data       = data.calib
  group_size = 32
}
evaluate "perplexity" "packed" {
  model = quantize.packed
  data  = data.test
}
export "gguf" "file" {
  model = quantize.packed
  path  = "out/packed.gguf"
  dtype = "f32"
}
export "safetensors" "folder" {
  model = quantize.packed
  path  = "out/packed"
  dtype = "f32"
}
`

// chainFolder is a folder with the pipeline, the model and the text.
func chainFolder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	quickstart := filepath.Join(root, "examples", "pipelines", "quickstart")
	for _, part := range []string{"model", "text"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join(quickstart, part))); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "chain.pipeline.hcl"), []byte(chain), 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

func runChain(t testing.TB, o RunOptions) *record.Record {
	t.Helper()
	rec, err := program(t).Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// TestZerosAndExports: the 2:4 pattern is in every linear of the exported
// files, whose weights and perplexity are those of the model.
func TestZerosAndExports(t *testing.T) {
	dir, store := chainFolder(t), t.TempDir()
	rec := runChain(t, RunOptions{Pipeline: dir, CacheDir: store})
	want := FindEvaluation(rec, "evaluate.packed", "")
	if want == nil || want.Metrics["perplexity"] == nil {
		t.Fatal("evaluate.packed has no perplexity")
	}
	for _, node := range []string{"prune.sparse", "quantize.packed"} {
		n := FindNode(rec, node, "")
		for layer, numbers := range n.Layers {
			if z := numbers["zeros"]; z != 0.5 {
				t.Errorf("%s: %s has %.4f fixed zeros, expected 0.5", node, layer, z)
			}
		}
	}
	for _, file := range []string{"out/packed.gguf", "out/packed"} {
		zeros(t, filepath.Join(dir, file))
		again := strings.NewReplacer("FILE", file, "STORE", store).Replace(`
model "again" {
  source = "FILE"
}
data "text" "test" {
  source          = "text/test.txt"
  tokenizer       = model.again
  sequence_length = 128
  samples         = 4
}
evaluate "perplexity" "again" {
  model = model.again
  data  = data.test
}
`)
		path := filepath.Join(dir, "again.pipeline.hcl")
		if err := os.WriteFile(path, []byte(again), 0o666); err != nil {
			t.Fatal(err)
		}
		got := FindEvaluation(runChain(t, RunOptions{Pipeline: path, CacheDir: store}), "evaluate.again", "")
		if d := math.Abs(*got.Metrics["perplexity"] - *want.Metrics["perplexity"]); d != 0 {
			t.Errorf("%s reads back with perplexity %v, the model has %v", file, *got.Metrics["perplexity"], *want.Metrics["perplexity"])
		}
	}
}

// zeros counts, in a file that was written, the groups of four with fewer than
// two zeros.
func zeros(t *testing.T, path string) {
	t.Helper()
	cp, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := decodeLinears(cp)
	if err != nil {
		t.Fatal(err)
	}
	if len(weights) != 28 {
		t.Fatalf("%s has %d linears, expected 28", path, len(weights))
	}
	for name, w := range weights {
		for i := 0; i < len(w); i += 4 {
			n := 0
			for _, v := range w[i : i+4] {
				if v == 0 {
					n++
				}
			}
			if n < 2 {
				t.Fatalf("%s: %s: %v are not 2:4", path, name, w[i:i+4])
			}
		}
	}
}

// decodeLinears reads every linear layer of a checkpoint, whatever it is stored
// as.
func decodeLinears(cp *checkpoint.Checkpoint) (map[string][]float32, error) {
	out := map[string][]float32{}
	for b := range cp.Config.Layers {
		prefix := cp.Config.BlockPrefix(b)
		docs := map[string][]byte{}
		tree := &artifact.Tree{}
		for _, name := range cp.BlockTensors(b) {
			x, ok := cp.Lookup(prefix + name)
			if !ok {
				return nil, fmt.Errorf("%s has no tensor %s%s", cp.Path, prefix, name)
			}
			tree.Entries = append(tree.Entries, artifact.Entry{Name: name, Meta: x.Meta, Size: x.Length})
		}
		for _, l := range cp.Config.Linears() {
			if s, ok := cp.Quantized[prefix+l.Name]; ok {
				raw, err := json.Marshal(s)
				if err != nil {
					return nil, err
				}
				docs[blockwise.QuantLeaf(l.Name)] = raw
				tree.Entries = append(tree.Entries, artifact.Entry{Name: blockwise.QuantLeaf(l.Name)})
			}
		}
		slices.SortFunc(tree.Entries, func(a, b artifact.Entry) int { return strings.Compare(a.Name, b.Name) })
		v := &artifact.Value{Tree: tree, Load: func(e artifact.Entry) ([]byte, error) {
			if raw, ok := docs[e.Name]; ok {
				return raw, nil
			}
			x, _ := cp.Lookup(prefix + e.Name)
			f, err := os.Open(x.Path)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			raw := make([]byte, x.Length)
			_, err = f.ReadAt(raw, x.Offset)
			return raw, err
		}}
		for _, l := range cp.Config.Linears() {
			w, err := blockwise.Dense(v, l.Name)
			if err != nil {
				return nil, err
			}
			out[prefix+l.Name] = w
		}
	}
	return out, nil
}
