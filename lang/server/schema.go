package server

import (
	"fmt"
	"slices"
	"strings"

	hlang "github.com/hashicorp/hcl-lang/lang"
	hschema "github.com/hashicorp/hcl-lang/schema"
	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/lang"
)

// gateScope marks gates, which are no values.
const gateScope = hlang.ScopeId("gate")

// bodySchema says in the terms of hcl-lang what may stand in a file.
func bodySchema(forms []lang.Form) *hschema.BodySchema {
	root := &hschema.BodySchema{Blocks: map[string]*hschema.BlockSchema{}}
	for _, f := range forms {
		root.Blocks[f.Type] = blockSchema(f)
	}
	return root
}

func blockSchema(f lang.Form) *hschema.BlockSchema {
	b := &hschema.BlockSchema{Description: hlang.Markdown(sentence(f.Doc)), Body: &hschema.BodySchema{
		Attributes: map[string]*hschema.AttributeSchema{}, Blocks: map[string]*hschema.BlockSchema{}}}
	for _, l := range f.Labels {
		b.Labels = append(b.Labels, &hschema.LabelSchema{Name: l})
	}
	if f.Schema != nil {
		addSchema(b.Body, f.Schema)
	}
	for _, a := range f.Args {
		if a.Type == lang.FormEach {
			b.Body.Extensions = &hschema.BodyExtensions{ForEach: true}
			continue
		}
		b.Body.Attributes[a.Name] = ownAttribute(a)
	}
	for _, n := range f.Blocks {
		b.Body.Blocks[n.Type] = blockSchema(n)
	}
	if f.Rest != nil && len(f.Args) == 0 {
		b.Body.AnyAttribute = ownAttribute(*f.Rest)
	}
	if len(f.Methods) > 0 {
		b.Labels[0].IsDepKey, b.Labels[0].Completable = true, true
		b.DependentBody = map[hschema.SchemaKey]*hschema.BodySchema{}
		for _, m := range f.Methods {
			body := &hschema.BodySchema{Detail: m.Summary, Description: hlang.Markdown(methodText(m)),
				Attributes: map[string]*hschema.AttributeSchema{}, Blocks: map[string]*hschema.BlockSchema{}}
			if m.Schema != nil {
				addSchema(body, m.Schema)
			}
			b.DependentBody[hschema.NewSchemaKey(hschema.DependencyKeys{Labels: []hschema.LabelDependent{{Index: 0, Value: m.Name}}})] = body
		}
	}
	return b
}

// addNamed describes the arguments that only the files say: the axes of sweeps
// and what the modules of calls take, by block.
func addNamed(root *hschema.BodySchema, forms []lang.Form, f *folder) {
	add := func(b *hschema.BlockSchema, rest *lang.FormArg, labels []string, attrs map[string]string) {
		body := &hschema.BodySchema{Attributes: map[string]*hschema.AttributeSchema{}}
		for _, name := range sorted(attrs) {
			if b.Body.Attributes[name] != nil || name == "for_each" {
				continue
			}
			a := ownAttribute(*rest)
			if doc := attrs[name]; doc != "" {
				a.Description = hlang.Markdown(doc)
			}
			body.Attributes[name] = a
		}
		var keys hschema.DependencyKeys
		for i, l := range labels {
			b.Labels[i].IsDepKey = true
			keys.Labels = append(keys.Labels, hschema.LabelDependent{Index: i, Value: l})
		}
		if b.DependentBody == nil {
			b.DependentBody = map[hschema.SchemaKey]*hschema.BodySchema{}
		}
		b.DependentBody[hschema.NewSchemaKey(keys)] = body
	}
	for _, form := range forms {
		if form.Type != "sweep" && form.Type != "module" {
			continue
		}
		for _, block := range f.blocks(form.Type) {
			if len(block.Labels) != len(form.Labels) {
				continue
			}
			attrs := map[string]string{}
			if form.Type == "sweep" {
				for name := range block.Body.Attributes {
					attrs[name] = ""
				}
			} else if dir := f.moduleFolder(block.Labels[0]); dir != "" {
				for _, v := range f.server.parseFolder(dir).blocks("variable") {
					if len(v.Labels) == 1 {
						attrs[v.Labels[0]] = sentence(literal(v.Body.Attributes["description"]))
					}
				}
			}
			add(root.Blocks[form.Type], form.Rest, block.Labels, attrs)
		}
	}
}

