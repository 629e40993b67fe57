package schema

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/didyoumean"
)

// Setting is one argument an override sets.
type Setting struct {
	Arg string `json:"arg"`
	// Value has the type of the argument's field.
	Value any `json:"value"`
}

// Override sets arguments for the modules it selects.
type Override struct {
	Selector Selector  `json:"selector"`
	Set      []Setting `json:"set"`
}

// Overrides are the override blocks of a block, in order: the first that
// selects a module decides about it.
type Overrides []Override

func (s *Schema) decodeOverrides(in Input, prefix string, unknown *[]string, diags *diag.List) Overrides {
	var out Overrides
	for i, o := range in.Overrides {
		where := fmt.Sprintf("%soverride[%d]", prefix, i)
		if o.Selector.Empty() && !in.Partial {
			diags.Errorf(where, "Override without a pattern",
				`An override needs a pattern: override "model.layers.0.*" { … }, or match, role or layers inside.`)
		}
		*diags = append(*diags, o.Selector.Valid(where)...)
		if len(o.Values) == 0 && !in.Partial {
			diags.Warnf(where, "Empty override", "This override sets nothing. Arguments that it may set: %s.", strings.Join(s.PerModule(), ", "))
		}
		over := Override{Selector: o.Selector}
		names := make([]string, 0, len(o.Values))
		for n := range o.Values {
			names = append(names, n)
		}
		slices.Sort(names)
		for _, n := range names {
			a := s.argIndex[n]
			if a == nil || !a.PerModule {
				diags.Errorf(where+"."+n, "Unsupported argument", "An override cannot set %q.%s Arguments that it may set: %s.",
					n, didyoumean.Hint(n, s.PerModule()), strings.Join(s.PerModule(), ", "))
				continue
			}
			v := o.Values[n]
			if v.IsKnown() && v.IsNull() {
				continue
			}
			if v == cty.NilVal || !v.IsWhollyKnown() {
				*unknown = append(*unknown, where+"."+n)
				continue
			}
			slot := reflect.New(a.typ).Elem()
			a.set(slot, v, where+".", diags)
			over.Set = append(over.Set, Setting{n, slot.Interface()})
		}
		out = append(out, over)
	}
	return out
}

// Check reports the overrides whose pattern selects none of the modules, under
// "override[i]".
func (o Overrides) Check(modules []Module) (diags diag.List) {
	for i, v := range o {
		diags = append(diags, v.Selector.Check(fmt.Sprintf("override[%d]", i), modules)...)
	}
	return diags
}

// For returns the settings for m: those of the first override that selects it.
func (o Overrides) For(m Module) []Setting {
	for _, v := range o {
		if v.Selector.Match(m) {
			return v.Set
		}
	}
	return nil
}

// Where names the argument as findings do that holds for m: the override's own
// where the first one that selects m sets it.
func (o Overrides) Where(arg string, m Module) string {
	for i, v := range o {
		if !v.Selector.Match(m) {
			continue
		}
		if slices.ContainsFunc(v.Set, func(s Setting) bool { return s.Arg == arg }) {
			return fmt.Sprintf("override[%d].%s", i, arg)
		}
		break
	}
	return arg
}

// OverridesOf returns the overrides in the argument struct that args points to,
// nil where its schema has none.
func (s *Schema) OverridesOf(args any) Overrides {
	if !s.Overrides {
		return nil
	}
	return reflect.ValueOf(args).Elem().FieldByIndex(s.overrides).Interface().(Overrides)
}

// Resolve returns the copy of the argument struct that holds for one module:
// what the first override that selects it sets, and args for the rest. T is an
// argument struct; the copy shares slices and references with args.
func Resolve[T any](args T, m Module) T {
	s, err := forType(reflect.TypeFor[T]())
	if err != nil {
		panic(err)
	}
	if !s.Overrides {
		return args
	}
	v := reflect.ValueOf(&args).Elem()
	for _, set := range v.FieldByIndex(s.overrides).Interface().(Overrides).For(m) {
		v.FieldByIndex(s.argIndex[set.Arg].index).Set(reflect.ValueOf(set.Value))
	}
	return args
}
