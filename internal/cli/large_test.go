package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// writeLarge writes a pipeline of a thousand blocks: 50 modules in folders of
// their own, beside the model and the text of the scripts.
func writeLarge(t testing.TB, dir string) {
	t.Helper()
	if err := writeModel(filepath.Join(dir, "model"), 64); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"text.txt": string(text(6000))}
	var root strings.Builder
	root.WriteString(`model "base" {
  source = "model"
}
data "text" "calib" {
  source          = "text.txt"
  tokenizer       = model.base
  sequence_length = 16
  samples         = 4
}
data "text" "test" {
  source          = "text.txt"
  tokenizer       = model.base
  sequence_length = 16
  offset          = 100
  samples         = 4
}
`)
	for m := range 50 {
		fmt.Fprintf(&root, `
module "m%[1]d" {
  source = "./m%[1]d"
  model  = model.base
  calib  = data.calib
  test   = data.test
}
output "o%[1]d" {
  value = module.m%[1]d.loss
}
`, m)
		var b strings.Builder
		b.WriteString(`
variable "model" {
  type = model
}
variable "calib" {
  type = data
}
variable "test" {
  type = data
}
locals {
  keep = 0.5
}
`)
		for i := range 4 {
			fmt.Fprintf(&b, `
# step %[1]d
prune "wanda" "p%[1]d" {
  model    = var.model
  data     = var.calib
  sparsity = local.keep

  override "model.layers.0.*" {
    sparsity = 0
  }
}

quantize "gptq" "q%[1]d" {
  model      = prune.p%[1]d
  data       = var.calib
  bits       = 4
  group_size = 64
}

evaluate "perplexity" "e%[1]d" {
  model = quantize.q%[1]d
  data  = var.test
}
`, i)
		}
		b.WriteString("gate \"g\" {\n  condition = evaluate.e0.perplexity < 2 * evaluate.e1.perplexity\n}\noutput \"loss\" {\n  value = evaluate.e3.perplexity\n}\n")
		files[fmt.Sprintf("m%d/main.pipeline.hcl", m)] = b.String()
	}
	files["main.pipeline.hcl"] = root.String()
	for name, src := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkValidateLarge is the command validate for a thousand blocks in 50
// modules: files, headers and all. The goal is 50 ms. With COMPRESSC_KEEP set to
// a folder the pipeline is left there, for timing the program from outside.
func BenchmarkValidateLarge(b *testing.B) {
	dir := b.TempDir()
	if keep := os.Getenv("COMPRESSC_KEEP"); keep != "" {
		dir = keep
	}
	writeLarge(b, dir)
	for b.Loop() {
		var out, errs bytes.Buffer
		if code := Main([]string{"validate", dir}, Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != ExitOK {
			b.Fatal(errs.String())
		}
	}
}
