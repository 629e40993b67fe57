package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes/all"
)

// docsDir holds the written pages.
var docsDir = filepath.Join("..", "..", "docs", "passes")

// docs/passes is what "compressc docs -write" writes today.
func TestDocsCurrent(t *testing.T) {
	b, err := newBook()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("COMPRESSC_UPDATE") != "" {
		if err := b.write(docsDir); err != nil {
			t.Fatal(err)
		}
	}
	files := b.files()
	have, err := filepath.Glob(filepath.Join(docsDir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range have {
		if files[filepath.Base(path)] == nil {
			t.Errorf("%s is about a method that is gone; COMPRESSC_UPDATE=1 removes it", path)
		}
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(docsDir, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("docs/passes/%s is not current (%v); COMPRESSC_UPDATE=1 writes it", name, err)
		}
	}
}

// docsPipeline holds what the examples of the pages refer to.
const docsPipeline = `
model "base" {
  source = "model"
}

data "text" "calib" {
  source          = "calib.txt"
  tokenizer       = model.base
  sequence_length = 64
  samples         = 4
}

data "text" "test" {
  source          = "test.txt"
  tokenizer       = model.base
  sequence_length = 64
  samples         = 4
}

quantize "rtn" "small" {
  model      = model.base
  group_size = 64
}

evaluate "perplexity" "small" {
  model = quantize.small
  data  = data.test
}

compensate "lorc" "final" {
  model     = quantize.small
  reference = model.base
  rank      = 2
}

train "language_model" "gpt2" {
  data         = data.calib
  architecture = "gpt2"
  hidden_size  = 32
  layers       = 1
  steps        = 2
}

retrain "lora" "prose" {
  model = model.base
  data  = data.calib
  steps = 4
}

retrain "lora" "code" {
  model = model.base
  data  = data.test
  steps = 4
}
`

var steps = regexp.MustCompile(`(?m)^(  steps += )\d+$`)

// Every block of the language has a page.
func TestDocsCoverLanguage(t *testing.T) {
	b, err := newBook()
	if err != nil {
		t.Fatal(err)
	}
	reg, err := lang.NewRegistry(all.Passes()...)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range lang.Forms(reg) {
		if !slices.ContainsFunc(b.pages, func(p page) bool { return p.block == f.Type }) {
			t.Errorf("there is no page about %s", f.Type)
		}
	}
}

// Every method but the formats says where it comes from.
func TestDocsCite(t *testing.T) {
	b, err := newBook()
	if err != nil {
		t.Fatal(err)
	}
	cited := regexp.MustCompile(`(19|20)\d\d`)
	for _, p := range b.pages {
		if p.verb && p.block != "export" && !cited.MatchString(p.paper) {
			t.Errorf("%s cites %q", p.title(), p.paper)
		}
	}
}

// writeAdapter writes a PEFT folder that updates one layer of a model of 64
// channels, by nothing.
func writeAdapter(dir string) error {
	var list []safetensors.WriteTensor
	for name, shape := range map[string][]int{"lora_A": {2, 64}, "lora_B": {64, 2}} {
		list = append(list, safetensors.WriteTensor{Name: "base_model.model.model.layers.0.self_attn.q_proj." + name + ".weight",
			Meta: tensor.Meta{DType: tensor.F32, Shape: shape}, Data: func() ([]byte, error) { return make([]byte, 4*2*64), nil }})
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, list, nil); err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(dir, 0o777), os.WriteFile(filepath.Join(dir, "adapter_model.safetensors"), b.Bytes(), 0o666),
		os.WriteFile(filepath.Join(dir, "adapter_config.json"), []byte(`{"peft_type": "LORA", "r": 2, "lora_alpha": 4}`), 0o666))
}

// Every page's example is a pipeline that runs.
func TestDocsExamples(t *testing.T) {
	b, err := newBook()
	if err != nil {
		t.Fatal(err)
	}
	dir, cacheDir := t.TempDir(), t.TempDir()
	if err := writeModel(filepath.Join(dir, "model"), 64); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"calib.txt", "test.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), text(20000), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeAdapter(filepath.Join(dir, "adapter")); err != nil {
		t.Fatal(err)
	}
	recipe := filepath.Join(dir, "recipe")
	if err := os.Mkdir(recipe, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(recipe, "r.pipeline.hcl"), []byte("variable \"base\" {\n  type = model\n}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, p := range b.pages {
		t.Run(p.title(), func(t *testing.T) {
			block := p.example()
			rest := docsPipeline
			// The block takes the place of what has its name.
			for _, old := range strings.SplitAfter(docsPipeline, "\n}\n") {
				head, _, _ := strings.Cut(strings.TrimSpace(old), " {")
				if f := strings.Fields(head); len(f) > 1 && strings.HasPrefix(block, f[0]+" ") && strings.Contains(block, f[len(f)-1]+" {") {
					rest = strings.Replace(rest, old, "", 1)
				}
			}
			// A pipeline must use what it declares to have it checked.
			path := filepath.Join(dir, "p.pipeline.hcl")
			// A few steps of training show as much as many.
			text := steps.ReplaceAllString(rest+"\n"+block, "${1}2")
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
			command := []string{"run", "-cache-dir", cacheDir, path}
			if p.block == "model" || p.block == "module" {
				command = []string{"validate", path} // its source is on a hub, or its result is not used
			}
			var out, errs bytes.Buffer
			if code := Main(command, Streams{Out: &out, Err: &errs}); code != ExitOK {
				t.Errorf("exit status %d\n%s\n%s", code, block, errs.String())
			}
		})
	}
}
