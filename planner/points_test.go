package planner

import (
	"fmt"
	"slices"
	"testing"

	"github.com/zclconf/go-cty/cty"
	"pgregory.net/rapid"

	"github.com/compressc/compressc/lang"
)

// randomSweeps draws sweeps of one to three axes with random admitted sets.
func randomSweeps(t *rapid.T) *expander {
	x := &expander{}
	for s := range rapid.IntRange(1, 3).Draw(t, "sweeps") {
		sw := &sweep{block: &lang.Block{Name: fmt.Sprint("s", s), Module: &lang.Module{}}}
		total := 1
		for a := range rapid.IntRange(1, 3).Draw(t, "axes") {
			axis := &Axis{Sweep: sw.block, Name: fmt.Sprint("a", a), order: len(x.axes)}
			for v := range rapid.IntRange(1, 3).Draw(t, "values") {
				axis.Values, axis.Texts = append(axis.Values, cty.NumberIntVal(int64(v))), append(axis.Texts, fmt.Sprint(v))
			}
			total *= len(axis.Values)
			sw.axes, x.axes = append(sw.axes, axis), append(x.axes, axis)
		}
		for i := range total {
			if i > 0 && !rapid.Bool().Draw(t, "admit") {
				continue
			}
			tuple, rest := make([]int, len(sw.axes)), i
			for k := len(sw.axes) - 1; k >= 0; k-- {
				n := len(sw.axes[k].Values)
				tuple[k], rest = rest%n, rest/n
			}
			sw.admitted = append(sw.admitted, tuple)
		}
		x.sweeps = append(x.sweeps, sw)
	}
	return x
}

// A block's points are the projection of the admitted set to its reach: no
// more, no less, each once and in declaration order.
func TestPointsAreTheProjection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := randomSweeps(t)
		var reach []*Axis
		for _, a := range x.axes {
			if rapid.Bool().Draw(t, "reach") {
				reach = append(reach, a)
			}
		}
		want := map[string]bool{}
		for _, p := range x.points(x.axes) {
			want[p.restrict(reach).String()] = true
			if !x.admitted(p) {
				t.Fatalf("%s is not admitted", p)
			}
		}
		got := x.points(reach)
		for i, p := range got {
			if !want[p.String()] {
				t.Errorf("%s is in no admitted point", p)
			}
			delete(want, p.String())
			if i > 0 && slices.Compare(indices(got[i-1]), indices(p)) >= 0 {
				t.Errorf("%s stands before %s", got[i-1], p)
			}
			if !x.admitted(p) {
				t.Errorf("%s can be completed to no admitted point", p)
			}
		}
		if len(want) > 0 {
			t.Errorf("%d points are missing", len(want))
		}
	})
}

// A point joined with any part of itself is itself.
func TestJoinAndRestrict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := randomSweeps(t)
		all := x.points(x.axes)
		p := all[rapid.IntRange(0, len(all)-1).Draw(t, "point")]
		q := all[rapid.IntRange(0, len(all)-1).Draw(t, "other")]
		var axes []*Axis
		for _, a := range x.axes {
			if rapid.Bool().Draw(t, "axis") {
				axes = append(axes, a)
			}
		}
		if j, ok := p.restrict(axes).join(p); !ok || j.String() != p.String() {
			t.Errorf("%s joined with its part is %s", p, j)
		}
		if _, ok := p.join(q); ok != (p.String() == q.String()) {
			t.Errorf("joining %s and %s says %v", p, q, ok)
		}
	})
}

func TestPointText(t *testing.T) {
	for _, c := range []struct {
		v    cty.Value
		want string
	}{
		{cty.NumberIntVal(16), "16"},
		{cty.NumberIntVal(1048576), "1048576"},
		{cty.MustParseNumberVal("0.1"), "0.1"},
		{cty.StringVal("2:4"), "2:4"},
		{cty.StringVal("a b"), `"a b"`},
		{cty.StringVal(""), `""`},
		{cty.StringVal("a,b]"), `"a,b]"`},
		{cty.True, "true"},
		{cty.NullVal(cty.String), "null"},
		{cty.ObjectVal(map[string]cty.Value{"group": cty.NumberIntVal(32), "bits": cty.NumberIntVal(4)}), "{bits=4,group=32}"},
		{cty.TupleVal([]cty.Value{cty.NumberIntVal(1), cty.StringVal("x")}), "[1,x]"},
	} {
		if got := pointText(c.v); got != c.want {
			t.Errorf("%#v: %s, want %s", c.v, got, c.want)
		}
	}
}
