package schema

import (
	"slices"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

type corner struct {
	X    int     `arg:"x"`
	Size float64 `arg:"size" default:"0.5" above:"0"`
	Side string  `arg:"side" default:"left" enum:"left|right"`
}

type shape struct {
	Corners []corner `arg:"corners" doc:"where it turns"`
}

func TestObjectList(t *testing.T) {
	object := func(kv ...cty.Value) cty.Value {
		m := map[string]cty.Value{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i].AsString()] = kv[i+1]
		}
		return cty.ObjectVal(m)
	}
	s, n := cty.StringVal, cty.NumberIntVal
	var got shape
	v := cty.TupleVal([]cty.Value{object(s("x"), n(3)), object(s("x"), n(4), s("size"), n(2), s("side"), s("right"))})
	if ds := Decode(&got, map[string]cty.Value{"corners": v}); len(ds) > 0 {
		t.Fatal(list(ds))
	}
	if want := []corner{{3, 0.5, "left"}, {4, 2, "right"}}; !slices.Equal(got.Corners, want) {
		t.Errorf("%v; expected %v", got.Corners, want)
	}
	for _, c := range []struct {
		v         cty.Value
		arg, want string
	}{
		{n(3), "corners", "takes a list of objects with x, size, side, not 3"},
		{object(s("x"), n(3)), "corners", "not an object"},
		{cty.TupleVal([]cty.Value{object(s("x"), n(3)), n(3)}), "corners[1]", "its element 1 is 3"},
		{cty.TupleVal([]cty.Value{cty.NullVal(cty.DynamicPseudoType)}), "corners[0]", "its element 0 is null"},
		{cty.TupleVal([]cty.Value{cty.EmptyObjectVal}), "corners[0].x", "is required"},
		{cty.TupleVal([]cty.Value{object(s("x"), n(3), s("sizes"), n(1))}), "corners[0].sizes", `"size"`},
		{cty.TupleVal([]cty.Value{object(s("x"), n(3)), object(s("x"), n(3), s("size"), n(0))}), "corners[1].size", "must be above 0"},
		{cty.TupleVal([]cty.Value{object(s("x"), n(3), s("side"), s("up"))}), "corners[0].side", `must be "left" or "right"`},
	} {
		ds := Decode(&shape{}, map[string]cty.Value{"corners": c.v})
		if len(ds) != 1 || ds[0].Arg != c.arg || !strings.Contains(ds[0].Detail, c.want) {
			t.Errorf("%s: %s; expected at %s: … %s", Spell(c.v), list(ds), c.arg, c.want)
		}
	}
	// What is not known yet is left alone, whole.
	var args shape
	schema, err := For(&args)
	if err != nil {
		t.Fatal(err)
	}
	unknown, ds := schema.Decode(&args, Input{Values: map[string]cty.Value{"corners": cty.TupleVal([]cty.Value{object(s("x"), cty.UnknownVal(cty.Number))})}})
	if len(ds) > 0 || !slices.Equal(unknown, []string{"corners"}) || args.Corners != nil {
		t.Errorf("unknown %v, %s, %v", unknown, list(ds), args.Corners)
	}
	if _, err := For(&struct {
		Bad []struct {
			M *thing `block:"x"`
		} `arg:"bad"`
	}{}); err == nil {
		t.Error("a list of objects with blocks passes")
	}
}
