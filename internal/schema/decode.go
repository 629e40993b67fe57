package schema

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/didyoumean"
)

// Input is one body, evaluated.
type Input struct {
	Values map[string]cty.Value
	// Blocks hold the nested blocks by type; each type stands once at most.
	Blocks map[string]BlockInput
	// Overrides in the order they are written.
	Overrides []OverrideInput

	// Partial leaves missing required arguments alone, for a body whose missing
	// arguments were reported before.
	Partial bool
}

// BlockInput is a nested block.
type BlockInput struct {
	// Label is "" where the block has none.
	Label string
	Input
}

// OverrideInput is an override block.
type OverrideInput struct {
	Selector Selector
	Values   map[string]cty.Value
}

// Decode fills the argument struct that dst points to from values alone, with
// defaults for what is absent.
func Decode(dst any, values map[string]cty.Value) diag.List {
	s, err := For(dst)
	if err != nil {
		panic(err)
	}
	_, diags := s.Decode(dst, Input{Values: values})
	return diags
}

// Decode fills the argument struct that dst points to. Absent and null
// arguments get their defaults. All findings are reported, not only the first;
// their Arg is the argument's name, "block.name" in a nested block,
// "override[i].name" in an override and "list[i].name" in an object of a list. Arguments whose values are not known yet
// keep their zero values and are returned by name.
func (s *Schema) Decode(dst any, in Input) (unknown []string, diags diag.List) {
	v := reflect.ValueOf(dst).Elem()
	if v.Type() != s.typ {
		panic(fmt.Sprintf("schema: decode into %s with the schema of %s", v.Type(), s.typ))
	}
	s.decode(v, in, "", &unknown, &diags)
	return unknown, diags
}

func (s *Schema) decode(dst reflect.Value, in Input, prefix string, unknown *[]string, diags *diag.List) {
	s.checkNames(in, prefix, diags)
	for _, a := range s.Args {
		v, present := in.Values[a.Name]
		if present && a.Deprecated != "" {
			diags.Warnf(prefix+a.Name, "Deprecated argument", "%q is deprecated: %s", a.Name, a.Deprecated)
		}
		if !present || v.IsKnown() && v.IsNull() {
			if a.Required {
				if !in.Partial {
					diags.Errorf(prefix+a.Name, "Missing argument", "The argument %q (%s) is required, but %s.",
						a.Name, a.typeName, map[bool]string{true: "is null", false: "was not given"}[present])
				}
				continue
			}
			if a.Default == cty.NilVal {
				continue
			}
			v = a.Default
		}
		if !decided(v) {
			*unknown = append(*unknown, prefix+a.Name)
			continue
		}
		a.set(dst.FieldByIndex(a.index), v, prefix, diags)
	}
	for _, b := range s.Blocks {
		inner, present := in.Blocks[b.Name]
		label := inner.Label
		if !present && len(b.Labels) > 0 {
			label = b.Labels[0]
		}
		if b.chosen != nil {
			dst.FieldByIndex(b.index).FieldByIndex(b.chosen).SetString(label)
		}
		if !present {
			if b.Required && !in.Partial {
				diags.Errorf(prefix+b.Name, "Missing block", "A block %q is required here.", b.Name)
			}
			b.Schema.decode(dst.FieldByIndex(b.index), Input{Partial: true}, prefix+b.Name+".", unknown, diags)
			continue
		}
		if !b.Admits(inner.Label) {
			want := "no label"
			if len(b.Labels) > 0 {
				want = "the label " + b.LabelText()
			}
			diags.Errorf(prefix+b.Name, "Wrong label", "A block %q has %s here.", b.Name, want)
		}
		b.Schema.decode(dst.FieldByIndex(b.index), inner.Input, prefix+b.Name+".", unknown, diags)
	}
	if s.Overrides {
		dst.FieldByIndex(s.overrides).Set(reflect.ValueOf(s.decodeOverrides(in, prefix, unknown, diags)))
	}
}

// decided reports whether v is known as far as an argument asks: of references,
// alone or in collections, what they refer to; of anything else, all.
func decided(v cty.Value) bool {
	if _, isRef := RefOf(v); isRef {
		return true
	}
	if !v.IsKnown() || !v.CanIterateElements() {
		return v.IsWhollyKnown()
	}
	for it := v.ElementIterator(); it.Next(); {
		if _, e := it.Element(); !decided(e) {
			return false
		}
	}
	return true
}

// isList reports whether the elements of v have an order.
func isList(v cty.Value) bool { return v.Type().IsTupleType() || v.Type().IsListType() }

