package schema

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/diag"
)

type thing struct{ name string }

func (*thing) RefKind() string { return "model" }

type other struct{}

func (*other) RefKind() string { return "data" }

type level struct{ n int }

func (level) ArgType() string { return "number or \"full\"" }

func (l *level) ParseArg(v cty.Value) error {
	if v.Type() == cty.String && v.AsString() == "full" {
		l.n = 100
		return nil
	}
	if v.Type() != cty.Number {
		return errLevel
	}
	i, _ := v.AsBigFloat().Int64()
	l.n = int(i)
	return nil
}

type levelError struct{}

func (levelError) Error() string { return "a level is expected" }

var errLevel = levelError{}

type common struct {
	Targets []string `arg:"targets" optional:"true" doc:"globs"`
}

type inner struct {
	Rate  float64 `arg:"rate" default:"1e-4" above:"0" below:"1"`
	Warm  int     `arg:"warm" optional:"true"`
	Label string  `arg:"name"`
}

type sample struct {
	common
	Model  *thing    `arg:"model" doc:"the model"`
	Ref    *thing    `arg:"reference" optional:"true"`
	Many   []*thing  `arg:"models" optional:"true"`
	Mode   string    `arg:"mode" default:"output" enum:"reference|input|output"`
	Bits   int       `arg:"bits" enum:"2|3|4|8" default:"4" per_module:"true"`
	Damp   float64   `arg:"damping" default:"0.01" min:"0" max:"1" per_module:"true"`
	Flag   bool      `arg:"flag" default:"true"`
	Level  level     `arg:"level" default:"full" per_module:"true"`
	Ranks  []int     `arg:"ranks" default:"[1, 2]" min:"1"`
	Ratios []float64 `arg:"ratios" optional:"true"`
	Seed   uint64    `arg:"salt" optional:"true"`
	Old    int       `arg:"old" optional:"true" deprecated:"use bits"`
	Inner  inner     `block:"inner" label:"x" optional:"true"`

	Overrides Overrides `overrides:"true"`
}

func schemaOf(t *testing.T, ptr any) *Schema {
	t.Helper()
	s, err := For(ptr)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func list(ds diag.List) string {
	var b strings.Builder
	for _, d := range ds {
		b.WriteString(d.Arg + ": " + d.Summary + ": " + d.Detail + "\n")
	}
	return b.String()
}

func modelValue(k Kinder) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{"size": cty.UnknownVal(cty.Number), RefAttr: RefValue(&Ref{Value: k})})
}

func TestSchemaOfStruct(t *testing.T) {
	s := schemaOf(t, &sample{})
	if got, want := strings.Join(s.ArgNames(), " "), "targets model reference models mode bits damping flag level ranks ratios salt old"; got != want {
		t.Errorf("arguments %s, want %s", got, want)
	}
	if got := strings.Join(s.PerModule(), " "); got != "bits damping level" {
		t.Errorf("per module: %s", got)
	}
	for _, c := range []struct{ name, typ, def, rng string }{
		{"targets", "list of strings", "", ""},
		{"model", "model", "", ""},
		{"models", "list of models", "", ""},
		{"mode", "string", `"output"`, ""},
		{"damping", "number", "0.01", "at least 0 and at most 1"},
		{"level", `number or "full"`, `"full"`, ""},
		{"ranks", "list of whole numbers", "[1, 2]", "at least 1"},
		{"salt", "whole number", "", ""},
	} {
		a := s.Arg(c.name)
		if a.TypeName() != c.typ || a.DefaultText() != c.def || a.Range() != c.rng {
			t.Errorf("%s: type %q, default %q, range %q; want %q, %q, %q", c.name, a.TypeName(), a.DefaultText(), a.Range(), c.typ, c.def, c.rng)
		}
		if a.Required != (c.name == "model") {
			t.Errorf("%s: required is %v", c.name, a.Required)
		}
	}
	if b := s.Block("inner"); b == nil || !b.Admits("x") || b.Required || b.Schema.Arg("rate").Range() != "above 0 and below 1" {
		t.Errorf("inner block %+v", b)
	}
	if again := schemaOf(t, &sample{}); again != s {
		t.Error("the schema of one type is made twice")
	}
}

