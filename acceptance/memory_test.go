package acceptance

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
)

// A decoder block and its activations are in memory, not the model: the peak
// without file-backed pages stays small, and a budget is kept to.
func TestPeakMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("resident memory without file-backed pages is known on Linux only")
	}
	const mb = 1 << 20
	r := reference(t)
	oneShot := func(name string) string {
		return protocol(r) + keptChains(r) + fmt.Sprintf("evaluate \"perplexity\" \"x\" {\n  model = %s\n  data = data.test\n}\n", name)
	}
	for _, c := range []struct {
		name, text, memory string
		limit              int64
	}{
		{"gptq", oneShot("quantize.g"), "", 600 * mb},
		{"sparsegpt, gptq, eora in 350MB", oneShot("compensate.sqe"), "350MB", 350e6},
		{"merge of three", protocol(r) + scaledModels, "", 500e6},
		{"merge of three in 250MB", protocol(r) + scaledModels, "250MB", 250e6},
		{"chain with training", oneShot("compensate.wlqe"), "", 1500 * mb},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writePipeline(t, c.text)
			rec, err := program(t).Run(context.Background(), RunOptions{Pipeline: filepath.Clean(dir), CacheDir: t.TempDir(), Memory: c.memory})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("peak %d MB of at most %d MB", rec.PeakAnonBytes/1e6, c.limit/1e6)
			if rec.PeakAnonBytes == 0 || rec.PeakAnonBytes > c.limit {
				t.Errorf("peak %d bytes; expected at most %d", rec.PeakAnonBytes, c.limit)
			}
		})
	}
}

// scaledModels are three models of the reference's size that differ from it in
// every weight, and their merge.
const scaledModels = `
merge "linear" "scaled" {
  for_each  = { a = 0.97, b = 1.02, c = 0.95 }
  models    = [model.base]
  weights   = [each.value]
  normalize = false
}
merge "ties" "ties" {
  base   = model.base
  models = values(merge.scaled)
}
export "safetensors" "merged" {
  model = merge.ties
  path  = "merged"
}
`
