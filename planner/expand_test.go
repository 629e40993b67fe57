package planner

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/compressc/compressc/lang"
)

// What a sensitive variable holds is in no message, whatever is wrong with it.
func TestSensitiveValuesStayOut(t *testing.T) {
	for _, expr := range []string{"var.key + 1", "var.key.x", "[local.key]", "local.key"} {
		src := `
variable "key" {
  type      = string
  default   = "prefix-${upper("secret")}"
  sensitive = true
}
locals {
  key = "${var.key}!"
}
model "base" {
  source = "base"
  token  = ` + expr + `
}
`
		x, diags := load(t, map[string][]byte{"a.pipeline.hcl": []byte(src)}, lang.Options{})
		var b strings.Builder
		if err := lang.WriteText(&b, diags, x.Pipeline.Files, lang.TextOptions{}); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "SECRET") || diags.HasErrors() != (expr != "local.key") {
			t.Errorf("%s: %s", expr, b.String())
		}
	}
}

// In JSON a gate or the source of a select may be written as a name or as an
// expression.
func TestJSONNames(t *testing.T) {
	for _, form := range []string{"%", "${%}"} {
		name := func(s string) string { return `"` + strings.Replace(form, "%", s, 1) + `"` }
		src := `{
  "model": {"base": {"source": "base"}},
  "sweep": {"grid": {"s": {"keep": [0.25, 0.5]}}},
  "prune": {"wanda": {"p": {"model": "${model.base}", "sparsity": "${sweep.s.keep}"}}},
  "gate": {"g": {"condition": "${prune.p.sparsity < 0.4}"}},
  "select": {"best": {"from": ` + name("prune.p") + `, "minimize": "${prune.p.size}"}},
  "export": {"gguf": {"x": {"model": "${select.best}", "path": "x", "requires": [` + name("gate.g") + `]}}}
}`
		x, diags := load(t, map[string][]byte{"a.pipeline.hcl.json": []byte(src)}, lang.Options{})
		if len(diags) > 0 {
			t.Fatalf("%s: %v", form, diags)
		}
		for i, n := range x.Of(x.Pipeline.Lookup("export.x")) {
			if len(n.Requires) != 1 || n.Requires[0] != x.Of(x.Pipeline.Lookup("gate.g"))[i] {
				t.Errorf("%s requires %v", n.ID(), n.Requires)
			}
		}
	}
}

// Pipelines with too many points are refused, and soon.
func TestTooManyPoints(t *testing.T) {
	src := `
sweep "grid" "a" {
  x = range(200)
  y = range(200)
}
sweep "grid" "b" {
  x = range(150)
}
sweep "grid" "c" {
  x = range(150)
}
output "o" {
  value = sweep.a.x + sweep.a.y
}
output "p" {
  value = sweep.b.x + sweep.c.x
}
`
	_, diags := load(t, map[string][]byte{"a.pipeline.hcl": []byte(src)}, lang.Options{})
	var found []string
	for _, d := range diags {
		found = append(found, d.Summary+" "+d.Subject.String())
	}
	if got, want := strings.Join(found, "; "), "Too many points a.pipeline.hcl:2,1-17; Too many points a.pipeline.hcl:15,1-11"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A seed belongs to its block: the block's own, else the pipeline's.
func TestSeeds(t *testing.T) {
	src := `
pipeline {
  seed = 5
}
model "base" {
  source = "base"
}
prune "wanda" "a" {
  model = model.base
}
sweep "grid" "s" {
  seed_of = [7, 8]
}
prune "wanda" "b" {
  model = model.base
  seed  = sweep.s.seed_of
}
`
	x, diags := load(t, map[string][]byte{"a.pipeline.hcl": []byte(src)}, lang.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	want := map[string]uint64{"prune.a": 5, "prune.b[s.seed_of=7]": 7, "prune.b[s.seed_of=8]": 8}
	for _, n := range x.Nodes {
		if n.Call != nil && n.Call.Seed != want[n.Addr()] {
			t.Errorf("%s has the seed %d, want %d", n.Addr(), n.Call.Seed, want[n.Addr()])
		}
	}
}

// Expansion survives whatever loads, and results whatever expands.
func FuzzExpand(f *testing.F) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var src []byte
		for _, file := range archive.Files {
			if strings.HasSuffix(file.Name, ".hcl") {
				src = append(src, file.Data...)
			}
		}
		f.Add(src)
	}
	f.Add([]byte(runText))
	f.Fuzz(func(t *testing.T, src []byte) {
		if strings.Contains(string(src), "range(") || strings.Contains(string(src), "file") {
			return // huge lists and the disk are not what is tested
		}
		x, diags := load(t, map[string][]byte{"a.pipeline.hcl": src}, lang.Options{})
		var b strings.Builder
		if err := lang.WriteText(&b, diags, x.Pipeline.Files, lang.TextOptions{}); err != nil {
			t.Fatal(err)
		}
		r := x.Results(func(n *Node) Outcome {
			return Outcome{Status: Status(len(n.Addr()) % 4), Metrics: map[string]float64{"perplexity": float64(len(n.ID()))}}
		})
		for _, n := range x.Nodes {
			switch n.Block.Kind {
			case lang.KindGate:
				r.Gate(n)
				r.GateHolds(n.Block)
			case lang.KindSelect:
				r.Select(n)
			case lang.KindOutput:
				r.Output(n.Block)
			}
			r.Blocked(n)
			if _, err := x.Find(n.Addr()); err != nil {
				t.Errorf("%s: %v", n.Addr(), err)
			}
		}
	})
}