func TestSchemaRefusesMistakes(t *testing.T) {
	type twice struct {
		A int `arg:"a" optional:"true"`
		B int `arg:"a" optional:"true"`
	}
	type reserved struct {
		A int `arg:"seed" optional:"true"`
	}
	type badDefault struct {
		A int `arg:"a" default:"7" max:"5"`
	}
	type badEnum struct {
		A string `arg:"a" default:"x" enum:"y|z"`
	}
	type badType struct {
		A map[string]int `arg:"a"`
	}
	type badRange struct {
		A string `arg:"a" min:"1"`
	}
	type refDefault struct {
		A *thing `arg:"a" default:"x"`
	}
	type noOverrides struct {
		A int `arg:"a" per_module:"true"`
	}
	type unexported struct {
		a int `arg:"a"` //nolint:unused
	}
	_ = unexported{}.a
	for _, c := range []any{&twice{}, &reserved{}, &badDefault{}, &badEnum{}, &badType{}, &badRange{}, &refDefault{}, &noOverrides{}, &unexported{}, sample{}, nil} {
		if _, err := For(c); err == nil {
			t.Errorf("%T: no error", c)
		}
	}
}

func TestDecodeDefaults(t *testing.T) {
	m := &thing{"a"}
	var a sample
	if ds := Decode(&a, map[string]cty.Value{"model": modelValue(m), "bits": cty.NullVal(cty.Number)}); len(ds) > 0 {
		t.Fatal(list(ds))
	}
	want := sample{Model: m, Mode: "output", Bits: 4, Damp: 0.01, Flag: true, Level: level{100}, Ranks: []int{1, 2}, Inner: inner{Rate: 1e-4}}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got %+v\nwant %+v", a, want)
	}
}

func TestDecodeValues(t *testing.T) {
	m := &thing{"a"}
	var a sample
	s := schemaOf(t, &a)
	unknown, ds := s.Decode(&a, Input{
		Values: map[string]cty.Value{
			"model": modelValue(m), "reference": RefValue(&Ref{Value: m}), "mode": cty.StringVal("input"),
			"bits": cty.StringVal("8"), "damping": cty.NumberIntVal(1), "flag": cty.StringVal("false"),
			"targets": cty.TupleVal([]cty.Value{cty.StringVal("a*")}), "ratios": cty.ListVal([]cty.Value{cty.NumberFloatVal(0.5)}),
			"ranks": cty.UnknownVal(cty.List(cty.Number)), "salt": cty.MustParseNumberVal("18446744073709551615"), "level": cty.NumberIntVal(3),
		},
		Blocks: map[string]BlockInput{"inner": {Label: "x", Input: Input{Values: map[string]cty.Value{"name": cty.StringVal("n"), "rate": cty.UnknownVal(cty.Number)}}}},
	})
	if len(ds) > 0 {
		t.Fatal(list(ds))
	}
	if got := strings.Join(unknown, " "); got != "ranks inner.rate" {
		t.Errorf("unknown: %s", got)
	}
	want := sample{common: common{[]string{"a*"}}, Model: m, Ref: m, Mode: "input", Bits: 8, Damp: 1, Level: level{3},
		Ratios: []float64{0.5}, Seed: 1<<64 - 1, Inner: inner{Label: "n"}}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got %+v\nwant %+v", a, want)
	}
}

