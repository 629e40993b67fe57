package lang

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/compressc/compressc/internal/schema"
)

// js is a part of a JSON Schema.
type js = map[string]any

const (
	identifierPattern = `^[A-Za-z_][A-Za-z0-9_-]*$`
	// A string of the JSON form is a template; one that holds an expression may
	// have any value.
	templatePattern = `\$\{|%\{`
	numberPattern   = `^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$|\$\{`
	wholePattern    = `^\$\{[\s\S]+\}$`
	gatePattern     = `^(\$\{)?gate[.\[]`
)

// WriteJSONSchema writes a JSON Schema (draft 2020-12) of the JSON form of
// pipelines: *.pipeline.hcl.json. It knows names, types, ranges and what is
// required; references and whatever models make of arguments are for validate.
func WriteJSONSchema(w io.Writer, reg *Registry) error {
	d := jsonDescriber{defs: js{}}
	properties := js{}
	for _, f := range Forms(reg) {
		properties[f.Type] = d.block(f)
	}
	root := object(properties, nil)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "compressc pipeline"
	root["description"] = "The JSON form of a pipeline of compressc."
	root["$defs"] = d.defs
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		return fmt.Errorf("JSON Schema: %w", err)
	}
	return nil
}

type jsonDescriber struct{ defs js }

// object is a body: its arguments, its nested blocks, and comments under "//".
func object(properties js, required []string) js {
	properties["//"] = js{"description": "a comment"}
	o := js{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		slices.Sort(required)
		o["required"] = required
	}
	return o
}

// oneOrMore is what HCL takes in place of a body, or of labels with what is
// below them: it, or a list of such.
func oneOrMore(s js) js {
	return js{"anyOf": []any{s, js{"type": "array", "items": s}}}
}

// named are bodies under labels of any name.
func named(body js) js {
	return oneOrMore(js{"type": "object", "propertyNames": js{"pattern": identifierPattern}, "additionalProperties": body})
}

func (d *jsonDescriber) ref(name string, s js) js {
	d.defs[name] = s
	return js{"$ref": "#/$defs/" + name}
}

func (d *jsonDescriber) block(f Form) js {
	var out js
	switch {
	case len(f.Methods) > 0:
		methods := js{}
		for _, m := range f.Methods {
			body := d.body(f, m.Schema)
			body["description"] = m.Summary
			methods[m.Name] = named(oneOrMore(d.ref(f.Type+"."+m.Name, body)))
		}
		out = oneOrMore(js{"type": "object", "properties": methods, "additionalProperties": false})
	case len(f.Labels) > 0:
		out = named(oneOrMore(d.ref(f.Type, d.body(f, f.Schema))))
	default:
		out = oneOrMore(d.ref(f.Type, d.body(f, f.Schema)))
	}
	out["description"] = f.Doc
	return out
}

func (d *jsonDescriber) body(f Form, s *schema.Schema) js {
	properties, required := js{}, []string(nil)
	if s != nil {
		properties, required = schemaProperties(s)
	}
	for _, a := range f.Args {
		properties[a.Name] = formArgSchema(a)
		if a.Required {
			required = append(required, a.Name)
		}
	}
	for _, n := range f.Blocks {
		properties[n.Type] = oneOrMore(d.body(n, nil))
	}
	o := object(properties, required)
	if f.Rest != nil {
		rest := formArgSchema(*f.Rest)
		if f.Type == "locals" || f.Type == "sweep" || f.Type == "module" {
			o["propertyNames"] = js{"pattern": identifierPattern + "|^//$"}
		}
		o["additionalProperties"] = rest
	}
	return o
}

// schemaProperties describe the arguments and nested blocks of a method.
func schemaProperties(s *schema.Schema) (properties js, required []string) {
	properties = js{}
	for _, a := range s.Args {
		properties[a.Name] = argSchema(a, !a.Required)
		if a.Required {
			required = append(required, a.Name)
		}
	}
	for _, n := range s.Blocks {
		inner, need := schemaProperties(n.Schema)
		body := oneOrMore(object(inner, need))
		if len(n.Labels) > 0 {
			byLabel := js{}
			for _, l := range n.Labels {
				byLabel[l] = body
			}
			labelled := object(byLabel, nil)
			labelled["minProperties"], labelled["maxProperties"] = 1, 1
			body = oneOrMore(labelled)
		}
		body["description"] = n.Doc
		properties[n.Name] = body
		if n.Required {
			required = append(required, n.Name)
		}
	}
	if per := s.PerModule(); s.Overrides && len(per) > 0 {
		inner := js{}
		for _, name := range per {
			inner[name] = argSchema(s.Arg(name), true)
		}
		for _, name := range OverrideArgs {
			inner[name] = js{"type": []string{"string", "array"}}
		}
		properties["override"] = oneOrMore(object(inner, nil))
	}
	return properties, required
}

