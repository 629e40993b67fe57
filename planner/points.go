package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/internal/search"
	"github.com/compressc/compressc/lang"
)

// Axis is one argument of a sweep.
type Axis struct {
	Sweep *lang.Block
	Name  string
	// Values in the order they are written, and how points spell them.
	Values []cty.Value
	Texts  []string

	order int
}

// ID is the axis as points spell it: "rank.rank", "module.m.rank.rank".
func (a *Axis) ID() string {
	id := a.Sweep.Name + "." + a.Name
	if m := a.Sweep.Module; m != nil && m.Path != "" {
		id = m.Path + "." + id
	}
	return id
}

// Coordinate is one axis at one of its values.
type Coordinate struct {
	Axis  *Axis
	Index int
}

// Value is the axis's value there.
func (c Coordinate) Value() cty.Value { return c.Axis.Values[c.Index] }

func (c Coordinate) String() string { return c.Axis.ID() + "=" + c.Axis.Texts[c.Index] }

// Point is a choice of a value on each of some axes, in declaration order. The
// empty Point is the one point of what no sweep reaches.
type Point []Coordinate

func (p Point) String() string {
	parts := make([]string, len(p))
	for i, c := range p {
		parts[i] = c.String()
	}
	return strings.Join(parts, ",")
}

// index returns the value's index on axis a, or -1 where p does not reach it.
func (p Point) index(a *Axis) int {
	for _, c := range p {
		if c.Axis == a {
			return c.Index
		}
	}
	return -1
}

// restrict returns the part of p on axes.
func (p Point) restrict(axes []*Axis) Point {
	var out Point
	for _, c := range p {
		if slices.Contains(axes, c.Axis) {
			out = append(out, c)
		}
	}
	return out
}

// join returns the union of p and q; it is false where they disagree.
func (p Point) join(q Point) (Point, bool) {
	out := slices.Clone(p)
	for _, c := range q {
		switch p.index(c.Axis) {
		case c.Index:
		case -1:
			out = append(out, c)
		default:
			return nil, false
		}
	}
	slices.SortFunc(out, func(a, b Coordinate) int { return a.Axis.order - b.Axis.order })
	return out, true
}

// sweep is the admitted set of one sweep block: the sets of all sweeps are
// independent, so a projection of their product is the product of projections.
type sweep struct {
	block *lang.Block
	axes  []*Axis
	// admitted holds an index for each axis, in declaration order.
	admitted [][]int
	// joint sweeps are reached on all axes or none.
	joint bool
}

// MaxPoints bounds the points of a block and of a sweep: more is a mistake.
const MaxPoints = 20000

// project returns the distinct parts of the admitted set on axes, in
// declaration order.
func (s *sweep) project(axes []*Axis) []Point {
	var out []Point
	seen := map[string]bool{}
	for _, tuple := range s.admitted {
		var p Point
		for i, a := range s.axes {
			if slices.Contains(axes, a) {
				p = append(p, Coordinate{a, tuple[i]})
			}
		}
		if key := fmt.Sprint(indices(p)); !seen[key] {
			seen[key] = true
			out = append(out, p)
		}
	}
	if !s.joint {
		// Of a filtered grid, a part may turn up first behind a later one.
		slices.SortStableFunc(out, func(a, b Point) int { return slices.Compare(indices(a), indices(b)) })
	}
	return out
}

func indices(p Point) []int {
	out := make([]int, len(p))
	for i, c := range p {
		out[i] = c.Index
	}
	return out
}

// admits reports whether some admitted point agrees with p.
func (s *sweep) admits(p Point) bool {
	return slices.ContainsFunc(s.admitted, func(tuple []int) bool {
		for i, a := range s.axes {
			if n := p.index(a); n >= 0 && n != tuple[i] {
				return false
			}
		}
		return true
	})
}

// expandSweep evaluates a sweep's axes and filters.
func (x *expander) expandSweep(b *lang.Block) {
	s := &sweep{block: b, joint: b.Method != "grid"}
	x.sweeps = append(x.sweeps, s)
	ok := true
	for _, name := range b.Axes() {
		a, sound := x.axis(b, b.Body.Attr(name))
		ok = ok && sound
		if sound {
			a.order = len(x.axes)
			s.axes = append(s.axes, a)
			x.axes = append(x.axes, a)
		}
	}
	if !ok || !x.enumerate(s) || !x.filter(s) || !x.draw(s) {
		x.broken[b] = true
		return
	}
	if len(s.admitted) == 0 {
		x.broken[b] = true
		x.errorAt(b, nil, b.Body.DefRange, "Sweep without points", "The filter where admits none of the points of this sweep. Loosen it, or give the axes other values.")
	}
}

