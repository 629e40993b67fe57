package all

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/model"
)

const gradientSweep = `
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
sweep "grid" "s" {
  sparsity = [0.3, 0.5, "2:4"]
  scale    = [0, 10, 100]
}
sweep "grid" "t" {
  sparsity = [0.2, 0.5, 0.7, 0.9]
}
prune "gblm" "p" {
  model          = train.base
  data           = data.bytes
  sparsity       = sweep.s.sparsity
  gradient_scale = sweep.s.scale
}
prune "gblm" "all" {
  model     = train.base
  data      = data.bytes
  sparsity  = sweep.t.sparsity
  scope     = "global"
  propagate = "input"
}
prune "magnitude" "m" {
  model    = train.base
  sparsity = sweep.t.sparsity
  scope    = "global"
}
prune "wanda" "followed" {
  model      = train.base
  data       = data.bytes
  allocation = prune.m.allocation
}
prune "wanda" "w" {
  model    = train.base
  data     = data.bytes
  sparsity = sweep.s.sparsity
}
`

// TestSweepsShareGradients: nine points of one pruner and four of another are one
// backward pass; every sparsity reads the same histograms; and without gradients
// GBLM is Wanda, the very same actions.
func TestSweepsShareGradients(t *testing.T) {
	dir := t.TempDir()
	for name, s := range map[string]string{"text.txt": strings.Repeat("What pulls at a weight keeps it. ", 40), "p.pipeline.hcl": gradientSweep} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	plan, ex := planned(t, dir, 2)
	count := map[string]int{}
	for _, a := range plan.Graph.Actions {
		if a.Kernel != nil {
			count[a.Kernel.Name]++
		}
	}
	for kernel, want := range map[string]int{
		"gradient.head": 1, "gradient.block": 2,
		// Two scales of three sparsities, and one of four, on two blocks.
		"prune.gblm": 20, "prune.gblm.histogram": 2, "prune.magnitude.histogram": 2,
		// Three sparsities and four allocations.
		"prune.wanda": 14,
	} {
		if count[kernel] != want {
			t.Errorf("%d actions of %s, want %d", count[kernel], kernel, want)
		}
	}
	all := 0
	removed := map[string]int{}
	for _, s := range plan.Steps {
		addr := s.Node.Addr()
		if !strings.HasPrefix(addr, "prune.") {
			continue
		}
		m := s.Node.Result.Model
		if _, err := ex.Run(context.Background(), m.Blocks); err != nil {
			t.Fatalf("%s: %v", addr, err)
		}
		all = 0
		for b, ref := range m.Blocks {
			v, release, err := ex.Value(context.Background(), ref)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range m.Type.Block(b) {
				removed[addr] += zeros(t, v.Bytes, l)
				all += l.Out * l.In
			}
			release()
		}
	}
	for _, s := range []float64{0.2, 0.5, 0.7, 0.9} {
		for _, name := range []string{"m", "all"} {
			addr := fmt.Sprintf("prune.%s[t.sparsity=%v]", name, s)
			if n := removed[addr]; n == 0 || n != int(s*float64(all)) {
				t.Errorf("%s: %d of %d weights removed", addr, n, all)
			}
		}
	}
	if len(removed) != 24 {
		t.Errorf("%d models, expected 24", len(removed))
	}
}

// zeros counts what the mask of a layer drops.
func zeros(t *testing.T, leaf func(string) ([]byte, error), l *model.Linear) int {
	t.Helper()
	b, err := leaf(l.Name + ".mask")
	if err != nil {
		t.Fatal(err)
	}
	n := l.Out * l.In
	for _, x := range b {
		for ; x != 0; x &= x - 1 {
			n--
		}
	}
	return n
}
