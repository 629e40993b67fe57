package acceptance

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// toy trains a small model on this repository's licence and takes it through
// prune, retrain, quantise and compensate: all kinds of actions in a second or
// two, on any machine.
const toy = `
data "text" "train" {
  source          = "TEXT"
  sequence_length = 64
  samples         = 24
}
data "text" "calib" {
  source          = "TEXT"
  sequence_length = 64
  samples         = 8
}
data "text" "test" {
  source          = "TEXT"
  sequence_length = 64
  offset          = 40
  samples         = 8
}
train "language_model" "base" {
  data              = data.train
  hidden_size       = 128
  intermediate_size = 256
  layers            = 3
  steps             = 15
  batch_size        = 4
}
prune "sparsegpt" "sparse" {
  model    = train.base
  data     = data.calib
  sparsity = "2:4"
}
retrain "lora" "healed" {
  model      = prune.sparse
  data       = data.train
  rank       = 4
  steps      = 10
  batch_size = 3
}
quantize "gptq" "w4" {
  model      = retrain.healed
  data       = data.calib
  group_size = 32
}
sweep "grid" "rank" {
  rank = RANKS
}
compensate "eora" "final" {
  model     = quantize.w4
  reference = train.base
  data      = data.calib
  rank      = sweep.rank.rank
}
evaluate "perplexity" "dense" {
  model = train.base
  data  = data.test
}
evaluate "perplexity" "ppl" {
  model = compensate.final
  data  = data.test
}
`

// toyLayers is how many decoder blocks the toy has.
const toyLayers = 3

// toyText fills in the toy's text and ranks, an HCL list.
func toyText(t testing.TB, ranks string) string {
	t.Helper()
	text, err := filepath.Abs(filepath.Join(root, "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("TEXT", filepath.ToSlash(text), "RANKS", ranks).Replace(toy)
}

// writePipeline puts a pipeline's text into a folder of its own.
func writePipeline(t testing.TB, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.pipeline.hcl"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The same digests at any number of threads, of the toy from its first random
// weight to its last side path.
func TestSameDigestsAtAnyThreads(t *testing.T) {
	p := program(t)
	dir := writePipeline(t, toyText(t, "[4, 8]"))
	var first map[string]string
	for _, threads := range []int{1, 2, 3, 8} {
		rec, err := p.Run(context.Background(), RunOptions{Pipeline: dir, CacheDir: t.TempDir(), Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		got := Digests(rec)
		if first == nil {
			first = got
			if len(first) < 8 {
				t.Fatalf("only %d nodes: %v", len(first), first)
			}
			continue
		}
		sameDigests(t, got, first)
	}
}

func sameDigests(t testing.TB, got, want map[string]string) {
	t.Helper()
	for node, d := range want {
		if d == "" || got[node] != d {
			t.Errorf("%s: digest %.12q; expected %.12q", node, got[node], d)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d nodes; expected %d", len(got), len(want))
	}
}

// Where a method's statistics come from makes a difference.
func TestPropagateMatters(t *testing.T) {
	text := toyText(t, "[4]") + `
prune "wanda" "output" {
  model     = prune.half
  data      = data.calib
  sparsity  = "2:4"
}
prune "wanda" "input" {
  model     = prune.half
  data      = data.calib
  sparsity  = "2:4"
  propagate = "input"
}
prune "wanda" "reference" {
  model     = prune.half
  reference = train.base
  data      = data.calib
  sparsity  = "2:4"
  propagate = "reference"
}
prune "magnitude" "half" {
  model    = train.base
  sparsity = 0.25
}
evaluate "perplexity" "all" {
  model = { output = prune.output, input = prune.input, reference = prune.reference }[sweep.p.source]
  data  = data.test
}
sweep "grid" "p" {
  source = ["output", "input", "reference"]
}
`
	rec, err := program(t).Run(context.Background(), RunOptions{Pipeline: writePipeline(t, text), CacheDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, name := range []string{"prune.output", "prune.input", "prune.reference"} {
		n := FindNode(rec, name, "")
		if n == nil || n.Digest == "" {
			t.Fatalf("%s has no digest", name)
		}
		if other := seen[n.Digest]; other != "" {
			t.Errorf("%s and %s are the same model", name, other)
		}
		seen[n.Digest] = name
	}
}
