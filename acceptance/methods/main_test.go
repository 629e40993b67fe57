package main

import (
	"path/filepath"
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
	t.Chdir(filepath.Join("..", ".."))
	used := map[string]bool{}
	for _, c := range claims {
		for _, file := range c.files() {
			used[file] = true
		}
		text, err := c.text()
		if err != nil {
			t.Errorf("section %s: %v", c.name, err)
		}
		var inputs []lang.Input
		for name, value := range map[string]string{"reference": "reference", "targets": `["*"]`, "windows": "1", "steps": "20"} {
			inputs = append(inputs, lang.Input{Name: name, Value: value})
		}
		if _, diags := lang.LoadFiles(t.TempDir(), map[string][]byte{"x.pipeline.hcl": []byte(text)}, lang.Options{Registry: reg, Inputs: inputs}); diags.HasErrors() {
			t.Errorf("section %s: %v", c.name, diags)
		}
	}
	files, err := filepath.Glob(filepath.Join(pipelines, "*.pipeline.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !used[file] {
			t.Errorf("no section runs %s", file)
		}
	}
}
