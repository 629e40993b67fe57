package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

var (
	kinderType    = reflect.TypeFor[Kinder]()
	scalarType    = reflect.TypeFor[Scalar]()
	overridesType = reflect.TypeFor[Overrides]()

	cache sync.Map // reflect.Type → *Schema
)

// For returns the schema of the argument struct that ptr points to. An error
// is a mistake in the struct: a tag that does not parse, a default out of its
// own range, a name used twice.
func For(ptr any) (*Schema, error) {
	t := reflect.TypeOf(ptr)
	if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil, fmt.Errorf("schema: arguments are %T, want a pointer to a struct", ptr)
	}
	return forType(t.Elem())
}

func forType(t reflect.Type) (*Schema, error) {
	if s, ok := cache.Load(t); ok {
		return s.(*Schema), nil
	}
	s := &Schema{typ: t, argIndex: map[string]*Arg{}}
	if err := s.addFields(t, nil); err != nil {
		return nil, fmt.Errorf("schema: %s: %w", t, err)
	}
	if !s.Overrides && len(s.PerModule()) > 0 {
		return nil, fmt.Errorf("schema: %s: %q is per module, but there is no field for overrides", t, s.PerModule()[0])
	}
	if _, diags := s.Decode(reflect.New(t).Interface(), Input{Partial: true}); diags.HasErrors() {
		return nil, fmt.Errorf("schema: %s: defaults: %w", t, diags.Err())
	}
	cache.Store(t, s)
	return s, nil
}

func (s *Schema) addFields(t reflect.Type, prefix []int) error {
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(slices.Clone(prefix), i)
		name, isArg := f.Tag.Lookup("arg")
		block, isBlock := f.Tag.Lookup("block")
		switch {
		case f.Tag.Get("overrides") == "true":
			if f.Type != overridesType {
				return fmt.Errorf("field %s holds overrides, but is not of type schema.Overrides", f.Name)
			}
			s.Overrides, s.overrides = true, index
		case isArg:
			a, err := newArg(f, name, index)
			if err != nil {
				return fmt.Errorf("field %s: %w", f.Name, err)
			}
			if s.argIndex[name] != nil || s.Block(name) != nil || slices.Contains(Reserved, name) {
				return fmt.Errorf("field %s: the name %q is taken", f.Name, name)
			}
			s.Args = append(s.Args, a)
			s.argIndex[name] = a
		case isBlock:
			if f.Type.Kind() != reflect.Struct {
				return fmt.Errorf("field %s: a nested block is a struct", f.Name)
			}
			if s.argIndex[block] != nil || s.Block(block) != nil || slices.Contains(Reserved, block) {
				return fmt.Errorf("field %s: the name %q is taken", f.Name, block)
			}
			inner, err := forType(f.Type)
			if err != nil {
				return err
			}
			b := &Block{Name: block, Doc: f.Tag.Get("doc"), Required: f.Tag.Get("optional") != "true", Schema: inner, index: index}
			if labels := f.Tag.Get("label"); labels != "" {
				b.Labels = strings.Split(labels, "|")
			}
			for i := range f.Type.NumField() {
				if f.Type.Field(i).Tag.Get("chosen") == "true" {
					b.chosen = []int{i}
				}
			}
			if len(b.Labels) > 1 && b.chosen == nil {
				return fmt.Errorf("field %s: no field of %s keeps which label was chosen", f.Name, f.Type)
			}
			s.Blocks = append(s.Blocks, b)
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			if err := s.addFields(f.Type, index); err != nil {
				return err
			}
		}
	}
	return nil
}

