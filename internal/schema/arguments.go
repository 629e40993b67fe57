package schema

import (
	"reflect"

	"github.com/zclconf/go-cty/cty"
)

// Arguments returns the arguments in the struct that args points to, in field
// order; those of nested blocks are named "block.name". References that are not
// set, and optional arguments without a default that are zero, are left out.
// Overrides are under OverridesOf.
func (s *Schema) Arguments(args any) []Setting {
	return s.arguments(reflect.ValueOf(args).Elem(), "")
}

func (s *Schema) arguments(v reflect.Value, prefix string) []Setting {
	var list []Setting
	for _, a := range s.Args {
		f := v.FieldByIndex(a.index)
		if f.IsZero() && !a.Required && a.Default == cty.NilVal {
			continue
		}
		if a.Kind == Reference && f.IsNil() {
			continue
		}
		list = append(list, Setting{prefix + a.Name, f.Interface()})
	}
	for _, b := range s.Blocks {
		list = append(list, b.Schema.arguments(v.FieldByIndex(b.index), prefix+b.Name+".")...)
	}
	return list
}