// methodText is what an editor shows of a method beside its summary.
func methodText(m lang.FormMethod) string {
	text := strings.TrimSpace(m.Doc)
	if m.Paper != "" {
		text += "\n\n" + sentence(m.Paper)
	}
	return strings.TrimSpace(text)
}

func addSchema(b *hschema.BodySchema, s *schema.Schema) {
	for _, a := range s.Args {
		b.Attributes[a.Name] = attribute(a)
	}
	for _, n := range s.Blocks {
		inner := &hschema.BodySchema{Attributes: map[string]*hschema.AttributeSchema{}, Blocks: map[string]*hschema.BlockSchema{}}
		addSchema(inner, n.Schema)
		nested := &hschema.BlockSchema{Description: hlang.Markdown(sentence(n.Doc)), Body: inner, MaxItems: 1}
		if n.Required {
			nested.MinItems = 1
		}
		if len(n.Labels) > 0 {
			nested.Labels = []*hschema.LabelSchema{{Name: "method", IsDepKey: true, Completable: true}}
			nested.DependentBody = map[hschema.SchemaKey]*hschema.BodySchema{}
			for _, l := range n.Labels {
				nested.DependentBody[hschema.NewSchemaKey(hschema.DependencyKeys{Labels: []hschema.LabelDependent{{Index: 0, Value: l}}})] = &hschema.BodySchema{}
			}
		}
		b.Blocks[n.Name] = nested
	}
	if per := s.PerModule(); s.Overrides && len(per) > 0 {
		inner := &hschema.BodySchema{Attributes: map[string]*hschema.AttributeSchema{}}
		for _, name := range per {
			a := *attribute(s.Arg(name))
			a.IsRequired, a.IsOptional = false, true
			inner.Attributes[name] = &a
		}
		for _, name := range lang.OverrideArgs {
			inner.Attributes[name] = &hschema.AttributeSchema{IsOptional: true, Description: hlang.Markdown("Which modules: by pattern, by role, or by decoder block."),
				Constraint: hschema.AnyExpression{OfType: cty.DynamicPseudoType}}
		}
		b.Blocks["override"] = &hschema.BlockSchema{Body: inner, Labels: []*hschema.LabelSchema{{Name: "pattern"}},
			Description: hlang.Markdown("Other arguments for the modules that a pattern matches; the first override that matches decides.")}
	}
}

// attribute describes an argument of a method.
func attribute(a *schema.Arg) *hschema.AttributeSchema {
	return &hschema.AttributeSchema{IsRequired: a.Required, IsOptional: !a.Required, IsDeprecated: a.Deprecated != "",
		Description: hlang.Markdown(argText(a)), Constraint: constraint(a)}
}

// argText is what an editor shows of an argument.
func argText(a *schema.Arg) string {
	text := sentence(a.Doc)
	if len(a.Enum) > 0 {
		text += fmt.Sprintf(" One of `%s`.", strings.Join(a.Enum, "`, `"))
	}
	if r := a.Range(); r != "" {
		text += " " + sentence(r)
	}
	if d := a.DefaultText(); d != "" {
		text += fmt.Sprintf(" Default `%s`.", d)
	}
	if a.PerModule {
		text += " May differ by module."
	}
	if a.Deprecated != "" {
		text += " Deprecated: " + sentence(a.Deprecated)
	}
	return strings.TrimSpace(text)
}

