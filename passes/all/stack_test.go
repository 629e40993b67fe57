package all

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

const fiveSizes = `
data "text" "bytes" {
  source          = "text.txt"
  sequence_length = 32
  samples         = 4
}
train "language_model" "base" {
  data              = data.bytes
  hidden_size       = 32
  intermediate_size = 64
  layers            = 2
  steps             = 1
  batch_size        = 2
}
sweep "grid" "size" {
  bits = [2.6, 4, 5, 6, 9]
}
quantize "bitstack" "b" {
  model           = train.base
  data            = data.bytes
  iterations      = 5
  bits_per_weight = sweep.size.bits
}
evaluate "perplexity" "e" {
  model = quantize.b
  data  = data.bytes
}
`

// Five sizes are one decomposition of each block and one order; a smaller size
// is a leading part of a larger one, byte for byte, and stores nothing.
func TestStackSizesShare(t *testing.T) {
	dir := t.TempDir()
	for name, s := range map[string]string{"text.txt": strings.Repeat("One text, five sizes of one model. ", 40), "p.pipeline.hcl": fiveSizes} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	plan, ex := planned(t, dir, 2)
	count := map[string]int{}
	var views []action.Ref
	for _, a := range plan.Graph.Actions {
		if a.Kernel == nil {
			continue
		}
		count[a.Kernel.Name]++
		if a.Kernel.Name == "quantize.bitstack.view" {
			views = append(views, action.Ref{Action: a, Output: "block"})
		}
	}
	for kernel, want := range map[string]int{"quantize.bitstack.decompose": 2, "quantize.bitstack.order": 1, "quantize.bitstack.view": 10} {
		if count[kernel] != want {
			t.Errorf("%d actions of %s, want %d", count[kernel], kernel, want)
		}
	}
	if _, err := ex.Run(context.Background(), views); err != nil {
		t.Fatal(err)
	}
	// By block and leaf, what was seen at the size before.
	before := map[string][]byte{}
	digests := map[string]artifact.Digest{}
	grown := 0
	for _, v := range views {
		value, release, err := ex.Value(context.Background(), v)
		if err != nil {
			t.Fatal(err)
		}
		for _, leaf := range value.Tree.Entries {
			if !strings.Contains(leaf.Name, ".stack.") {
				continue
			}
			key := v.Action.Label + " " + leaf.Name
			b, err := value.Bytes(leaf.Name)
			if err != nil {
				t.Fatal(err)
			}
			if old, ok := before[key]; ok {
				if !bytes.HasPrefix(b, old) && !bytes.HasPrefix(old, b) {
					t.Errorf("%s is not a leading part of that of another size", key)
				}
				if len(b) != len(old) {
					grown++
				}
				if digests[key] != leaf.Digest {
					t.Errorf("%s is stored twice", key)
				}
			}
			before[key], digests[key] = bytes.Clone(b), leaf.Digest
		}
		release()
	}
	if grown == 0 {
		t.Error("all sizes have the same blocks")
	}
}