func (s *Schema) checkNames(in Input, prefix string, diags *diag.List) {
	names := make([]string, 0, len(in.Values))
	for n := range in.Values {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if s.argIndex[n] == nil {
			diags.Errorf(prefix+n, "Unsupported argument", "An argument named %q is not expected here.%s",
				n, didyoumean.Hint(n, s.ArgNames()))
		}
	}
	blocks := make([]string, 0, len(in.Blocks))
	for n := range in.Blocks {
		blocks = append(blocks, n)
	}
	slices.Sort(blocks)
	for _, n := range blocks {
		if s.Block(n) == nil {
			diags.Errorf(prefix+n, "Unsupported block", "Blocks of type %q are not expected here.", n)
		}
	}
	if len(in.Overrides) > 0 && !s.Overrides {
		diags.Errorf(prefix+"override[0]", "Unsupported block", "Overrides are not supported here.")
	}
}

// set converts v and stores it; what is wrong with v goes to diags.
func (a *Arg) set(dst reflect.Value, v cty.Value, prefix string, diags *diag.List) {
	name := prefix + a.Name
	switch a.Kind {
	case Reference:
		r, ok := RefOf(v)
		if !ok || r.Value == nil || !reflect.TypeOf(r.Value).AssignableTo(a.typ) {
			diags.Errorf(name, "Wrong type of argument", "The argument %q takes %s, not %s.%s", a.Name, article(a.RefKind), Spell(v), unquoted(v, a.RefKind))
			return
		}
		dst.Set(reflect.ValueOf(r.Value))
	case ReferenceList:
		if !isList(v) {
			diags.Errorf(name, "Wrong type of argument", "The argument %q takes a %s, not %s.", a.Name, a.typeName, Spell(v))
			return
		}
		out := reflect.MakeSlice(a.typ, 0, v.LengthInt())
		for it := v.ElementIterator(); it.Next(); {
			i, e := it.Element()
			r, ok := RefOf(e)
			if !ok || r.Value == nil || !reflect.TypeOf(r.Value).AssignableTo(a.typ.Elem()) {
				diags.Errorf(name, "Wrong type of argument", "The argument %q takes a %s; its element %s is %s.", a.Name, a.typeName, Spell(i), Spell(e))
				return
			}
			out = reflect.Append(out, reflect.ValueOf(r.Value))
		}
		dst.Set(out)
	case ObjectList:
		a.setObjects(dst, v, name, diags)
	case Custom:
		if err := dst.Addr().Interface().(Scalar).ParseArg(v); err != nil {
			diags.Errorf(name, "Invalid value", "The argument %q takes a %s. %s", a.Name, a.typeName, sentence(err))
			return
		}
		a.checkEnum(v, name, diags)
	case StringList, IntList, FloatList:
		element := cty.Number
		if a.Kind == StringList {
			element = cty.String
		}
		list, err := convert.Convert(v, cty.List(element))
		if err != nil || !v.CanIterateElements() {
			diags.Errorf(name, "Wrong type of argument", "The argument %q takes a %s, not %s.", a.Name, a.typeName, Spell(v))
			return
		}
		out := reflect.MakeSlice(a.typ, 0, list.LengthInt())
		for it := list.ElementIterator(); it.Next(); {
			_, e := it.Element()
			slot := reflect.New(a.typ.Elem()).Elem()
			if !a.setScalar(slot, e, name, diags) {
				return
			}
			out = reflect.Append(out, slot)
		}
		dst.Set(out)
	default:
		a.setScalar(dst, v, name, diags)
	}
}

// setObjects stores a list of objects; what is wrong with one is told under its
// place in the list.
func (a *Arg) setObjects(dst reflect.Value, v cty.Value, name string, diags *diag.List) {
	if !isList(v) {
		diags.Errorf(name, "Wrong type of argument", "The argument %q takes a list of objects with %s, not %s.", a.Name, strings.Join(a.Object.ArgNames(), ", "), Spell(v))
		return
	}
	out := reflect.MakeSlice(a.typ, v.LengthInt(), v.LengthInt())
	for it, i := v.ElementIterator(), 0; it.Next(); i++ {
		_, e := it.Element()
		at := fmt.Sprintf("%s[%d]", name, i)
		if e.IsNull() || !e.Type().IsObjectType() && !e.Type().IsMapType() {
			diags.Errorf(at, "Wrong type of argument", "The argument %q takes a list of objects with %s; its element %d is %s.", a.Name, strings.Join(a.Object.ArgNames(), ", "), i, Spell(e))
			continue
		}
		var unknown []string // none: an argument is decoded once all of it is known
		a.Object.decode(out.Index(i), Input{Values: e.AsValueMap()}, at+".", &unknown, diags)
	}
	dst.Set(out)
}

// yielding are the words that references to models, data, adapters and allocations begin
// with.
var yielding = []string{"model", "data", "adapter", "module", "select", "var", "local", "each",
	"prune", "retrain", "quantize", "compensate", "merge", "transform", "train", "search", "allocate"}

