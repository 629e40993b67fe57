package lang

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
)

type testPrune struct {
	Model    *passes.Model `arg:"model" doc:"the model to prune"`
	Sparsity float64       `arg:"sparsity" default:"0.5" per_module:"true" doc:"fraction to remove"`

	Overrides schema.Overrides `overrides:"true"`
}

func testOptions(t testing.TB) Options {
	t.Helper()
	r, err := NewRegistry(&passes.Pass{Verb: "prune", Method: "wanda", NewArgs: func() any { return &testPrune{} }})
	if err != nil {
		t.Fatal(err)
	}
	return Options{Registry: r}
}

func loadText(t testing.TB, src string, opt Options) (*Pipeline, hcl.Diagnostics) {
	t.Helper()
	return LoadFiles(".", map[string][]byte{"main.pipeline.hcl": []byte(src)}, opt)
}

func summaries(diags hcl.Diagnostics) string {
	var parts []string
	for _, d := range diags {
		s := d.Summary
		if d.Subject != nil {
			s += " " + where(*d.Subject)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

func TestRegistryRefusesMistakes(t *testing.T) {
	ok := func() any { return &testPrune{} }
	for name, list := range map[string][]*passes.Pass{
		"verb":   {{Verb: "shrink", Method: "x", NewArgs: ok}},
		"twice":  {{Verb: "prune", Method: "x", NewArgs: ok}, {Verb: "prune", Method: "x", NewArgs: ok}},
		"struct": {{Verb: "prune", Method: "x", NewArgs: func() any { return 3 }}},
	} {
		if _, err := NewRegistry(list...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestLoadFolder(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if p, diags := Load(dir, testOptions(t)); p != nil || !strings.Contains(diags.Error(), "no file whose name ends in .pipeline.hcl") {
		t.Errorf("an empty folder: %v, %v", p, diags)
	}
	if p, diags := Load(filepath.Join(dir, "nowhere"), testOptions(t)); p != nil || !diags.HasErrors() {
		t.Errorf("a folder that is not there: %v, %v", p, diags)
	}
	write("b.pipeline.hcl", `model "base" { source = file("name.txt") }`)
	write("a.pipeline.hcl.json", `{"variable": {"x": {"type": "number"}}, "output": {"x": {"value": "${var.x + 1}"}}}`)
	write("z.vars.hcl", "x = 4\n")
	write("y.vars.hcl", "x = 5\n")
	write("name.txt", "hello")
	write("other.hcl", "not { a pipeline")
	p, diags := Load(dir, testOptions(t))
	if len(diags) > 0 {
		t.Fatal(diags)
	}
	var addrs []string
	for _, b := range p.Blocks {
		addrs = append(addrs, b.Addr())
	}
	if got := strings.Join(addrs, " "); got != "var.x output.x model.base" {
		t.Errorf("blocks %s", got)
	}
	if v := p.Lookup("var.x").Value; !v.RawEquals(cty.NumberIntVal(4)) {
		t.Errorf("var.x is %#v; the file that sorts last wins", v)
	}
	source, d := p.Lookup("model.base").Body.Attr("source").Expr.Value(&hcl.EvalContext{Functions: p.Functions})
	if d.HasErrors() || source.AsString() != "hello" {
		t.Errorf("file() gives %#v, %v", source, d)
	}
	// One file alone: its folder's values are not for it.
	p, diags = Load(filepath.Join(dir, "a.pipeline.hcl.json"), testOptions(t))
	if len(diags) > 0 || p.Lookup("var.x").Value.IsKnown() || p.Lookup("model.base") != nil {
		t.Errorf("one file: %v, %v", p.Blocks, diags)
	}
	// A file that is open in an editor is read from there.
	opt := testOptions(t)
	opt.Overlay = map[string][]byte{filepath.Join(dir, "z.vars.hcl"): []byte("x = 9\n")}
	p, diags = Load(dir, opt)
	if len(diags) > 0 || !p.Lookup("var.x").Value.RawEquals(cty.NumberIntVal(9)) {
		t.Errorf("overlay: %v", diags)
	}
}

func TestVariablePrecedence(t *testing.T) {
	src := "variable \"a\" {\n  type = number\n  default = 1\n}\n"
	varsFile := map[string][]byte{"main.pipeline.hcl": []byte(src), "x.vars.hcl": []byte("a = 3\n")}
	argFile := filepath.Join(t.TempDir(), "arg.hcl")
	if err := os.WriteFile(argFile, []byte("a = 4\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{"COMPRESSC_VAR_a=2", "COMPRESSC_VAR_unrelated=x", "PATH=/bin"}
	for _, c := range []struct {
		name   string
		files  map[string][]byte
		env    []string
		inputs []Input
		want   int64
	}{
		{"default", map[string][]byte{"main.pipeline.hcl": []byte(src)}, nil, nil, 1},
		{"environment", map[string][]byte{"main.pipeline.hcl": []byte(src)}, env, nil, 2},
		{"file over environment", varsFile, env, nil, 3},
		{"argument over file", varsFile, env, []Input{{File: argFile}}, 4},
		{"later argument over earlier", varsFile, env, []Input{{File: argFile}, {Name: "a", Value: "5"}}, 5},
		{"order of arguments", varsFile, env, []Input{{Name: "a", Value: "5"}, {File: argFile}}, 4},
	} {
		opt := testOptions(t)
		opt.Environ, opt.Inputs = c.env, c.inputs
		p, diags := LoadFiles(".", c.files, opt)
		if len(diags) > 0 {
			t.Errorf("%s: %v", c.name, diags)
			continue
		}
		if v := p.Lookup("var.a").Value; !v.RawEquals(cty.NumberIntVal(c.want)) {
			t.Errorf("%s: %#v, want %d", c.name, v, c.want)
		}
	}
}

func TestVariableText(t *testing.T) {
	for _, c := range []struct {
		typ, text string
		want      cty.Value
	}{
		{"string", "2:4", cty.StringVal("2:4")},
		{"any", "2", cty.StringVal("2")},
		{"number", "2", cty.NumberIntVal(2)},
		{"bool", "true", cty.True},
		{"list(number)", "[1, 2]", cty.ListVal([]cty.Value{cty.NumberIntVal(1), cty.NumberIntVal(2)})},
		{"object({ a = optional(number, 7) })", "{}", cty.ObjectVal(map[string]cty.Value{"a": cty.NumberIntVal(7)})},
	} {
		opt := testOptions(t)
		opt.Inputs = []Input{{Name: "x", Value: c.text}}
		p, diags := loadText(t, "variable \"x\" {\n  type = "+c.typ+"\n}\n", opt)
		if len(diags) > 0 {
			t.Errorf("%s: %v", c.typ, diags)
			continue
		}
		if v := p.Lookup("var.x").Value; !v.RawEquals(c.want) {
			t.Errorf("%s from %q: %#v", c.typ, c.text, v)
		}
	}
}

func TestRequiredVariable(t *testing.T) {
	src := "variable \"x\" {\n  type = number\n}\noutput \"o\" {\n  value = var.x\n}\n"
	p, diags := loadText(t, src, testOptions(t))
	if len(diags) > 0 || p.Lookup("var.x").Value.IsKnown() || p.Lookup("var.x").Value.Type() != cty.Number {
		t.Errorf("validate: %v, %#v", diags, p.Lookup("var.x").Value)
	}
	opt := testOptions(t)
	opt.Complete = true
	if _, diags := loadText(t, src, opt); summaries(diags) != "Variable without a value main.pipeline.hcl line 1" {
		t.Errorf("complete: %s", summaries(diags))
	}
}

// What a sensitive variable holds appears in no message.
func TestSensitiveTextStaysOut(t *testing.T) {
	opt := testOptions(t)
	opt.Inputs = []Input{{Name: "x", Value: "s3cr3t("}}
	p, diags := loadText(t, "variable \"x\" {\n  type = number\n  sensitive = true\n}\n", opt)
	var b strings.Builder
	if err := WriteText(&b, diags, p.Files, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if !diags.HasErrors() || strings.Contains(b.String(), "s3cr3t") {
		t.Errorf("got %s", b.String())
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct{ body, version, want string }{
		{`required_version = ">= 0.1"`, "0.2.0", ""},
		{`required_version = ">= 0.1"`, "0.1.0-dev", ""},
		{`required_version = "~> 1.0"`, "0.2.0", "Unsupported version main.pipeline.hcl line 2"},
		{`required_version = "~> 1.0"`, "", ""},
		{`required_version = "new"`, "0.2.0", "Invalid version constraint main.pipeline.hcl line 2"},
		{`seed = -1`, "", "Invalid seed main.pipeline.hcl line 2"},
		{`seed = 1.5`, "", "Invalid seed main.pipeline.hcl line 2"},
		{`seeds = 1`, "", "Unsupported argument main.pipeline.hcl line 2"},
		{`description = ["x"]`, "", "Wrong type of argument main.pipeline.hcl line 2"},
		{"}\npipeline {", "", "Duplicate block main.pipeline.hcl line 3"},
	} {
		opt := testOptions(t)
		opt.Version = c.version
		_, diags := loadText(t, "pipeline {\n  "+c.body+"\n}\n", opt)
		if got := summaries(diags); got != c.want {
			t.Errorf("%s: %q, want %q", c.body, got, c.want)
		}
	}
	p, diags := loadText(t, "pipeline {\n  seed = 18446744073709551615\n  description = \"d\"\n}\n", testOptions(t))
	if len(diags) > 0 || p.Settings.Seed != 1<<64-1 || p.Settings.Description != "d" {
		t.Errorf("settings %+v, %v", p.Settings, diags)
	}
}

// A syntax error is reported alone: what the parser lost behind it is neither a
// missing argument nor an unknown reference.
func TestSyntaxErrorIsReportedAlone(t *testing.T) {
	for _, src := range []string{
		"model \"base\" {\n  source = \"x\n}\n\nprune \"wanda\" \"p\" {\n  model = model.base\n}\n",
		"model \"base\" {\n  source 5 \"x\"\n}\n\nprune \"wanda\" \"p\" {\n  model = model.base\n}\n",
		"prune \"wanda\" \"p\" {\n  model = model.base\n}\n\noutput \"o\" {\n  value 3\n}\n",
	} {
		_, diags := loadText(t, src, testOptions(t))
		if !diags.HasErrors() {
			t.Errorf("no error in %q", src)
		}
		for _, d := range diags {
			if d.Summary == "Unknown reference" || d.Summary == "Missing argument" {
				t.Errorf("follow-on finding: %s", d.Error())
			}
		}
	}
}

// Blocks whose labels are wrong keep their names, so that references to them
// are not reported too.
func TestWrongLabels(t *testing.T) {
	src := `
prune "p" {
  model = model.base
}
model "a" "base" {
  source = "x"
}
prune "wanda" "1st" {
  model = model.base
}
output "o" {
  value = prune.p.size
}
value = 3
prune "wanda" "q" {
  model = model.base
}
prune "wanda" "q" {
  model = model.base
}
`
	_, diags := loadText(t, src, testOptions(t))
	want := "Wrong number of labels main.pipeline.hcl line 2; Wrong number of labels main.pipeline.hcl line 5; Invalid name main.pipeline.hcl line 8; Unsupported argument main.pipeline.hcl line 14; Duplicate name main.pipeline.hcl line 18"
	if got := summaries(diags); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestFunctions(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.txt", "b.md", "sub/c.txt", "sub/deep/d.txt"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("hello"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for expr, want := range map[string]string{
		`pow(2, 10)`:        "1024",
		`pow(2, -1)`:        "0.5",
		`sum([1, 2, 3.5])`:  "6.5",
		`sum([])`:           "0",
		`one([])`:           "null",
		`one(toset(["a"]))`: `"a"`,
		`one([1, 2])`:       "error",
		`matchkeys(["a", "b", "c"], [1, 2, 1], [1])`: `["a", "c"]`,
		`transpose({ a = ["x", "y"], b = ["y"] }).y`: `["a", "b"]`,
		`strcontains("2:4", ":")`:                    "true",
		`basename("a/b.txt")`:                        `"b.txt"`,
		`dirname("a/b.txt")`:                         `"a"`,
		`fileexists("a.txt")`:                        "true",
		`fileexists("sub")`:                          "false",
		`substr(sha256("hello"), 0, 12)`:             `"2cf24dba5fb0"`,
		`length({ a = 1, b = 2 })`:                   "2",
		`length("äb")`:                               "2",
		`length([])`:                                 "0",
		`length(3)`:                                  "error",
		`alltrue([true, false])`:                     "false",
		`anytrue([true, false])`:                     "true",
		`alltrue([])`:                                "true",
		`startswith("2:4", "2")`:                     "true",
		`human_size(0)`:                              `"0 B"`,
		`human_size(1023)`:                           `"1023 B"`,
		`human_size(1024)`:                           `"1.00 KiB"`,
		`human_size(102144512)`:                      `"97.4 MiB"`,
		`human_size(1048064)`:                        `"1.00 MiB"`,
		`range(3)`:                                   "[0, 1, 2]",
		`file("a.txt")`:                              `"hello"`,
		`fileset(".", "*.txt")`:                      `["a.txt"]`,
		`fileset(".", "**/*.txt")`:                   `["a.txt", "sub/c.txt", "sub/deep/d.txt"]`,
		`fileset("sub", "*.md")`:                     `[]`,
		`substr(filesha256("sub/c.txt"), 0, 12)`:     `"2cf24dba5fb0"`,
		`try(file("nope"), "none")`:                  `"none"`,
		`join("-", sort(["b", "a"]))`:                `"a-b"`,
		`length(setproduct([1,2],[3,4]))`:            "4",
		`pow(2, 0.5)`:                                "error",
		`pow(0, -1)`:                                 "error",
		`file("nope")`:                               "error",
		`fileset(".", "[")`:                          "error",
		`log(2, 10)`:                                 "error",
		`timestamp()`:                                "error",
	} {
		src := "output \"o\" {\n  value = " + expr + "\n}\n"
		p, diags := LoadFiles(dir, map[string][]byte{"main.pipeline.hcl": []byte(src)}, testOptions(t))
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		v, d := p.Lookup("output.o").Body.Attr("value").Expr.Value(&hcl.EvalContext{Functions: p.Functions})
		got := "error"
		if !d.HasErrors() {
			got = schema.Spell(v)
		}
		if got != want {
			t.Errorf("%s is %s, want %s (%v)", expr, got, want, d)
		}
	}
}

// Loading survives any text, and says the same about it twice.
func FuzzLoad(f *testing.F) {
	f.Add([]byte("model \"base\" {\n  source = \"x\"\n}\nprune \"wanda\" \"p\" {\n  model = model.base\n  override \"*\" {\n    sparsity = 1\n  }\n}\n"), false)
	f.Add([]byte("locals {\n  a = local.b\n  b = all.prune.p\n}\nsweep \"grid\" \"s\" {\n  x = [1]\n  where = axis.x > 0\n}\n"), false)
	f.Add([]byte("variable \"v\" {\n  type = list(object({a=optional(string)}))\n  default = [{}]\n}\n"), false)
	f.Add([]byte(`{"prune": {"wanda": {"p": {"model": "${model.base}", "override": [{"match": "*"}]}}}}`), true)
	f.Add([]byte("gate \"g\" {\n  condition = evaluate.x.y\n}\nselect \"s\" {\n  from = prune[\"p\"]\n}\n"), false)
	f.Add([]byte("prune \"wanda\" \"p\" {\n  for_each = { a = model.base, b = 2 }\n  model = each.value\n}\nlocals {\n  x = prune.p[\"a\"].size\n  y = [for k, v in prune.p : each.key]\n}\n"), false)
	f.Add([]byte("variable \"v\" {\n  type = map(model)\n  validation {\n    condition = var.v != null\n    error_message = \"${var.v}\"\n  }\n}\nmodule \"m\" {\n  source = \"./m\"\n  for_each = toset([\"a\"])\n  v = {}\n}\noutput \"o\" {\n  value = module.m[\"a\"].o\n}\n"), false)
	f.Add([]byte(`{"module": {"m": {"source": "./m", "for_each": {"k": 1}, "v": "${each.value}"}}, "variable": {"x": {"validation": [{"condition": "${var.x > 1}"}]}}}`), true)
	module := []byte("variable \"v\" {\n  default = 1\n}\nmodule \"n\" {\n  source = \"../n\"\n  w = var.v\n}\noutput \"o\" {\n  value = module.n.o\n}\n")
	inner := []byte("variable \"w\" {}\noutput \"o\" {\n  value = [var.w, path.module]\n}\n")
	f.Fuzz(func(t *testing.T, src []byte, json bool) {
		name := "a.pipeline.hcl"
		if json {
			name += ".json"
		}
		var first string
		for i := range 2 {
			opt := testOptions(t)
			opt.Overlay = map[string][]byte{"m/a.pipeline.hcl": module, "n/a.pipeline.hcl": inner}
			p, diags := LoadFiles(".", map[string][]byte{name: src}, opt)
			var b strings.Builder
			if err := WriteText(&b, diags, p.Files, TextOptions{Color: true, Width: 60}); err != nil {
				t.Fatal(err)
			}
			if err := WriteJSON(&b, diags, p.Files); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = b.String()
			} else if b.String() != first {
				t.Errorf("two loads differ:\n%s\n%s", first, b.String())
			}
		}
	})
}