// axis evaluates the values of one axis. A value that is not known yet, for
// lack of a variable, makes an axis of one unknown value.
func (x *expander) axis(b *lang.Block, attr *lang.Attr) (*Axis, bool) {
	v, ok := x.value(b, attr, place{})
	if !ok {
		return nil, false
	}
	a := &Axis{Sweep: b, Name: attr.Name}
	if !v.IsKnown() {
		a.Values, a.Texts = []cty.Value{cty.DynamicVal}, []string{"?"}
		return a, true
	}
	if v.IsNull() || !v.CanIterateElements() || v.Type().IsMapType() || v.Type().IsObjectType() {
		x.errorAt(b, nil, attr.Expr.Range(), "Invalid axis", "The values of an axis are a list, such as [16, 32], not %s.", schema.Spell(v))
		return nil, false
	}
	for it := v.ElementIterator(); it.Next(); {
		_, e := it.Element()
		text := pointText(e)
		if i := slices.Index(a.Texts, text); i >= 0 && e.IsWhollyKnown() {
			x.errorAt(b, nil, attr.Expr.Range(), "Value given twice", "The axis %s has the value %s twice; its points could not be told apart. Leave one of them out.", a.ID(), text)
			return nil, false
		}
		a.Values, a.Texts = append(a.Values, e), append(a.Texts, text)
	}
	if len(a.Values) == 0 {
		x.errorAt(b, nil, attr.Expr.Range(), "Empty axis", "The axis %s has no values, so that nothing which depends on it would run. Give it one value or more.", a.ID())
		return nil, false
	}
	return a, true
}