func TestDecodeFindings(t *testing.T) {
	model := modelValue(&thing{})
	for _, c := range []struct {
		name string
		in   Input
		want string
	}{
		{"missing", Input{}, "model: Missing argument: The argument \"model\" (model) is required, but was not given.\n"},
		{"null", Input{Values: map[string]cty.Value{"model": cty.NullVal(cty.DynamicPseudoType)}}, "model: Missing argument: The argument \"model\" (model) is required, but is null.\n"},
		{"wrong kind", Input{Values: map[string]cty.Value{"model": modelValue(&other{})}}, "model: Wrong type of argument: The argument \"model\" takes a model, not data. Name what yields a model, such as prune.name.\n"},
		{"no reference", Input{Values: map[string]cty.Value{"model": cty.StringVal("base")}}, "model: Wrong type of argument: The argument \"model\" takes a model, not \"base\". Name what yields a model, such as prune.name.\n"},
		{"misspelt", Input{Values: map[string]cty.Value{"model": model, "dampng": cty.Zero}}, "dampng: Unsupported argument: An argument named \"dampng\" is not expected here. Did you mean \"damping\"?\n"},
		{"enum", Input{Values: map[string]cty.Value{"model": model, "mode": cty.StringVal("outputs")}}, "mode: Invalid value: The argument \"mode\" is \"outputs\", but must be \"reference\", \"input\" or \"output\". Did you mean \"output\"?\n"},
		{"number enum", Input{Values: map[string]cty.Value{"model": model, "bits": cty.NumberIntVal(5)}}, "bits: Invalid value: The argument \"bits\" is 5, but must be 2, 3, 4 or 8.\n"},
		{"fraction", Input{Values: map[string]cty.Value{"model": model, "bits": cty.NumberFloatVal(4.5)}}, "bits: Invalid value: The argument \"bits\" takes a whole number, not 4.5.\n"},
		{"range", Input{Values: map[string]cty.Value{"model": model, "damping": cty.NumberFloatVal(1.5)}}, "damping: Value out of range: The argument \"damping\" is 1.5, but must be at least 0 and at most 1.\n"},
		{"range in list", Input{Values: map[string]cty.Value{"model": model, "ranks": cty.TupleVal([]cty.Value{cty.NumberIntVal(4), cty.Zero})}}, "ranks: Value out of range: The argument \"ranks\" is 0, but must be at least 1.\n"},
		{"no list", Input{Values: map[string]cty.Value{"model": model, "ranks": cty.NumberIntVal(4)}}, "ranks: Wrong type of argument: The argument \"ranks\" takes a list of whole numbers, not 4.\n"},
		{"bool", Input{Values: map[string]cty.Value{"model": model, "flag": cty.StringVal("maybe")}}, "flag: Wrong type of argument: The argument \"flag\" takes true or false, not \"maybe\".\n"},
		{"overflow", Input{Values: map[string]cty.Value{"model": model, "salt": cty.NumberIntVal(-1)}}, "salt: Value out of range: The argument \"salt\" is -1, more than its type uint64 holds.\n"},
		{"infinite", Input{Values: map[string]cty.Value{"model": model, "ratios": cty.ListVal([]cty.Value{cty.PositiveInfinity})}}, "ratios: Value out of range: The argument \"ratios\" is +Inf, more than its type float64 holds.\n"},
		{"custom", Input{Values: map[string]cty.Value{"model": model, "level": cty.True}}, "level: Invalid value: The argument \"level\" takes a number or \"full\". A level is expected.\n"},
		{"deprecated", Input{Values: map[string]cty.Value{"model": model, "old": cty.Zero}}, "old: Deprecated argument: \"old\" is deprecated: use bits\n"},
		{"inner", Input{Values: map[string]cty.Value{"model": model}, Blocks: map[string]BlockInput{"inner": {Label: "y", Input: Input{Values: map[string]cty.Value{"rate": cty.NumberIntVal(1)}}}}},
			"inner: Wrong label: A block \"inner\" has the label \"x\" here.\ninner.rate: Value out of range: The argument \"rate\" is 1, but must be above 0 and below 1.\ninner.name: Missing argument: The argument \"name\" (string) is required, but was not given.\n"},
		{"override", Input{Values: map[string]cty.Value{"model": model}, Overrides: []OverrideInput{
			{Selector: Globs([]string{"a["}), Values: map[string]cty.Value{"bits": cty.Zero}},
			{Values: map[string]cty.Value{"mode": cty.StringVal("x")}}}},
			"override[0]: Invalid pattern: The pattern \"a[\" cannot be used: the bracket in \"[\" is not closed.\noverride[0].bits: Invalid value: The argument \"bits\" is 0, but must be 2, 3, 4 or 8.\noverride[1]: Override without a pattern: An override needs a pattern: override \"model.layers.0.*\" { … }, or match, role or layers inside.\noverride[1].mode: Unsupported argument: An override cannot set \"mode\". Arguments that it may set: bits, damping, level.\n"},
		{"partial", Input{Partial: true}, ""},
	} {
		var a sample
		_, ds := schemaOf(t, &a).Decode(&a, c.in)
		if got := list(ds); got != c.want {
			t.Errorf("%s: got\n%swant\n%s", c.name, got, c.want)
		}
	}
}

