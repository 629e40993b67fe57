package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes/all"
)

// Every section has a pipeline that is valid with the variables it is given.
func TestPipelines(t *testing.T) {
	reg, err := lang.NewRegistry(all.Passes()...)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join("pipelines", "*.pipeline.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		names[strings.TrimSuffix(filepath.Base(file), ".pipeline.hcl")] = true
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var inputs []lang.Input
		for name, value := range map[string]string{"reference": "reference", "targets": `["*"]`, "windows": "1", "steps": "20"} {
			inputs = append(inputs, lang.Input{Name: name, Value: value})
		}
		if _, diags := lang.LoadFiles(t.TempDir(), map[string][]byte{"x.pipeline.hcl": text}, lang.Options{Registry: reg, Inputs: inputs}); diags.HasErrors() {
			t.Errorf("%s: %v", file, diags)
		}
	}
	for _, c := range claims {
		if !names[c.name] {
			t.Errorf("section %s has no pipeline", c.name)
		}
	}
	if len(files) != len(claims) {
		t.Errorf("%d pipelines; the page has %d sections", len(files), len(claims))
	}
}
