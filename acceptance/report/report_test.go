package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compressc/compressc/acceptance/pages"

	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes/all"
)

const pipelines = "../pipelines"

// Every pipeline is valid with the variables that the report gives it, and the
// rows that are compared are among those that are measured.
func TestPipelines(t *testing.T) {
	reg, err := lang.NewRegistry(all.Passes()...)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(pipelines, "*.pipeline.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(sized) {
		t.Errorf("%d pipelines; the report runs %d", len(files), len(sized))
	}
	r := &report{scale: small}
	r.reference.Dir = "reference"
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".pipeline.hcl")
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		more := map[string]string{}
		switch name {
		case "exports":
			more["out"] = "out"
		case "readback":
			more["file"] = "model.gguf"
		}
		var inputs []lang.Input
		for v, value := range r.vars(name, more) {
			inputs = append(inputs, lang.Input{Name: v, Value: value})
		}
		_, diags := lang.LoadFiles(t.TempDir(), map[string][]byte{"x.pipeline.hcl": text}, lang.Options{Registry: reg, Inputs: inputs})
		if diags.HasErrors() {
			t.Errorf("%s: %v", name, diags)
		}
	}
	text, err := os.ReadFile(filepath.Join(pipelines, "rows.pipeline.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range rows {
		if !regexp.MustCompile(`(?m)^evaluate "perplexity" "` + w.evaluation + `" \{$`).Match(text) {
			t.Errorf("row %q: the pipeline has no evaluation %q", w.what, w.evaluation)
		}
	}
}

// The report is written also where a promise is broken, which is said.
func TestFinish(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.md")
	good, bad := &pages.Page{Text: "fine\n"}, &pages.Page{Text: "not fine\n", Broken: []string{"memory"}}
	if err := finish(file, "head\n", []*pages.Page{good, bad}); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("with a broken promise: %v; expected its name", err)
	}
	text, err := os.ReadFile(file)
	if want := "head\n\nfine\n\nnot fine\n"; err != nil || string(text) != want {
		t.Errorf("wrote %q, %v; expected %q", text, err, want)
	}
}

func TestCompareLayers(t *testing.T) {
	const a, b = "model.layers.0.x", "model.layers.1.x"
	c, err := compareLayers(map[string]float64{a: 1, b: 3}, map[string]float64{a: 2, b: 2}, 1.02, false)
	if err != nil || c.above != 1 || c.first != 0.5 || c.sum != 1 || !slices.Equal(c.ratios, []float64{0.5, 1.5}) {
		t.Errorf("%+v, %v; expected one of two layers above, sum 1", c, err)
	}
	if _, err := compareLayers(map[string]float64{a: 1}, map[string]float64{a: 2, b: 2}, 1.02, false); err == nil || !strings.Contains(err.Error(), b) {
		t.Errorf("with a layer missing: %v; expected its name", err)
	}
	if c, err := compareLayers(map[string]float64{a: 1}, map[string]float64{a: 2, b: 2}, 1.02, true); err != nil || len(c.ratios) != 1 {
		t.Errorf("where some layers are enough: %+v, %v", c, err)
	}
	if _, err := compareLayers(nil, map[string]float64{a: 2}, 1.02, true); err == nil {
		t.Error("nothing to compare is no error")
	}
}
