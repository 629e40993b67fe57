package all

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/action"
)

const awqSweep = `
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
  heads             = 4
  kv_heads          = 2
  steps             = 5
  batch_size        = 2
}
sweep "grid" "size" {
  bits  = [2, 3]
  group = [16, 32]
  clip  = [true, false]
}
quantize "awq" "q" {
  model      = train.base
  data       = data.bytes
  bits       = sweep.size.bits
  group_size = sweep.size.group
  clip       = sweep.size.clip
  grid       = 4
}
evaluate "perplexity" "q" {
  model = quantize.q
  data  = data.bytes
}
`

// A sweep over bits, group sizes and ranges walks over the model once; only bits
// and group sizes are searched anew.
func TestAWQSweepShares(t *testing.T) {
	plan, _ := planned(t, written(t, awqSweep), 2)
	count, statistics := map[string]int{}, 0
	for _, a := range plan.Graph.Actions {
		if a.Kernel == nil {
			continue
		}
		count[a.Kernel.Name]++
		for _, o := range a.Outputs {
			if a.Kernel.Name == "walk" && o.Name == "gram" {
				statistics++
			}
		}
	}
	if statistics != 2 || count["quantize.awq.scale"] != 2*4 || count["quantize.awq"] != 2*8 {
		t.Errorf("%d walks for statistics, %d searches, %d results; expected 2, 8 and 16", statistics, count["quantize.awq.scale"], count["quantize.awq"])
	}
}

const awqCompensated = `
quantize "awq" "coarse" {
  model      = transform.smooth
  data       = data.bytes
  bits       = 2
  group_size = 32
}
transform "smooth" "smooth" {
  model = train.base
  data  = data.bytes
  sites = ["qkv", "o", "gate_up", "down"]
}
compensate "lorc" "whole" {
  model     = quantize.coarse
  reference = train.base
  rank      = 32
}
evaluate "perplexity" "a_base" {
  model = train.base
  data  = data.bytes
}
evaluate "perplexity" "b_coarse" {
  model = quantize.coarse
  data  = data.bytes
}
evaluate "perplexity" "c_whole" {
  model = compensate.whole
  data  = data.bytes
}
`

// What a compensation of all directions adds to scaled and rounded weights is
// what they lack of the original model, although that was never scaled.
func TestReferencesAreScaledAlike(t *testing.T) {
	head, _, _ := strings.Cut(awqSweep, "sweep ")
	plan, ex := planned(t, written(t, head+awqCompensated), 2)
	nll := map[string]float64{}
	for _, a := range plan.Graph.Actions {
		if a.Kernel == nil || a.Kernel.Name != "evaluate.perplexity" {
			continue
		}
		ref := action.Ref{Action: a, Output: "report"}
		if _, err := ex.Run(context.Background(), []action.Ref{ref}); err != nil {
			t.Fatal(err)
		}
		v, release, err := ex.Value(context.Background(), ref)
		if err != nil {
			t.Fatal(err)
		}
		var report map[string]any
		if err := v.JSON("report", &report); err != nil {
			t.Fatal(err)
		}
		release()
		nll[a.Node], _ = report["nll"].(float64)
	}
	base, coarse, whole := nll["evaluate.a_base"], nll["evaluate.b_coarse"], nll["evaluate.c_whole"]
	if !(base > 0) || math.Abs(whole-base) > 1e-4 || math.Abs(coarse-base) < 1e-3 {
		t.Errorf("loss %v, %v rounded to 2 bits, %v with all that is missing", base, coarse, whole)
	}
}

// written is a folder with a text and the pipeline.
func written(t *testing.T, pipeline string) string {
	t.Helper()
	dir := t.TempDir()
	for name, s := range map[string]string{"text.txt": strings.Repeat("One text, one model, whatever its scales. ", 40), "p.pipeline.hcl": pipeline} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