// argSchema describes the values of an argument: those of its kind, or a
// template that yields one. null stands for its absence.
func argSchema(a *schema.Arg, nullable bool) js {
	template := js{"type": "string", "pattern": templatePattern}
	var value js
	switch a.Kind {
	case schema.String:
		value = js{"type": "string"}
		if len(a.Enum) > 0 {
			value["enum"] = a.Enum
		}
	case schema.Bool:
		value = js{"type": "boolean"}
	case schema.Int, schema.Float:
		value = js{"type": "number"}
		if a.Kind == schema.Int {
			value["type"] = "integer"
		}
		if len(a.Enum) > 0 {
			var numbers []json.Number
			for _, e := range a.Enum {
				numbers = append(numbers, json.Number(e))
			}
			value["enum"] = numbers
		}
		limit(value, "inimum", a.Min, a.ExclusiveMin)
		limit(value, "aximum", a.Max, a.ExclusiveMax)
		template["pattern"] = numberPattern
	case schema.StringList:
		value = js{"type": "array", "items": js{"type": "string"}}
	case schema.IntList, schema.FloatList:
		value = js{"type": "array", "items": js{"anyOf": []any{js{"type": "number"}, js{"type": "string", "pattern": numberPattern}}}}
	case schema.Reference:
		value = js{"type": "string", "pattern": wholePattern}
		template = nil
	case schema.ObjectList:
		inner := js{}
		for _, x := range a.Object.Args {
			inner[x.Name] = argSchema(x, true)
		}
		value = js{"type": "array", "items": object(inner, nil)}
	case schema.ReferenceList:
		value = js{"type": "array", "items": js{"type": "string", "pattern": wholePattern}}
		template["pattern"] = wholePattern
	default:
		// A type that parses itself; what it takes in detail is found by validate.
		value = js{"type": []string{"number", "string", "boolean", "array"}}
	}
	return describe(either(value, template, nullable), a.Doc, a.Default, a.Deprecated)
}

// limit sets a bound: "minimum" or "exclusiveMinimum".
func limit(s js, word string, bound *float64, exclusive bool) {
	switch {
	case bound == nil:
	case exclusive:
		s["exclusiveM"+word] = *bound
	default:
		s["m"+word] = *bound
	}
}

// either is a value or a template, or null.
func either(value, template js, nullable bool) js {
	options := []any{value}
	if template != nil {
		options = append(options, template)
	}
	if nullable {
		options = append(options, js{"type": "null"})
	}
	return js{"anyOf": options}
}

func describe(s js, doc string, def cty.Value, deprecated string) js {
	if doc != "" {
		s["description"] = doc
	}
	if def != cty.NilVal && def.IsWhollyKnown() && !def.IsNull() {
		if raw, err := ctyjson.Marshal(def, def.Type()); err == nil {
			s["default"] = json.RawMessage(raw)
		}
	}
	if deprecated != "" {
		s["deprecated"] = true
	}
	return s
}

// formArgSchema describes an argument of the language's own.
func formArgSchema(a FormArg) js {
	template := js{"type": "string", "pattern": templatePattern}
	var value js
	switch a.Type {
	case FormBool:
		value = js{"type": "boolean"}
	case FormNumber:
		value = js{"type": "number"}
		template["pattern"] = numberPattern
	case FormString, FormText, FormTypeName:
		value = js{"type": "string"}
		if len(a.Enum) > 0 {
			value["enum"] = a.Enum
		}
	case FormGates:
		value = js{"type": "array", "items": js{"type": "string", "pattern": gatePattern}}
		return describe(js{"anyOf": []any{value}}, a.Doc, cty.NilVal, "")
	case FormModel:
		value = js{"type": "string"}
	case FormList:
		value = js{"type": "array"}
	case FormEach:
		value = js{"type": []string{"object", "array"}}
	default:
		return describe(js{}, a.Doc, cty.NilVal, "")
	}
	return describe(either(value, template, !a.Required), a.Doc, cty.NilVal, "")
}
