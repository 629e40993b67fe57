package planner

import (
	"fmt"
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

// The JSON form has modules, for_each and overrides as arrays, and makes the
// same nodes.
func TestJSONModules(t *testing.T) {
	module := []byte("variable \"model\" {\n  type = model\n}\nvariable \"keep\" {}\nprune \"wanda\" \"p\" {\n  model = var.model\n  sparsity = var.keep\n}\noutput \"model\" {\n  value = prune.p\n}\n")
	moduleJSON := []byte(`{"variable": {"model": {"type": "model"}, "keep": {}}, "prune": {"wanda": {"p": {"model": "${var.model}", "sparsity": "${var.keep}"}}}, "output": {"model": {"value": "${prune.p}"}}}`)
	native := []byte(`
variable "keep" {
  default = { light = 0.25, heavy = 0.75 }
  validation {
    condition     = length(var.keep) > 1
    error_message = "one is none"
  }
}
model "base" {
  source = "base"
}
data "text" "test" {
  source          = "x+y.txt"
  tokenizer       = model.base
  sequence_length = 8
}
module "m" {
  source   = "./m"
  for_each = var.keep
  model    = model.base
  keep     = each.value
}
prune "wanda" "q" {
  for_each = var.keep
  model    = module.m[each.key].model
  override "model.layers.0.*" {
    sparsity = 0
  }
  override {
    match    = ["model.layers.1.*"]
    sparsity = 0.125
  }
}
evaluate "perplexity" "e" {
  for_each = prune.q
  model    = each.value
  data     = data.test
}
gate "g" {
  for_each  = var.keep
  condition = evaluate.e[each.key].perplexity < 10
}
`)
	asJSON := []byte(`{
  "variable": {"keep": {"default": {"light": 0.25, "heavy": 0.75}, "validation": {"condition": "${length(var.keep) > 1}", "error_message": "one is none"}}},
  "model": {"base": {"source": "base"}},
  "data": {"text": {"test": {"source": "x+y.txt", "tokenizer": "${model.base}", "sequence_length": 8}}},
  "module": {"m": {"source": "./m", "for_each": "${var.keep}", "model": "${model.base}", "keep": "${each.value}"}},
  "prune": {"wanda": {"q": {"for_each": "${var.keep}", "model": "${module.m[each.key].model}",
    "override": [{"match": ["model.layers.0.*"], "sparsity": 0}, {"match": ["model.layers.1.*"], "sparsity": 0.125}]}}},
  "evaluate": {"perplexity": {"e": {"for_each": "${prune.q}", "model": "${each.value}", "data": "${data.test}"}}},
  "gate": {"g": {"for_each": "${var.keep}", "condition": "${evaluate.e[each.key].perplexity < 10}"}}
}`)
	text := func(name string, src, module []byte) string {
		x, diags := load(t, map[string][]byte{name: src}, lang.Options{Overlay: map[string][]byte{"m/" + name: module}})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		var b strings.Builder
		for _, n := range x.Nodes {
			if n.Call != nil {
				// A pattern is a label or match: the same selector.
				fmt.Fprintf(&b, "%s %d\n", n.Addr(), n.Call.Seed)
				if p, ok := n.Call.Args.(*fakePrune); ok {
					fmt.Fprintln(&b, p.Sparsity, p.Overrides)
				}
			}
		}
		return b.String() + nodesText(x)
	}
	a, b := text("a.pipeline.hcl", native, module), text("a.pipeline.hcl.json", asJSON, moduleJSON)
	if a != b || !strings.Contains(a, `module.m["heavy"].prune.p`) {
		t.Errorf("got\n%s\nwant\n%s", b, a)
	}
}

// Expressions are evaluated or refused, whatever they are.
func FuzzEvaluate(f *testing.F) {
	for _, seed := range []string{"1 + 2", "prune.p[\"a\"].size", "[for k, v in prune.p : v.sparsity]", "evaluate.e.perplexity", "all.evaluate.e[*].point.s.x",
		"sweep.s.x * 2", "{ a = model.base }", "each.key", "module.m.out", "\"${data.test.windows}\"", "prune.p[sweep.s.x == 1 ? \"a\" : \"b\"]", "null", "var.v", "local.l.x.y", "path.module",
		"merge({a = 1}, {b = model.base.layers})", "try(model.nothing, 1)", "evaluate.e == null"} {
		f.Add(seed)
	}
	src := `
variable "v" {}
locals {
  l = { x = prune.p }
}
model "base" {
  source = "base"
}
data "text" "test" {
  source          = "x+y.txt"
  tokenizer       = model.base
  sequence_length = 8
}
sweep "grid" "s" {
  x = [1, 2]
}
prune "wanda" "p" {
  for_each = { a = 0.25, b = 0.5 }
  model    = model.base
  sparsity = each.value / sweep.s.x
}
evaluate "perplexity" "e" {
  model = prune.p["a"]
  data  = data.test
}
module "m" {
  source = "./m"
  model  = prune.p["b"]
}
`
	module := []byte("variable \"model\" {\n  type = model\n}\noutput \"out\" {\n  value = var.model.size\n}\n")
	f.Fuzz(func(t *testing.T, expr string) {
		if strings.Contains(expr, "range") || strings.Contains(expr, "file") || strings.Contains(expr, "pow") || strings.Contains(expr, "format") {
			return // what takes long, and the disk, are not what is tested
		}
		x, diags := load(t, map[string][]byte{"a.pipeline.hcl": []byte(src)}, lang.Options{Overlay: map[string][]byte{"m/a.pipeline.hcl": module}})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		for range 2 {
			values, diags := x.Evaluate(expr, "<console>")
			if len(values) == 0 && !diags.HasErrors() {
				t.Errorf("%q has neither a value nor an error", expr)
			}
			var b strings.Builder
			if err := lang.WriteText(&b, diags, x.Pipeline.Files, lang.TextOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	})
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