// unquoted says what to write instead of v where a reference belongs.
func unquoted(v cty.Value, kind string) string {
	if v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
		typ, name, ok := strings.Cut(v.AsString(), ".")
		if ok && name != "" && slices.Contains(yielding, typ) {
			return " A reference stands without quotes: " + v.AsString() + "."
		}
	}
	example := map[string]string{"model": "prune.name", "data": "data.name", "adapter": "retrain.name.adapter", "allocation": "allocate.name"}[kind]
	if example == "" {
		return ""
	}
	return " Name what yields " + article(kind) + ", such as " + example + "."
}

// sentence makes an error text stand alone.
func sentence(err error) string {
	s := err.Error()
	if s == "" {
		return s
	}
	r, n := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(r)) + s[n:]
	if !strings.HasSuffix(s, "?") && !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

func (a *Arg) setScalar(dst reflect.Value, v cty.Value, name string, diags *diag.List) bool {
	want, word := cty.String, "a string"
	switch a.Kind {
	case Bool:
		want, word = cty.Bool, "true or false"
	case Int, IntList:
		want, word = cty.Number, "a whole number"
	case Float, FloatList:
		want, word = cty.Number, "a number"
	}
	c, err := convert.Convert(v, want)
	if err != nil || c.IsNull() {
		diags.Errorf(name, "Wrong type of argument", "The argument %q takes %s, not %s.", a.Name, word, Spell(v))
		return false
	}
	switch want {
	case cty.String:
		dst.SetString(c.AsString())
	case cty.Bool:
		dst.SetBool(c.True())
	default:
		if !a.setNumber(dst, c, name, diags) {
			return false
		}
	}
	return a.checkEnum(c, name, diags)
}

func (a *Arg) setNumber(dst reflect.Value, v cty.Value, name string, diags *diag.List) bool {
	f := v.AsBigFloat()
	whole := a.Kind == Int || a.Kind == IntList
	if whole && !f.IsInt() {
		diags.Errorf(name, "Invalid value", "The argument %q takes a whole number, not %s.", a.Name, Spell(v))
		return false
	}
	if !a.inRange(f) {
		diags.Errorf(name, "Value out of range", "The argument %q is %s, but must be %s.", a.Name, Spell(v), a.Range())
		return false
	}
	ok := true
	switch dst.Kind() {
	case reflect.Float32, reflect.Float64:
		x, _ := f.Float64()
		ok = !math.IsInf(x, 0) && !dst.OverflowFloat(x)
		if ok {
			dst.SetFloat(x)
		}
	case reflect.Uint32, reflect.Uint64:
		x, acc := f.Uint64()
		ok = acc == big.Exact && !dst.OverflowUint(x)
		if ok {
			dst.SetUint(x)
		}
	default:
		x, acc := f.Int64()
		ok = acc == big.Exact && !dst.OverflowInt(x)
		if ok {
			dst.SetInt(x)
		}
	}
	if !ok {
		diags.Errorf(name, "Value out of range", "The argument %q is %s, more than its type %s holds.", a.Name, Spell(v), dst.Type())
	}
	return ok
}

func (a *Arg) inRange(f *big.Float) bool {
	if a.Min != nil {
		if c := f.Cmp(big.NewFloat(*a.Min)); c < 0 || c == 0 && a.ExclusiveMin {
			return false
		}
	}
	if a.Max != nil {
		if c := f.Cmp(big.NewFloat(*a.Max)); c > 0 || c == 0 && a.ExclusiveMax {
			return false
		}
	}
	return true
}

// Range spells the bounds: "at least 0 and below 1", "" for none.
func (a *Arg) Range() string {
	var parts []string
	bound := func(b *float64, excl bool, inclusive, exclusive string) {
		if b == nil {
			return
		}
		word := inclusive
		if excl {
			word = exclusive
		}
		parts = append(parts, word+" "+strconv.FormatFloat(*b, 'g', -1, 64))
	}
	bound(a.Min, a.ExclusiveMin, "at least", "above")
	bound(a.Max, a.ExclusiveMax, "at most", "below")
	return strings.Join(parts, " and ")
}

func (a *Arg) checkEnum(v cty.Value, name string, diags *diag.List) bool {
	if len(a.Enum) == 0 {
		return true
	}
	text := Spell(v)
	quoted := slices.Clone(a.Enum)
	if v.Type() == cty.String {
		text = v.AsString()
		for i, e := range a.Enum {
			quoted[i] = strconv.Quote(e)
		}
	}
	if slices.Contains(a.Enum, text) {
		return true
	}
	hint := ""
	if v.Type() == cty.String {
		hint = didyoumean.Hint(text, a.Enum)
	}
	diags.Errorf(name, "Invalid value", "The argument %q is %s, but must be %s.%s", a.Name, Spell(v), didyoumean.Join(quoted), hint)
	return false
}
