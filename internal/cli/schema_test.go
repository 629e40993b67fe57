package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/santhosh-tekuri/jsonschema/v6"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// compiledSchema is what "compressc schema" prints, checked against the
// meta-schema.
func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Main([]string{"schema"}, Streams{Out: &out, Err: &errs}); code != ExitOK {
		t.Fatalf("exit status %d: %s", code, errs.String())
	}
	doc, err := jsonschema.UnmarshalJSON(&out)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("pipeline.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("pipeline.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// toJSON writes native syntax in the JSON form: what is written out as values,
// everything else as templates.
func toJSON(t *testing.T, src []byte) []byte {
	t.Helper()
	f, diags := hclsyntax.ParseConfig(src, "x.pipeline.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var expression func(e hclsyntax.Expression) any
	expression = func(e hclsyntax.Expression) any {
		text := string(e.Range().SliceBytes(src))
		switch e := e.(type) {
		case *hclsyntax.TupleConsExpr:
			list := []any{}
			for _, x := range e.Exprs {
				list = append(list, expression(x))
			}
			return list
		case *hclsyntax.TemplateExpr:
			if strings.HasPrefix(text, `"`) && !e.IsStringLiteral() {
				return text[1 : len(text)-1]
			}
		}
		if v, diags := e.Value(nil); !diags.HasErrors() {
			raw, err := ctyjson.Marshal(v, v.Type())
			if err != nil {
				t.Fatal(err)
			}
			return json.RawMessage(raw)
		}
		return "${" + text + "}"
	}
	var body func(b *hclsyntax.Body) map[string]any
	body = func(b *hclsyntax.Body) map[string]any {
		out := map[string]any{}
		for name, a := range b.Attributes {
			switch text := string(a.Expr.Range().SliceBytes(src)); name {
			case "type":
				out[name] = text
			case "requires":
				list := []any{}
				for _, x := range a.Expr.(*hclsyntax.TupleConsExpr).Exprs {
					list = append(list, string(x.Range().SliceBytes(src)))
				}
				out[name] = list
			default:
				out[name] = expression(a.Expr)
			}
		}
		for _, inner := range b.Blocks {
			var labels []string
			content := body(inner.Body)
			if labels = inner.Labels; inner.Type == "override" && len(labels) == 1 {
				content["match"], labels = labels, nil
			}
			at := out
			path := append([]string{inner.Type}, labels...)
			for _, key := range path[:len(path)-1] {
				next, ok := at[key].(map[string]any)
				if !ok {
					next = map[string]any{}
					at[key] = next
				}
				at = next
			}
			last := path[len(path)-1]
			switch old := at[last].(type) {
			case nil:
				at[last] = content
			case []any:
				at[last] = append(old, content)
			default:
				at[last] = []any{old, content}
			}
		}
		return out
	}
	b, err := json.MarshalIndent(body(f.Body.(*hclsyntax.Body)), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func validJSON(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

// Every example, in the JSON form, is a pipeline to the language and to the
// schema.
func TestSchemaTakesExamples(t *testing.T) {
	s := compiledSchema(t)
	paths, err := filepath.Glob(filepath.Join("..", "..", "examples", "pipelines", "*", "*.pipeline.hcl"))
	if err != nil || len(paths) < 3 {
		t.Fatalf("%d examples: %v", len(paths), err)
	}
	paths = append(paths, filepath.Join("testdata", "lsp", "main.pipeline.hcl"), filepath.Join("testdata", "lsp", "recipe", "recipe.pipeline.hcl"))
	b, err := newBook()
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{}
	for _, path := range paths {
		if texts[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range b.pages {
		texts["docs "+p.title()] = []byte(docsPipeline + p.example())
	}
	for name, src := range texts {
		t.Run(name, func(t *testing.T) {
			text := toJSON(t, src)
			if err := validJSON(t, s, text); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
			if strings.HasPrefix(name, "docs ") {
				return // these declare names twice
			}
			// The language takes the text too: so the conversion is right.
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Dir(name))); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(dir, filepath.Base(name))); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)+".json"), text, 0o666); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(name, "lsp") {
				if err := writeModel(filepath.Join(dir, "model"), 64); err != nil {
					t.Fatal(err)
				}
			}
			var out bytes.Buffer
			Main([]string{"validate", "-json", dir}, Streams{Out: &out, Err: &out})
			for _, summary := range []string{"Unsupported", "Missing", "Unknown", "Invalid", "Extraneous"} {
				if strings.Contains(out.String(), `"summary": "`+summary) {
					t.Errorf("the language refuses it: %s\n%s", out.String(), text)
				}
			}
		})
	}
}

func TestSchemaRefuses(t *testing.T) {
	s := compiledSchema(t)
	const good = `{
  "//": "a comment",
  "variable": {"n": {"type": "number", "default": 4, "validation": [{"condition": "${var.n > 1}", "error_message": "too small"}]}},
  "locals": {"a": [1, {"b": null}]},
  "model": {"base": {"source": "m"}},
  "data": {"text": [{"calib": {"source": "c.txt", "sequence_length": 64, "samples": "8"}}]},
  "sweep": {"grid": {"s": {"bits": [2, 4], "where": "${axis.bits > 2}"}}},
  "module": {"m": {"source": "./m", "anything": {"x": 1}}},
  "prune": {"wanda": {"p": {"model": "${model.base}", "data": "${data.calib}", "sparsity": "2:4", "enabled": false, "requires": ["gate.g"],
    "override": [{"match": ["*.0.*"], "sparsity": 0}]}}},
  "quantize": {"rtn": {"q": {"model": "${prune.p}", "bits": "${sweep.s.bits}", "group_size": 64, "mse": null}}},
  "retrain": {"lora": {"r": {"model": "${prune.p}", "data": "${data.calib}", "optimizer": {"adamw": {"learning_rate": 1e-4}}}}},
  "gate": {"g": {"condition": "${model.base.size > 0}"}},
  "select": {"best": {"from": "quantize.q", "minimize": "${quantize.q.size}"}},
  "output": {"o": {"value": 1, "requires": ["${gate.g}"]}}
}`
	if err := validJSON(t, s, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, from, to string }{
		{"type of block", `"select"`, `"selekt"`},
		{"method", `"wanda"`, `"wnada"`},
		{"argument", `"sparsity": "2:4"`, `"sparsty": 0.5`},
		{"missing argument", `"data": "${data.calib}", "sparsity"`, `"sparsity"`},
		{"reference as a text", `"model": "${prune.p}", "bits"`, `"model": "prune.p", "bits"`},
		{"out of range", `"group_size": 64`, `"group_size": -2`},
		{"not one of", `"bits": "${sweep.s.bits}"`, `"bits": 5`},
		{"no number", `"group_size": 64`, `"group_size": "all"`},
		{"a fraction", `"group_size": 64`, `"group_size": 1.5`},
		{"bool", `"enabled": false`, `"enabled": 1`},
		{"name", `"base": {"source"`, `"1base": {"source"`},
		{"label of a nested block", `"adamw"`, `"adam"`},
		{"argument of a nested block", `"learning_rate"`, `"lr"`},
		{"argument of an override", `[{"match": ["*.0.*"], "sparsity": 0}]`, `[{"match": ["*.0.*"], "scope": "row"}]`},
		{"required and null", `"source": "m"`, `"source": null`},
		{"gate", `["gate.g"]`, `["prune.p"]`},
		{"axis without values", `"bits": [2, 4]`, `"bits": 2`},
		{"validation", `"condition": "${var.n > 1}", `, ``},
		{"kind of data", `"text": [`, `"images": [`},
		{"body", `"g": {"condition": "${model.base.size > 0}"}`, `"g": true`},
		{"output without value", `"value": 1, `, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(good, c.from) {
				t.Fatalf("%s is not there", c.from)
			}
			if err := validJSON(t, s, []byte(strings.Replace(good, c.from, c.to, 1))); err == nil {
				t.Errorf("%s is taken", c.to)
			}
		})
	}
}
