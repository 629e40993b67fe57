package migrate_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/compressc/compressc/internal/migrate"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes/all"
	"github.com/compressc/compressc/planner"
)

// validate does what "compressc validate" does with a text; the sources of
// models and data are not there.
func validate(t testing.TB, text []byte) {
	t.Helper()
	reg, err := lang.NewRegistry(all.Passes()...)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "p.pipeline.hcl")
	p, diags := lang.LoadFiles(dir, map[string][]byte{name: text}, lang.Options{Registry: reg})
	var files map[string]*hcl.File
	if p != nil {
		files = p.Files
		r := &planner.Resolver{Dir: dir}
		_, more := planner.Expand(p, planner.Sources{Model: r.Model, Data: r.Data})
		diags = lang.Merge(diags, more)
	}
	diags = slices.DeleteFunc(diags, func(d *hcl.Diagnostic) bool {
		// What only a merge that stays a comment uses is unused, and sources are not here.
		return d.Severity == hcl.DiagWarning && d.Summary == "Unused block" ||
			d.Subject != nil && strings.HasPrefix(strings.TrimSpace(lineOf(text, d.Subject.Start.Line)), "source ")
	})
	if len(diags) > 0 {
		var b bytes.Buffer
		if err := lang.WriteText(&b, diags, files, lang.TextOptions{}); err != nil {
			t.Fatal(err)
		}
		t.Errorf("%s\nof\n%s", b.String(), text)
	}
	if formatted, diags := lang.Format(text, name); diags.HasErrors() || !bytes.Equal(formatted, text) {
		t.Errorf("not in the canonical style:\n%s", text)
	}
}

func lineOf(text []byte, line int) string {
	return strings.Split(string(text), "\n")[line-1]
}

func files(t testing.TB, pattern string) (texts [][]byte) {
	t.Helper()
	list, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(list) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	for _, name := range list {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, src)
	}
	return texts
}

// Whatever is migrated validates.
func TestMigratedValidates(t *testing.T) {
	for _, src := range append(files(t, "*.yaml"), files(t, "*.json")...) {
		for _, opt := range []migrate.Options{{}, {Model: "org/name", Data: "c.txt"}} {
			r, err := migrate.Convert(src, "", opt)
			if err != nil {
				t.Fatal(err)
			}
			validate(t, r.Pipeline)
		}
	}
}

// fuzz is the target of all kinds: no input crashes, and what is accepted
// validates.
func fuzz(f *testing.F, kind migrate.Kind, patterns ...string) {
	for _, p := range patterns {
		for _, src := range files(f, p) {
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		r, err := migrate.Convert(src, kind, migrate.Options{})
		if err != nil {
			return
		}
		validate(t, r.Pipeline)
	})
}

func FuzzRecipe(f *testing.F)   { fuzz(f, migrate.LLMCompressor, "recipe_*.yaml") }
func FuzzMerge(f *testing.F)    { fuzz(f, migrate.Mergekit, "merge_*.yaml") }
func FuzzWorkflow(f *testing.F) { fuzz(f, migrate.Olive, "olive_*.json") }
func FuzzGPTQ(f *testing.F)     { fuzz(f, migrate.GPTQ, "gptq_*.json") }
