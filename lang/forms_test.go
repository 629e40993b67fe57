package lang

import (
	"slices"
	"testing"
)

// The forms name what the checks know, and nothing else.
func TestForms(t *testing.T) {
	names := func(args []FormArg) []string {
		var list []string
		for _, a := range args {
			if a.Doc == "" || a.Type == "" {
				t.Errorf("%s lacks a type or a note", a.Name)
			}
			list = append(list, a.Name)
		}
		slices.Sort(list)
		return list
	}
	same := func(what string, got, want []string) {
		want = slices.Clone(want)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	forms := Forms(testOptions(t).Registry)
	for _, f := range forms {
		b := lookupBlockType(f.Type)
		if b == nil || f.Doc == "" {
			t.Fatalf("%+v", f)
		}
		var want []string
		switch f.Type {
		case "pipeline":
			want = append(settingsSchema.ArgNames(), "seed")
		case "locals":
		case "sweep":
			want = SweepArgs
		case "module":
			want = moduleArgs
		case "search":
			want = append([]string{"from", "minimize", "maximize", "where"}, searchArgs()...)
			want = append(want, "for_each")
		default:
			for _, s := range ownArgs[b.kind] {
				want = append(want, s.name)
				i := slices.IndexFunc(f.Args, func(a FormArg) bool { return a.Name == s.name })
				if i < 0 || f.Args[i].Required != s.required {
					t.Errorf("%s.%s is required: %t", f.Type, s.name, s.required)
				}
			}
			want = append(want, metaArgs[b.kind]...)
			if slices.Contains(forEachKinds, b.kind) {
				want = append(want, "for_each")
			}
		}
		same(f.Type, names(f.Args), want)
		if (len(f.Labels) == 2) != (len(f.Methods) > 0) {
			t.Errorf("%s has %d labels and %d methods", f.Type, len(f.Labels), len(f.Methods))
		}
	}
	for _, typ := range blockTypes {
		if !slices.ContainsFunc(forms, func(f Form) bool { return f.Type == typ.name }) && (LookupVerb(typ.name) == nil || len(testOptions(t).Registry.Methods(typ.name)) > 0) {
			t.Errorf("there is no form of %s", typ.name)
		}
	}
}
