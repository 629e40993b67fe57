package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
)

// typeKeywords are the types of variables beside those of HCL: what
// blocks yield, for the arguments of modules.
var typeKeywords = map[string]cty.Type{"model": ModelType, "data": DataType, "adapter": AdapterType, "allocation": AllocationType}

// typeConstraint reads a variable's type: HCL's type expressions, in which
// model, data, adapter and allocation are types too, alone and in list(…), map(…) and
// object({…}).
func typeConstraint(e hcl.Expression) (cty.Type, *typeexpr.Defaults, hcl.Diagnostics) {
	uses := false
	for _, t := range typeNames(e) {
		_, is := typeKeywords[t]
		uses = uses || is
	}
	if !uses {
		t, defaults, diags := typeexpr.TypeConstraintWithDefaults(e)
		for _, d := range diags {
			d.Detail += " Types are string, number, bool, any, model, data, adapter, allocation, list(…), set(…), map(…), tuple([…]) and object({…})."
		}
		return t, defaults, diags
	}
	t, diags := blockTypeConstraint(e)
	return t, nil, diags
}

// typeNames are the keywords in a type expression.
func typeNames(e hcl.Expression) []string {
	if kw := hcl.ExprAsKeyword(e); kw != "" {
		return []string{kw}
	}
	var names []string
	if call, diags := hcl.ExprCall(e); !diags.HasErrors() {
		for _, a := range call.Arguments {
			names = append(names, typeNames(a)...)
		}
	} else if pairs, diags := hcl.ExprMap(e); !diags.HasErrors() {
		for _, p := range pairs {
			names = append(names, typeNames(p.Value)...)
		}
	} else if items, diags := hcl.ExprList(e); !diags.HasErrors() {
		for _, i := range items {
			names = append(names, typeNames(i)...)
		}
	}
	return names
}

func blockTypeConstraint(e hcl.Expression) (cty.Type, hcl.Diagnostics) {
	if t, ok := typeKeywords[hcl.ExprAsKeyword(e)]; ok {
		return t, nil
	}
	call, diags := hcl.ExprCall(e)
	if diags.HasErrors() || !slices.Contains([]string{"list", "map", "object", "tuple"}, call.Name) {
		t, _, diags := typeexpr.TypeConstraintWithDefaults(e)
		return t, diags
	}
	wrong := func(format string, args ...any) (cty.Type, hcl.Diagnostics) {
		return cty.DynamicPseudoType, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Invalid type specification",
			Detail: fmt.Sprintf(format, args...), Subject: e.Range().Ptr()}}
	}
	if len(call.Arguments) != 1 {
		return wrong("The type %s takes one argument: %s(model).", call.Name, call.Name)
	}
	arg := call.Arguments[0]
	switch call.Name {
	case "list":
		t, diags := blockTypeConstraint(arg)
		return cty.List(t), diags
	case "map":
		t, diags := blockTypeConstraint(arg)
		return cty.Map(t), diags
	case "tuple":
		items, diags := hcl.ExprList(arg)
		if diags.HasErrors() {
			return wrong("A tuple lists its types: tuple([model, number]).")
		}
		types := make([]cty.Type, len(items))
		for i, item := range items {
			if types[i], diags = blockTypeConstraint(item); diags.HasErrors() {
				return types[i], diags
			}
		}
		return cty.Tuple(types), nil
	}
	pairs, diags := hcl.ExprMap(arg)
	if diags.HasErrors() {
		return wrong("An object names its attributes: object({ base = model, bits = number }).")
	}
	types := map[string]cty.Type{}
	for _, p := range pairs {
		name := hcl.ExprAsKeyword(p.Key)
		if name == "" {
			return wrong("The attributes of an object are names.")
		}
		if types[name], diags = blockTypeConstraint(p.Value); diags.HasErrors() {
			return types[name], diags
		}
	}
	return cty.Object(types), nil
}

// typeText spells a type as variables write it.
func typeText(t cty.Type) string {
	for _, name := range []string{"model", "data", "adapter", "allocation"} {
		if t.Equals(typeKeywords[name]) {
			return name
		}
	}
	switch {
	case t.IsListType():
		return "list(" + typeText(t.ElementType()) + ")"
	case t.IsMapType():
		return "map(" + typeText(t.ElementType()) + ")"
	case t.IsObjectType():
		types := t.AttributeTypes()
		names := make([]string, 0, len(types))
		for n := range types {
			names = append(names, n)
		}
		slices.Sort(names)
		for i, n := range names {
			names[i] = n + "=" + typeText(types[n])
		}
		return "object({" + strings.Join(names, ",") + "})"
	}
	return typeexpr.TypeString(t)
}