func sentence(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

func constraint(a *schema.Arg) hschema.Constraint {
	switch a.Kind {
	case schema.String:
		return enumOr(a.Enum, cty.String)
	case schema.Bool:
		return hschema.AnyExpression{OfType: cty.Bool}
	case schema.Int, schema.Float:
		return hschema.AnyExpression{OfType: cty.Number}
	case schema.StringList:
		return hschema.AnyExpression{OfType: cty.List(cty.String)}
	case schema.IntList, schema.FloatList:
		return hschema.AnyExpression{OfType: cty.List(cty.Number)}
	case schema.Reference:
		return hschema.Reference{OfType: refType(a.RefKind)}
	case schema.ObjectList:
		inner := hschema.ObjectAttributes{}
		for _, x := range a.Object.Args {
			inner[x.Name] = attribute(x)
		}
		return hschema.List{Elem: hschema.Object{Attributes: inner}}
	case schema.ReferenceList:
		return hschema.OneOf{
			hschema.List{Elem: hschema.Reference{OfType: refType(a.RefKind)}},
			hschema.AnyExpression{OfType: cty.List(refType(a.RefKind))},
		}
	}
	return hschema.AnyExpression{OfType: cty.DynamicPseudoType}
}

// refType is the type of values of a kind of reference.
func refType(kind string) cty.Type {
	switch kind {
	case "model":
		return lang.ModelType
	case "data":
		return lang.DataType
	case "allocation":
		return lang.AllocationType
	}
	return lang.AdapterType
}

// enumOr lists the values that a string may have; references may yield them too.
func enumOr(enum []string, t cty.Type) hschema.Constraint {
	if len(enum) == 0 {
		return hschema.AnyExpression{OfType: t}
	}
	var one hschema.OneOf
	for _, v := range enum {
		one = append(one, hschema.LiteralValue{Value: cty.StringVal(v)})
	}
	return append(one, hschema.Reference{OfType: t})
}

// ownAttribute describes an argument of the language's own.
func ownAttribute(a lang.FormArg) *hschema.AttributeSchema {
	out := &hschema.AttributeSchema{IsRequired: a.Required, IsOptional: !a.Required, Description: hlang.Markdown(sentence(a.Doc))}
	switch a.Type {
	case lang.FormBool:
		out.Constraint = hschema.AnyExpression{OfType: cty.Bool}
	case lang.FormNumber:
		out.Constraint = hschema.AnyExpression{OfType: cty.Number}
	case lang.FormString:
		out.Constraint = enumOr(a.Enum, cty.String)
	case lang.FormText:
		out.Constraint = hschema.LiteralType{Type: cty.String}
	case lang.FormTypeName:
		out.Constraint = hschema.OneOf{hschema.TypeDeclaration{}, hschema.Keyword{Keyword: "model"}, hschema.Keyword{Keyword: "data"}, hschema.Keyword{Keyword: "adapter"}}
	case lang.FormGates:
		out.Constraint = hschema.List{Elem: hschema.Reference{OfScopeId: gateScope}}
	case lang.FormModel:
		out.Constraint = hschema.Reference{OfType: lang.ModelType}
	case lang.FormList:
		out.Constraint = hschema.AnyExpression{OfType: cty.List(cty.DynamicPseudoType)}
	default:
		out.Constraint = hschema.AnyExpression{OfType: cty.DynamicPseudoType}
	}
	return out
}

// signatures describe the functions of expressions.
func signatures(p *lang.Pipeline) map[string]hschema.FunctionSignature {
	out := map[string]hschema.FunctionSignature{}
	for name, f := range p.Functions {
		s := hschema.FunctionSignature{ReturnType: cty.DynamicPseudoType, Params: f.Params(), VarParam: f.VarParam(), Description: f.Description()}
		types := make([]cty.Type, len(s.Params))
		for i, prm := range s.Params {
			types[i] = prm.Type
		}
		if t, err := f.ReturnType(types); err == nil {
			s.ReturnType = t
		}
		out[name] = s
	}
	return out
}

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
