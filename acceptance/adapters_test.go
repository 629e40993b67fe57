package acceptance

import (
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/checkpoint"
)

// adaptersPipeline trains adapters behind the sublayers of a small decoder that was
// pruned, and goes on from there.
const adaptersPipeline = `
data "text" "bytes" {
  source          = "TEXT"
  sequence_length = 48
  samples         = 40
}
data "text" "test" {
  source          = "TEXT"
  sequence_length = 48
  offset          = 40
  samples         = 8
}
train "language_model" "base" {
  data              = data.bytes
  architecture      = "ARCHITECTURE"
  hidden_size       = 64
  intermediate_size = 96
  layers            = 2
  steps             = 20
  batch_size        = 2
}
prune "wanda" "half" {
  model    = train.base
  data     = data.bytes
  sparsity = 0.6
}
retrain "compacter" "both" {
  model      = prune.half
  data       = data.bytes
  placement  = "both"
  bottleneck = 8
  steps      = 40
  batch_size = 2

  optimizer "adamw" {
    learning_rate = 1e-2
  }
}
retrain "compacter" "ffn" {
  model       = prune.half
  data        = data.bytes
  placement   = "ffn"
  train_norms = false
  steps       = 10
}
quantize "gptq" "coded" {
  model      = retrain.both
  data       = data.bytes
  group_size = 16
}
compensate "eora" "sided" {
  model     = quantize.coded
  reference = retrain.both
  data      = data.bytes
  rank      = 4
}
retrain "lora" "healed" {
  model = retrain.ffn
  data  = data.bytes
  rank  = 4
  steps = 5
}
`

// Adapters behind the sublayers heal, count as what they are, and stay part of the
// model: through codes and updates, and in a folder that is read again.
func TestAdapters(t *testing.T) {
	license, err := filepath.Abs(filepath.Join(root, "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	for _, architecture := range []string{"llama", "gpt2"} {
		t.Run(architecture, func(t *testing.T) {
			source := strings.NewReplacer("TEXT", filepath.ToSlash(license), "ARCHITECTURE", architecture)
			text := source.Replace(adaptersPipeline)
			for _, m := range []string{"prune.half", "retrain.both", "retrain.ffn", "quantize.coded", "compensate.sided", "retrain.healed"} {
				text += evaluation(strings.ReplaceAll(m, ".", "_"), m)
			}
			exported := []string{"retrain.both", "quantize.coded", "retrain.healed"}
			for _, m := range exported {
				name := strings.ReplaceAll(m, ".", "_")
				text += fmt.Sprintf("export \"safetensors\" %q {\n  model  = %s\n  path   = %q\n  dtype  = \"f32\"\n  layout = \"native\"\n}\n", name, m, name)
			}
			dir, store := writePipeline(t, text), t.TempDir()
			rec := runChain(t, RunOptions{Pipeline: dir, CacheDir: store, Threads: 2})
			for _, threads := range map[string][]int{"llama": {1, 3}}[architecture] {
				sameDigests(t, Digests(runChain(t, RunOptions{Pipeline: dir, CacheDir: t.TempDir(), Threads: threads})), Digests(rec))
			}
			loss := func(model string) float64 {
				t.Helper()
				ppl, err := metricOf(rec, strings.ReplaceAll(model, ".", "_"))
				if err != nil {
					t.Fatalf("%s: %v", model, err)
				}
				t.Logf("%-18s %.5f", model, math.Log(ppl))
				return math.Log(ppl)
			}
			before, after := loss("prune.half"), loss("retrain.both")
			if !(after < before-0.02) {
				t.Errorf("adapters bring the loss from %.4f to %.4f", before, after)
			}
			if coded := loss("quantize.coded"); !(math.Abs(coded-after) < 0.2) {
				t.Errorf("4 bits move the loss from %.4f to %.4f", after, coded)
			}
			if a, b := loss("retrain.ffn"), loss("retrain.healed"); a == b {
				t.Error("an update of a model with adapters changes nothing")
			}
			loss("compensate.sided")
			count := func(node string) int64 { return FindNode(rec, node, "").Model.Parameters }
			// (in + out) of down and of up, and a bias of each; 4³ that all share.
			adapter := func(width int64) int64 { return 2*(64+width) + width + 64 }
			if got, want := count("retrain.both")-count("prune.half"), 4*adapter(8)+64; got != want {
				t.Errorf("behind both, adapters have %d parameters; expected %d", got, want)
			}
			if got, want := count("retrain.ffn")-count("prune.half"), 2*adapter(4)+64; got != want {
				t.Errorf("behind the MLP, adapters have %d parameters; expected %d", got, want)
			}
			for _, m := range exported {
				name := strings.ReplaceAll(m, ".", "_")
				folder := filepath.Join(dir, name)
				cp, err := checkpoint.Open(folder)
				if err != nil {
					t.Fatal(err)
				}
				if got := cp.Config.Parameters(); got != count(m) {
					t.Errorf("%s: the folder has %d parameters, the model %d", m, got, count(m))
				}
				head, _, _ := strings.Cut(source.Replace(adaptersPipeline), "\ntrain ")
				again := head + fmt.Sprintf("\nmodel \"m\" {\n  source = %q\n}\n", filepath.ToSlash(folder)) + evaluation("back", "model.m")
				back, err := metricOf(runChain(t, RunOptions{Pipeline: writePipeline(t, again), CacheDir: store}), "back")
				if want := loss(m); err != nil || !(math.Abs(math.Log(back)-want) < 1e-6) {
					t.Errorf("%s was exported, and has another loss than %v: %v, %v", m, want, math.Log(back), err)
				}
				out, err := exec.CommandContext(t.Context(), program(t).Path, "inspect", folder).Output()
				if err != nil || !strings.Contains(string(out), "adapters") {
					t.Errorf("inspect says %s, %v", out, err)
				}
			}
		})
	}
}