func newArg(f reflect.StructField, name string, index []int) (*Arg, error) {
	if name == "" || !f.IsExported() {
		return nil, fmt.Errorf("an argument needs a name and an exported field")
	}
	a := &Arg{Name: name, Default: cty.NilVal, Doc: f.Tag.Get("doc"), Example: f.Tag.Get("example"), PerModule: f.Tag.Get("per_module") == "true",
		Deprecated: f.Tag.Get("deprecated"), typ: f.Type, index: index}
	if e := f.Tag.Get("enum"); e != "" {
		a.Enum = strings.Split(e, "|")
	}
	if err := a.setKind(f.Type); err != nil {
		return nil, err
	}
	for _, b := range []struct {
		tag   string
		bound **float64
		excl  *bool
		is    bool
	}{{"min", &a.Min, &a.ExclusiveMin, false}, {"max", &a.Max, &a.ExclusiveMax, false},
		{"above", &a.Min, &a.ExclusiveMin, true}, {"below", &a.Max, &a.ExclusiveMax, true}} {
		text, ok := f.Tag.Lookup(b.tag)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("tag %s: %w", b.tag, err)
		}
		*b.bound, *b.excl = &v, b.is
	}
	if a.Min != nil || a.Max != nil {
		if k := a.Kind; k != Int && k != Float && k != IntList && k != FloatList {
			return nil, fmt.Errorf("a range needs a number")
		}
	}
	text, has := f.Tag.Lookup("default")
	if has {
		v, err := a.parseDefault(text)
		if err != nil {
			return nil, fmt.Errorf("default %q: %w", text, err)
		}
		a.Default = v
	}
	a.Required = !has && f.Tag.Get("optional") != "true"
	return a, nil
}

func (a *Arg) setKind(t reflect.Type) error {
	if t.Kind() == reflect.Pointer && t.Implements(kinderType) {
		a.Kind = Reference
		a.RefKind = reflect.New(t.Elem()).Interface().(Kinder).RefKind()
		a.typeName = a.RefKind
		return nil
	}
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Pointer && t.Elem().Implements(kinderType) {
		a.Kind = ReferenceList
		a.RefKind = reflect.New(t.Elem().Elem()).Interface().(Kinder).RefKind()
		a.typeName = "list of " + plural(a.RefKind)
		return nil
	}
	if reflect.PointerTo(t).Implements(scalarType) {
		named, ok := reflect.Zero(t).Interface().(interface{ ArgType() string })
		if !ok {
			return fmt.Errorf("%s parses itself but has no method ArgType", t)
		}
		a.Kind, a.typeName = Custom, named.ArgType()
		return nil
	}
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct {
		inner, err := forType(t.Elem())
		if err != nil {
			return err
		}
		if len(inner.Blocks) > 0 || inner.Overrides {
			return fmt.Errorf("objects of a list hold arguments alone")
		}
		a.Kind, a.Object, a.typeName = ObjectList, inner, "list of objects"
		return nil
	}
	element := t
	list := t.Kind() == reflect.Slice
	if list {
		element = t.Elem()
	}
	switch element.Kind() {
	case reflect.String:
		a.Kind, a.typeName = String, "string"
	case reflect.Bool:
		if list {
			return fmt.Errorf("lists of booleans are not arguments")
		}
		a.Kind, a.typeName = Bool, "bool"
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64:
		a.Kind, a.typeName = Int, "whole number"
	case reflect.Float32, reflect.Float64:
		a.Kind, a.typeName = Float, "number"
	default:
		return fmt.Errorf("type %s is no argument type", t)
	}
	if list {
		a.Kind = map[Kind]Kind{String: StringList, Int: IntList, Float: FloatList}[a.Kind]
		a.typeName = "list of " + a.typeName + "s"
	}
	return nil
}

// parseDefault reads a default tag: JSON for lists, the plain text else.
func (a *Arg) parseDefault(text string) (cty.Value, error) {
	switch a.Kind {
	case Reference, ReferenceList, ObjectList:
		return cty.NilVal, fmt.Errorf("a %s has no default", a.typeName)
	case String:
		return cty.StringVal(text), nil
	case Bool:
		b, err := strconv.ParseBool(text)
		return cty.BoolVal(b), err
	case Int, Float:
		return cty.ParseNumberVal(text)
	case Custom:
		if v, err := cty.ParseNumberVal(text); err == nil {
			return v, nil
		}
		return cty.StringVal(text), nil
	}
	if !json.Valid([]byte(text)) {
		return cty.NilVal, fmt.Errorf("not a JSON list")
	}
	element := cty.Number
	if a.Kind == StringList {
		element = cty.String
	}
	return ctyjson.Unmarshal([]byte(text), cty.List(element))
}
