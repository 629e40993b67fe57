package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/internal/tokenizer"
	"github.com/compressc/compressc/lang"
)

// badBase stands beside every bad pipeline that does not say otherwise.
const badBase = `model "base" {
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
`

// writeHeaders writes a Llama that has headers and no weights: the file is as
// long as it should be, and holds nothing.
func writeHeaders(t *testing.T, dir string, hidden, layers int, model string, edit func(map[string]any)) {
	t.Helper()
	config := map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": model, "hidden_act": "silu",
		"hidden_size": hidden, "intermediate_size": hidden * 8 / 3, "num_hidden_layers": layers, "num_attention_heads": 8, "num_key_value_heads": 4,
		"head_dim": hidden / 8, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "vocab_size": tokenizer.ByteLevel().VocabSize(),
		"max_position_embeddings": 2048, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
	}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := arch.ParseConfig(raw)
	if err != nil {
		t.Fatal(err)
	}
	var list []safetensors.WriteTensor
	add := func(name string, shape []int) {
		list = append(list, safetensors.WriteTensor{Name: name, Meta: tensor.Meta{DType: tensor.BF16, Shape: shape}, Data: func() ([]byte, error) {
			m := tensor.Meta{DType: tensor.BF16, Shape: shape}
			return make([]byte, 2*m.Elements()), nil
		}})
	}
	for _, t := range cfg.OuterTensors() {
		add(t.Name, t.Shape)
	}
	for b := range cfg.Layers {
		for _, t := range cfg.BlockTensors() {
			add(cfg.BlockPrefix(b)+t.Name, t.Shape)
		}
	}
	if edit != nil {
		edit(config)
		if raw, err = json.Marshal(config); err != nil {
			t.Fatal(err)
		}
	}
	var weights bytes.Buffer
	if err := safetensors.Write(&weights, list, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	header := weights.Len()
	for header > 0 && weights.Bytes()[header-1] == 0 {
		header--
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.safetensors")
	for name, data := range map[string][]byte{"config.json": raw, "tokenizer.json": tokenizer.ByteLevel().ToJSON(), "model.safetensors": weights.Bytes()[:header]} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(path, int64(weights.Len())); err != nil {
		t.Fatal(err)
	}
}

// badFolder holds the models that the bad pipelines name: "model", one of
// another width, one with another tokenizer and one without, one whose tensors
// its configuration contradicts, one of an unknown architecture.
func badFolder(t *testing.T) string {
	dir := t.TempDir()
	writeHeaders(t, filepath.Join(dir, "model"), 576, 4, "llama", nil)
	writeHeaders(t, filepath.Join(dir, "narrow"), 384, 4, "llama", nil)
	writeHeaders(t, filepath.Join(dir, "lies"), 384, 2, "llama", func(c map[string]any) { c["intermediate_size"] = 1000 })
	writeHeaders(t, filepath.Join(dir, "unknown"), 384, 2, "llama", func(c map[string]any) { c["model_type"] = "mamba" })
	writeHeaders(t, filepath.Join(dir, "plain"), 384, 2, "llama", nil)
	if err := os.Remove(filepath.Join(dir, "plain", "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	writeHeaders(t, filepath.Join(dir, "other"), 576, 4, "llama", nil)
	tok := filepath.Join(dir, "other", "tokenizer.json")
	raw, err := os.ReadFile(tok)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tok, bytes.Replace(raw, []byte(`"a":`), []byte(`"a0":`), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	all := text(40000)
	for name, data := range map[string][]byte{"calib.txt": all[:20000], "test.txt": all[20000:], "empty.txt": nil} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestBadPipelines validates each testdata/bad/*.txtar, one mistake each, and
// compares what is said, to the column. COMPRESSC_UPDATE=1 rewrites it. A comment
// line "alone" leaves badBase out, "flags: …" gives flags.
//
// Whatever the mistake, there is one error, it stands at a line and column, and
// it says more than what is wrong.
func TestBadPipelines(t *testing.T) {
	cases, err := filepath.Glob(filepath.Join("testdata", "bad", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	if len(cases) < 60 {
		t.Errorf("only %d bad pipelines", len(cases))
	}
	for i, name := range cases {
		if cases[i], err = filepath.Abs(name); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("NO_COLOR", "1")
	t.Setenv("HF_HUB_CACHE", "hub") // no model there
	dir := badFolder(t)
	t.Chdir(dir)
	typed := 0
	for _, path := range cases {
		name := strings.TrimSuffix(filepath.Base(path), ".txtar")
		t.Run(name, func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "type_") {
				typed++
			}
			where, err := os.MkdirTemp(dir, "case")
			if err != nil {
				t.Fatal(err)
			}
			for _, link := range []string{"model", "narrow", "lies", "unknown", "plain", "other", "calib.txt", "test.txt", "empty.txt"} {
				if err := os.Symlink(filepath.Join(dir, link), filepath.Join(where, link)); err != nil {
					t.Skipf("no symbolic links here: %v", err)
				}
			}
			t.Chdir(where)
			golden := -1
			comment := string(archive.Comment)
			if !strings.Contains(comment, "\nalone\n") {
				archive.Files = append(archive.Files, txtar.File{Name: "base.pipeline.hcl", Data: []byte(badBase)})
			}
			for i, f := range archive.Files {
				if f.Name == "stderr" {
					golden = i
					continue
				}
				if err := os.MkdirAll(filepath.Dir(f.Name), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(f.Name, f.Data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			args := []string{"validate"}
			if _, flags, ok := strings.Cut(comment, "flags: "); ok {
				line, _, _ := strings.Cut(flags, "\n")
				args = append(args, strings.Fields(line)...)
			}
			var out, errs bytes.Buffer
			code := Main(args, Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
			got := strings.ReplaceAll(errs.String(), where, "DIR")
			if code != ExitError {
				t.Errorf("exit status %d\n%s", code, got)
			}
			checkBad(t, args)
			if golden < 0 {
				t.Fatal("the archive has no file called stderr")
			}
			if os.Getenv("COMPRESSC_UPDATE") != "" {
				archive.Files[golden].Data = []byte(got)
				if last := len(archive.Files) - 1; archive.Files[last].Name == "base.pipeline.hcl" {
					archive.Files = archive.Files[:last]
				}
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if string(archive.Files[golden].Data) != got {
				t.Errorf("got\n%s\nwant\n%s", got, archive.Files[golden].Data)
			}
		})
	}
	if typed < 20 {
		t.Errorf("only %d of the bad pipelines are mistakes of model types", typed)
	}
}

var sentenceEnd = regexp.MustCompile(`[.:?]`)

// checkBad checks the same as JSON: one error, and what there is to know of it.
func checkBad(t *testing.T, args []string) {
	t.Helper()
	var out bytes.Buffer
	Main(append(args, "-json"), Streams{In: strings.NewReader(""), Out: &out, Err: &out})
	var r lang.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if r.ErrorCount != 1 {
		t.Errorf("%d errors, want 1", r.ErrorCount)
	}
	for _, d := range r.Diagnostics {
		switch {
		case d.Range == nil || d.Range.Start.Line < 1 || d.Range.Start.Column < 1:
			t.Errorf("%s: no line and column", d.Summary)
		case d.Snippet == nil || d.Snippet.Code == "":
			t.Errorf("%s: no snippet", d.Summary)
		case len(d.Detail) < 20 || !sentenceEnd.MatchString(d.Detail):
			t.Errorf("%s: the detail %q says too little", d.Summary, d.Detail)
		}
	}
}
