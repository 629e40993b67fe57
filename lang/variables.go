package lang

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/compressc/compressc/internal/didyoumean"
)

// EnvPrefix begins the environment variables that give values.
const EnvPrefix = "COMPRESSC_VAR_"

// variable is a declaration while values are assigned.
type variable struct {
	*Block
	typ      cty.Type
	defaults *typeexpr.Defaults
	required bool
}

// setVariables reads the declarations and assigns values: the default, the
// environment, *.vars.hcl by name, then Inputs in their order, each over those
// before.
func (l *loader) setVariables(files []*hcl.File) {
	vars := map[string]*variable{}
	for _, b := range l.Root.blocks {
		if b.Kind == KindVariable {
			vars[b.Name] = l.declare(b)
		}
	}
	for _, entry := range l.opt.Environ {
		name, value, ok := strings.Cut(entry, "=")
		if !ok || !strings.HasPrefix(name, EnvPrefix) {
			continue
		}
		// Other pipelines' variables may be set in the same shell.
		if v := vars[strings.TrimPrefix(name, EnvPrefix)]; v != nil {
			l.assignText(v, value, "the environment variable "+name)
		}
	}
	for _, f := range files {
		l.assignFile(vars, f)
	}
	for _, in := range l.opt.Inputs {
		if in.Parsed != nil {
			l.Files[in.File] = in.Parsed
			l.assignFile(vars, in.Parsed)
			continue
		}
		if in.File != "" {
			src, err := l.opt.readFile(in.File)
			if err != nil {
				l.diags = append(l.diags, fileError("Cannot read the variables", in.File, err)...)
				continue
			}
			l.assignFile(vars, l.parse(in.File, src))
			continue
		}
		v := vars[in.Name]
		if v == nil {
			if !l.damaged {
				l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Undeclared variable",
					Detail: fmt.Sprintf("A value was given with -var for %q, but there is no such variable.%s", in.Name, l.variableHint(in.Name))})
			}
			continue
		}
		l.assignText(v, in.Value, "-var "+in.Name)
	}
	for _, b := range l.Root.blocks {
		if b.Kind != KindVariable || b.Value != cty.NilVal {
			continue
		}
		b.Value = cty.UnknownVal(vars[b.Name].typ)
		if vars[b.Name].required && l.opt.Complete && !b.Broken {
			b.Broken = true
			l.errorAt(b.Body.DefRange, "Variable without a value",
				"The variable %q is required. Give it with -var %s=…, in a *.vars.hcl file, or as %s%s.", b.Name, b.Name, EnvPrefix, b.Name)
		}
	}
}

func (l *loader) variableHint(name string) string {
	return didyoumean.Hint(name, l.Root.named("var"))
}

func (l *loader) declare(b *Block) *variable {
	v := &variable{Block: b, typ: cty.DynamicPseudoType, required: true}
	l.declareValidations(b)
	fail := func(diags hcl.Diagnostics) bool {
		l.diags = append(l.diags, diags...)
		b.Broken = b.Broken || diags.HasErrors()
		return diags.HasErrors()
	}
	if a := b.Body.Attr("type"); a != nil {
		t, defaults, diags := typeConstraint(a.Expr)
		if !fail(diags) {
			v.typ, v.defaults = t, defaults
			b.typ, b.defaults = t, defaults
		}
	}
	if a := b.Body.Attr("sensitive"); a != nil {
		s, diags := a.Expr.Value(nil)
		if s, err := convert.Convert(s, cty.Bool); !fail(diags) {
			if err != nil || s.IsNull() || !s.IsKnown() {
				fail(hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Invalid value", Detail: "The argument \"sensitive\" is true or false.", Subject: a.Expr.Range().Ptr()}})
			} else {
				b.Sensitive = s.True()
			}
		}
	}
	if a := b.Body.Attr("description"); a != nil {
		d, diags := a.Expr.Value(nil)
		if d, err := convert.Convert(d, cty.String); !fail(diags) && err == nil && d.IsKnown() && !d.IsNull() {
			b.Doc = d.AsString()
		}
	}
	if a := b.Body.Attr("default"); a != nil {
		v.required = false
		d, diags := a.Expr.Value(&hcl.EvalContext{Functions: l.Functions})
		if !fail(diags) && !b.Broken {
			l.assign(v, d, a.Expr.Range().Ptr(), "the default")
		}
	}
	return v
}

// assign gives v a value, converted to its type.
func (l *loader) assign(v *variable, value cty.Value, subject *hcl.Range, from string) {
	c, err := v.Convert(value)
	if err != nil {
		v.Broken = true
		l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid value for variable", Subject: subject,
			Detail: fmt.Sprintf("The variable %q is of type %s, and %s is not: %v.", v.Name, v.TypeText(), from, err)})
		return
	}
	v.Value, v.valueAt = c, subject
}

// Convert converts a value to the type of the variable that b is or stands for;
// for blocks without a type it is the value as it is.
func (b *Block) Convert(v cty.Value) (cty.Value, error) {
	if b.typ == cty.NilType || b.typ == cty.DynamicPseudoType {
		return v, nil
	}
	if b.defaults != nil && v.IsKnown() && !v.IsNull() {
		v = b.defaults.Apply(v)
	}
	return convert.Convert(v, b.typ)
}

// TypeText spells a variable's type.
func (b *Block) TypeText() string {
	if b.typ == cty.NilType {
		return "any"
	}
	return typeText(b.typ)
}

func (l *loader) assignFile(vars map[string]*variable, f *hcl.File) {
	attrs, diags := f.Body.JustAttributes()
	l.diags = append(l.diags, diags...)
	body := &Body{}
	for _, a := range attrs {
		body.Attrs = append(body.Attrs, &Attr{Name: a.Name, Expr: a.Expr, Range: a.Range, NameRange: a.NameRange})
	}
	body.sort()
	for _, a := range body.Attrs {
		v := vars[a.Name]
		if v == nil {
			if !l.damaged {
				l.errorAt(a.NameRange, "Undeclared variable", "There is no variable %q in this pipeline.%s", a.Name, l.variableHint(a.Name))
			}
			continue
		}
		value, diags := a.Expr.Value(&hcl.EvalContext{Functions: l.Functions})
		l.diags = append(l.diags, diags...)
		if diags.HasErrors() {
			v.Broken = true
			continue
		}
		l.assign(v, value, a.Expr.Range().Ptr(), "this value")
	}
}

// assignText reads a value from the command line or the environment: as it is
// for strings, as an expression for all other types.
func (l *loader) assignText(v *variable, text, from string) {
	if v.typ == cty.String || v.typ == cty.DynamicPseudoType {
		l.assign(v, cty.StringVal(text), nil, from)
		return
	}
	name := "<" + from + ">"
	expr, diags := hclsyntax.ParseExpression([]byte(text), name, hcl.InitialPos)
	var value cty.Value
	if !diags.HasErrors() {
		value, diags = expr.Value(&hcl.EvalContext{Functions: l.Functions})
	}
	if diags.HasErrors() {
		v.Broken = true
		detail := diags[0].Detail
		if v.Sensitive {
			detail = "The text is no expression."
		}
		l.diags = append(l.diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid value for variable",
			Detail: fmt.Sprintf("The variable %q of type %s cannot be read from %s: %s", v.Name, v.TypeText(), from, detail)})
		return
	}
	l.assign(v, value, nil, from)
}
