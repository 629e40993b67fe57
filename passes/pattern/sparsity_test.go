package pattern

import (
	"encoding/json"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/schema"
)

type args struct {
	Sparsity Sparsity `arg:"sparsity" default:"0.5" per_module:"true"`

	Overrides schema.Overrides `overrides:"true"`
}

func TestSparsityArgument(t *testing.T) {
	for _, c := range []struct {
		name string
		v    cty.Value
		want string
	}{
		{"default", cty.NullVal(cty.String), "0.5"},
		{"number", cty.NumberFloatVal(0.25), "0.25"},
		{"zero", cty.NumberIntVal(0), "0"},
		{"text", cty.StringVal("2:4"), "2:4"},
		{"number as text", cty.StringVal("0.3"), "0.3"},
	} {
		var a args
		if d := schema.Decode(&a, map[string]cty.Value{"sparsity": c.v}); len(d) > 0 {
			t.Errorf("%s: %v", c.name, d)
		}
		if got := a.Sparsity.String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		b, err := json.Marshal(a.Sparsity)
		if err != nil {
			t.Fatal(err)
		}
		var back Sparsity
		if err := json.Unmarshal(b, &back); err != nil || back != a.Sparsity {
			t.Errorf("%s: %s reads back as %v (%v)", c.name, b, back, err)
		}
	}
	for _, bad := range []cty.Value{cty.True, cty.NumberIntVal(1), cty.StringVal("4:2"), cty.StringVal("half")} {
		var a args
		if d := schema.Decode(&a, map[string]cty.Value{"sparsity": bad}); !d.HasErrors() {
			t.Errorf("%#v: no error, got %s", bad, a.Sparsity)
		}
	}
}

func TestSparsityPerModule(t *testing.T) {
	var a args
	s, err := schema.For(&a)
	if err != nil {
		t.Fatal(err)
	}
	_, d := s.Decode(&a, schema.Input{
		Values: map[string]cty.Value{"sparsity": cty.StringVal("2:4")},
		Overrides: []schema.OverrideInput{{Selector: schema.Globs([]string{"model.layers.0.*"}),
			Values: map[string]cty.Value{"sparsity": cty.Zero}}},
	})
	if len(d) > 0 {
		t.Fatal(d)
	}
	if got := schema.Resolve(a, schema.Module{Path: "model.layers.0.mlp.up_proj"}).Sparsity.String(); got != "0" {
		t.Errorf("layer 0: %s", got)
	}
	if got := schema.Resolve(a, schema.Module{Path: "model.layers.1.mlp.up_proj"}).Sparsity.String(); got != "2:4" {
		t.Errorf("layer 1: %s", got)
	}
}