func TestResolveFirstOverrideWins(t *testing.T) {
	var a sample
	s := schemaOf(t, &a)
	_, ds := s.Decode(&a, Input{
		Values: map[string]cty.Value{"model": modelValue(&thing{}), "bits": cty.NumberIntVal(3)},
		Overrides: []OverrideInput{
			{Selector: Selector{Layers: "0"}, Values: map[string]cty.Value{"bits": cty.NumberIntVal(8)}},
			{Selector: Selector{Roles: []string{"mlp.down"}}, Values: map[string]cty.Value{"bits": cty.NumberIntVal(2), "damping": cty.NumberFloatVal(0.5)}},
		},
	})
	if len(ds) > 0 {
		t.Fatal(list(ds))
	}
	for _, c := range []struct {
		m    Module
		bits int
		damp float64
	}{
		{Module{"model.layers.0.mlp.down_proj", "mlp.down", 0}, 8, 0.01},
		{Module{"model.layers.1.mlp.down_proj", "mlp.down", 1}, 2, 0.5},
		{Module{"model.layers.1.mlp.up_proj", "mlp.up", 1}, 3, 0.01},
	} {
		if r := Resolve(a, c.m); r.Bits != c.bits || r.Damp != c.damp {
			t.Errorf("%s: bits %d damping %g, want %d and %g", c.m.Path, r.Bits, r.Damp, c.bits, c.damp)
		}
	}
	if a.Bits != 3 {
		t.Error("Resolve changed its argument")
	}
	// The encoding goes into keys: it must not depend on a map's order.
	b, err := json.Marshal(a.Overrides)
	if err != nil {
		t.Fatal(err)
	}
	if want := `[{"selector":{"layers":"0"},"set":[{"arg":"bits","value":8}]},{"selector":{"roles":["mlp.down"]},"set":[{"arg":"bits","value":2},{"arg":"damping","value":0.5}]}]`; string(b) != want {
		t.Errorf("encoding %s\nwant %s", b, want)
	}
}

func TestSpell(t *testing.T) {
	for _, c := range []struct {
		v    cty.Value
		want string
	}{
		{cty.NilVal, "nothing"},
		{cty.UnknownVal(cty.Number), "a number that is not known yet"},
		{cty.DynamicVal, "a value that is not known yet"},
		{cty.NumberIntVal(135000000), "135000000"},
		{cty.MustParseNumberVal("1e100"), "1e+100"},
		{cty.StringVal(strings.Repeat("x", 80)), `"` + strings.Repeat("x", 57) + `..."`},
		{cty.EmptyObjectVal, "an object"},
		{modelValue(&thing{}), "a model"},
		{modelValue(&other{}), "data"},
		{cty.TupleVal([]cty.Value{cty.True, cty.NullVal(cty.String)}), "[true, null]"},
	} {
		if got := Spell(c.v); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

// A list of references is decided once it is known which blocks they are; what
// else is known of those does not matter.
func TestReferenceList(t *testing.T) {
	a, b := &thing{"a"}, &thing{"b"}
	with := func(v cty.Value) map[string]cty.Value {
		return map[string]cty.Value{"model": modelValue(a), "models": v}
	}
	var got sample
	if ds := Decode(&got, with(cty.TupleVal([]cty.Value{modelValue(b), modelValue(a), modelValue(b)}))); len(ds) > 0 || len(got.Many) != 3 || got.Many[0] != b || got.Many[1] != a || got.Many[2] != b {
		t.Errorf("%v, %s", got.Many, list(ds))
	}
	got = sample{}
	if ds := Decode(&got, with(cty.EmptyTupleVal)); len(ds) > 0 || len(got.Many) != 0 {
		t.Errorf("empty: %v, %s", got.Many, list(ds))
	}
	for _, c := range []struct {
		v    cty.Value
		want string
	}{
		{modelValue(b), "takes a list of models, not a model"},
		{cty.StringVal("b"), "takes a list of models, not \"b\""},
		{cty.TupleVal([]cty.Value{modelValue(b), cty.NumberIntVal(3)}), "element 1 is 3"},
		{cty.TupleVal([]cty.Value{modelValue(&other{})}), "element 0 is data"},
		{cty.ObjectVal(map[string]cty.Value{"x": modelValue(b)}), "takes a list of models, not an object"},
		{cty.TupleVal([]cty.Value{cty.NullVal(cty.DynamicPseudoType)}), "element 0 is null"},
	} {
		if ds := Decode(&sample{}, with(c.v)); len(ds) != 1 || !strings.Contains(ds[0].Detail, c.want) {
			t.Errorf("%s, want %s", list(ds), c.want)
		}
	}
	s := schemaOf(t, &sample{})
	for _, v := range []cty.Value{cty.DynamicVal, cty.TupleVal([]cty.Value{modelValue(a), cty.DynamicVal})} {
		unknown, ds := s.Decode(&sample{}, Input{Values: with(v)})
		if len(ds) > 0 || strings.Join(unknown, " ") != "models" {
			t.Errorf("unknown %v, %s", unknown, list(ds))
		}
	}
}