// pointText spells a value within a point: plain words bare, all else such
// that it cannot be mistaken.
func pointText(v cty.Value) string {
	if !v.IsKnown() {
		return "?"
	}
	if !v.IsNull() && v.Type() == cty.String {
		s := v.AsString()
		plain := s != "" && strings.IndexFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.:/+", r))
		}) < 0
		if plain {
			return s
		}
		return fmt.Sprintf("%q", s)
	}
	if !v.IsNull() && (v.Type().IsObjectType() || v.Type().IsMapType()) {
		var parts []string
		for it := v.ElementIterator(); it.Next(); { // in the order of the keys
			k, e := it.Element()
			parts = append(parts, k.AsString()+"="+pointText(e))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	if !v.IsNull() && v.CanIterateElements() {
		var parts []string
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			parts = append(parts, pointText(e))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	return schema.Spell(v)
}

// enumerate lists all points before the filter: the product of the axes, or of
// a list the axes side by side.
func (x *expander) enumerate(s *sweep) bool {
	if s.block.Method == "list" {
		n := len(s.axes[0].Values)
		for _, a := range s.axes[1:] {
			if len(a.Values) != n {
				x.errorAt(s.block, nil, s.block.Body.Attr(a.Name).Expr.Range(), "Axes of different length",
					"The axes of a list go side by side, but %s has %d values and %s has %d. For all combinations use a sweep of kind grid.",
					s.axes[0].Name, n, a.Name, len(a.Values))
				return false
			}
		}
		for i := range n {
			tuple := make([]int, len(s.axes))
			for k := range tuple {
				tuple[k] = i
			}
			s.admitted = append(s.admitted, tuple)
		}
		return true
	}
	total := 1
	for _, a := range s.axes {
		if total *= len(a.Values); total > MaxPoints {
			x.errorAt(s.block, nil, s.block.Body.DefRange, "Too many points", "The sweep has more than %d points.", MaxPoints)
			return false
		}
	}
	for i := range total {
		tuple := make([]int, len(s.axes))
		rest := i
		for k := len(s.axes) - 1; k >= 0; k-- {
			n := len(s.axes[k].Values)
			tuple[k], rest = rest%n, rest/n
		}
		s.admitted = append(s.admitted, tuple)
	}
	return true
}

// filter applies where. A point whose admission is not known is admitted.
func (x *expander) filter(s *sweep) bool {
	attr := s.block.Body.Attr("where")
	if attr == nil {
		return true
	}
	var kept [][]int
	for _, tuple := range s.admitted {
		values := map[string]cty.Value{}
		var p Point
		for i, a := range s.axes {
			p = append(p, Coordinate{a, tuple[i]})
			values[a.Name] = a.Values[tuple[i]]
		}
		ev := x.evaluation(nil)
		ev.axes = cty.ObjectVal(values)
		v, ok := x.condition(ev, s.block, attr, place{point: p})
		if !ok {
			return false
		}
		if !v.IsKnown() || v.True() {
			kept = append(kept, tuple)
		}
	}
	s.admitted = kept
	return true
}

// draw takes the samples of a random sweep out of the admitted points, without
// replacement, and leaves them in declaration order. The stream depends on the
// seed alone, so that renaming the sweep draws the same.
func (x *expander) draw(s *sweep) bool {
	if s.block.Method != "random" {
		return true
	}
	attr := s.block.Body.Attr("samples")
	v, ok := x.value(s.block, attr, place{})
	if !ok {
		return false
	}
	if !v.IsKnown() {
		return true
	}
	n, err := wholeNumber(v)
	if err != nil || n < 1 {
		x.errorAt(s.block, nil, attr.Expr.Range(), "Invalid value", "The argument \"samples\" takes a whole number of 1 or more, not %s.", schema.Spell(v))
		return false
	}
	seed, ok := x.seed(s.block, place{})
	if !ok {
		return false
	}
	if n >= len(s.admitted) {
		return true
	}
	kept := make([][]int, n)
	for i, k := range search.Draw(seed, n, len(s.admitted)) {
		kept[i] = s.admitted[k]
	}
	s.admitted = kept
	return true
}

// reach is what a block depends on beside its own text: axes, and the selects
// whose candidates it has to be typed for.
type reach struct {
	axes    []*Axis
	selects []*lang.Block
}

func (r *reach) add(o reach) {
	for _, a := range o.axes {
		if !slices.Contains(r.axes, a) {
			r.axes = append(r.axes, a)
		}
	}
	for _, s := range o.selects {
		if !slices.Contains(r.selects, s) {
			r.selects = append(r.selects, s)
		}
	}
}

// reachOf returns the axes in any expression of b and the reach of all that b
// refers to. A select takes away the axes of what it chooses from, and is
// itself what its users depend on; all.x.y adds nothing. Gates in requires add
// nothing: they withhold points, they make none.
func (x *expander) reachOf(b *lang.Block) reach {
	if r, ok := x.reach[b]; ok {
		return r
	}
	// A block on a cycle was reported; here it must only come to an end.
	x.reach[b] = reach{}
	var r reach
	b.Body.All(func(a *lang.Attr) {
		for _, ref := range a.Refs {
			r.add(x.reachOfRef(ref))
		}
	})
	if b.Kind == lang.KindSelect && b.From != nil {
		from := x.reachOf(b.From).axes
		r.axes = slices.DeleteFunc(r.axes, func(a *Axis) bool { return slices.Contains(from, a) })
	}
	slices.SortFunc(r.axes, func(a, b *Axis) int { return a.order - b.order })
	slices.SortFunc(r.selects, func(a, b *lang.Block) int { return x.rank[a] - x.rank[b] })
	x.reach[b] = r
	return r
}

func (x *expander) reachOfRef(ref lang.Ref) reach {
	switch {
	case ref.All || ref.Block.Kind == lang.KindVariable:
		return reach{}
	case ref.Block.Kind == lang.KindSweep:
		var r reach
		for _, s := range x.sweeps {
			for _, a := range s.axes {
				if s.block == ref.Block && (s.joint || ref.Attr == "" || ref.Attr == a.Name) {
					r.axes = append(r.axes, a)
				}
			}
		}
		return r
	}
	r := x.reachOf(ref.Block)
	if ref.Block.Kind == lang.KindSelect {
		r = reach{r.axes, append(slices.Clone(r.selects), ref.Block)}
	}
	return r
}

// points returns the projection of the admitted set to axes, in declaration
// order: the last axis varies fastest.
func (x *expander) points(axes []*Axis) []Point {
	out := []Point{nil}
	for _, s := range x.sweeps {
		if !slices.ContainsFunc(s.axes, func(a *Axis) bool { return slices.Contains(axes, a) }) {
			continue
		}
		parts := s.project(axes)
		if len(out)*len(parts) > MaxPoints {
			return nil
		}
		var next []Point
		for _, p := range out {
			for _, q := range parts {
				next = append(next, append(slices.Clone(p), q...))
			}
		}
		out = next
	}
	return out
}

// admitted reports whether p is part of an admitted point.
func (x *expander) admitted(p Point) bool {
	return !slices.ContainsFunc(x.sweeps, func(s *sweep) bool { return !s.admits(p) })
}

func (x *expander) errorAt(b *lang.Block, at *place, r hcl.Range, summary, format string, args ...any) {
	x.report(b, at, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: r.Ptr()})
}
