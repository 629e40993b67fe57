package planner

import (
	"fmt"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes"
)

// decode evaluates a body at its node's place and fills args. It notes what
// the arguments are made of in DependsOn, and reports whether some value is
// not known yet.
func (x *expander) decode(e *evaluation, n *Node, args any) (unknown, ok bool) {
	b := n.Block
	in, ok := x.input(e, b, b.Body, n.place, b.Schema)
	x.report(b, &n.place, e.diags...)
	in.Partial = b.Damaged || !ok
	names, list := b.Schema.Decode(args, in)
	// These look at what could be evaluated, whatever else is wrong with the block.
	list = append(list, checkOverrides(b.Schema, args, in)...)
	list = append(list, checkData(b.Schema, in)...)
	x.reportList(n, list)
	n.DependsOn = originsOf(b.Schema, in)
	if len(names) > 0 {
		// Which nodes an unknown reference stands for is not known either.
		for _, r := range e.refs {
			if !slices.Contains(n.DependsOn, r) {
				n.DependsOn = append(n.DependsOn, r)
			}
		}
	}
	n.Watches = e.watches
	n.waitForChoices()
	return len(names) > 0, ok && !b.Damaged && !list.HasErrors()
}

// input evaluates what a body holds of its schema. It goes on after a broken
// attribute, so that the others are checked too, and says so by ok.
func (x *expander) input(e *evaluation, b *lang.Block, body *lang.Body, at place, s *schema.Schema) (in schema.Input, ok bool) {
	ok = true
	in = schema.Input{Values: map[string]cty.Value{}, Blocks: map[string]schema.BlockInput{}}
	for _, a := range body.Attrs {
		if body == b.Body && b.IsMetaArg(a.Name) {
			ok = ok && !a.Broken
			continue
		}
		v, sound := e.attr(a, at)
		if sound && a.Sensitive() && v.Type() != cty.String {
			// Checked here, for the schema's message would show the value.
			e.errorAt(a.Expr.Range(), "Wrong type of argument", "The argument %q takes a string.", a.Name)
			sound = false
		}
		if ok = ok && sound; sound {
			in.Values[a.Name] = v
		}
	}
	for _, n := range body.Blocks {
		if n.Type == "override" && s.Overrides {
			o, sound := x.override(e, n, at)
			in.Overrides = append(in.Overrides, o)
			ok = ok && sound
			continue
		}
		inner := s.Block(n.Type)
		if _, twice := in.Blocks[n.Type]; inner == nil || twice {
			continue // reported when it was loaded
		}
		nested, sound := x.input(e, b, n, at, inner.Schema)
		ok = ok && sound
		block := schema.BlockInput{Input: nested}
		switch {
		case len(n.Labels) == 1 && inner.Admits(n.Labels[0]):
			block.Label = n.Labels[0]
		case len(inner.Labels) > 0: // reported when it was loaded
			block.Label = inner.Labels[0]
		}
		in.Blocks[n.Type] = block
	}
	return in, ok
}

func (x *expander) override(e *evaluation, n *lang.Body, at place) (schema.OverrideInput, bool) {
	o := schema.OverrideInput{Values: map[string]cty.Value{}}
	if len(n.Labels) > 0 {
		o.Selector.Globs = n.Labels[:1]
	}
	ok := true
	for _, a := range n.Attrs {
		v, sound := e.attr(a, at)
		ok = ok && sound
		if !sound {
			continue
		}
		var err error
		switch a.Name {
		case "match":
			var globs []string
			globs, err = stringList(v)
			o.Selector.Globs = append(slices.Clone(o.Selector.Globs), globs...)
		case "role":
			o.Selector.Roles, err = stringList(v)
		case "layers":
			var layers []string
			if layers, err = stringList(v); err == nil && len(layers) == 1 {
				o.Selector.Layers = layers[0]
			} else if err == nil {
				err = fmt.Errorf("one text such as \"0-3,7\" is expected")
			}
		default:
			o.Values[a.Name] = v
		}
		if err != nil {
			e.errorAt(a.Expr.Range(), "Invalid pattern", "The argument %q: %v.", a.Name, err)
			ok = false
		}
	}
	return o, ok
}

// stringList reads a string or a list of strings that must be known: what an
// override selects is part of the graph.
func stringList(v cty.Value) ([]string, error) {
	if !v.IsWhollyKnown() {
		return nil, fmt.Errorf("its value must be known before a run")
	}
	if s, err := convert.Convert(v, cty.String); err == nil && !s.IsNull() {
		return []string{s.AsString()}, nil
	}
	list, err := convert.Convert(v, cty.List(cty.String))
	if err != nil || list.IsNull() || !v.CanIterateElements() {
		return nil, fmt.Errorf("a string or a list of strings is expected, not %s", schema.Spell(v))
	}
	var out []string
	for it := list.ElementIterator(); it.Next(); {
		_, e := it.Element()
		if e.IsNull() {
			return nil, fmt.Errorf("the list holds null")
		}
		out = append(out, e.AsString())
	}
	return out, nil
}

// originsOf returns the nodes in all reference values of in, in the order of
// the schema.
func originsOf(s *schema.Schema, in schema.Input) []*Node {
	var list []*Node
	for _, a := range s.Args {
		if v, ok := in.Values[a.Name]; ok {
			for _, n := range origins(v) {
				if !slices.Contains(list, n) {
					list = append(list, n)
				}
			}
		}
	}
	return list
}

// origins returns the nodes that the references in v come from.
func origins(v cty.Value) []*Node {
	var list []*Node
	// The callback returns no error, so Walk has none.
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if !v.Type().Equals(schema.RefType) {
			return true, nil
		}
		if r, ok := schema.RefOf(v); ok {
			if n, isNode := r.Origin.(*Node); isNode && !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
		return false, nil
	})
	return list
}

// checkOverrides checks that each override matches a module of the model.
func checkOverrides(s *schema.Schema, args any, in schema.Input) diag.List {
	overrides := s.OverridesOf(args)
	m := modelIn(in)
	if len(overrides) == 0 || m == nil || m.Type == nil {
		return nil
	}
	modules := make([]schema.Module, len(m.Type.Linears))
	for i, l := range m.Type.Linears {
		modules[i] = schema.Module{Path: l.Path, Role: l.Role, Block: l.Block}
	}
	return overrides.Check(modules)
}

func modelIn(in schema.Input) *passes.Model {
	if r, ok := schema.RefOf(in.Values["model"]); ok {
		m, _ := r.Value.(*passes.Model)
		return m
	}
	return nil
}

// checkData checks once for all methods that data was cut with the tokenizer of
// the model that reads it, into windows that the model has positions for.
func checkData(s *schema.Schema, in schema.Input) (list diag.List) {
	m := modelIn(in)
	if m == nil || m.Type == nil {
		return nil
	}
	c := m.Type.Config
	for _, a := range s.Args {
		r, ok := schema.RefOf(in.Values[a.Name])
		if !ok {
			continue
		}
		d, isData := r.Value.(*passes.Data)
		if !isData {
			continue
		}
		if n := d.Type.SequenceLength; c.Learned && n > c.MaxPosition {
			list.Errorf(a.Name, "Windows too long", "%s has windows of %d tokens, and %s has %d learned positions. Give the data block a sequence_length of at most %d.", d.From, n, m.From, c.MaxPosition, c.MaxPosition)
			list.Since(d.From)
		}
		if m.Type.Tokenizer != "" && d.Type.Tokenizer != "" && d.Type.Tokenizer != m.Type.Tokenizer {
			list.Errorf(a.Name, "Data of another tokenizer",
				"%s was made with another tokenizer than that of %s, so that its numbers mean other words. Give the data block the tokenizer of this model.",
				d.From, m.From)
			list.Since(d.From)
		}
	}
	return list
}

// condition evaluates a boolean.
func (x *expander) condition(e *evaluation, b *lang.Block, a *lang.Attr, at place) (cty.Value, bool) {
	v, ok := e.attr(a, at)
	x.report(b, &at, e.diags...)
	e.diags = nil
	if !ok {
		return cty.NilVal, false
	}
	c, err := convert.Convert(v, cty.Bool)
	if err != nil || c.IsKnown() && c.IsNull() {
		x.errorAt(b, &at, a.Expr.Range(), "Invalid condition", "The argument %q is true or false, not %s.", a.Name, schema.Spell(v))
		return cty.NilVal, false
	}
	return c, true
}

// seed returns a block's seed, the pipeline's by default.
func (x *expander) seed(b *lang.Block, at place) (uint64, bool) {
	a := b.Body.Attr("seed")
	if a == nil {
		return x.pipeline.Settings.Seed, true
	}
	v, ok := x.value(b, a, at)
	if !ok {
		return 0, false
	}
	if !v.IsKnown() {
		return 0, true
	}
	if v.IsNull() {
		return x.pipeline.Settings.Seed, true
	}
	seed, err := lang.Seed(v)
	if err != nil {
		x.errorAt(b, &at, a.Expr.Range(), "Invalid seed", "Wrong seed: %v.", err)
		return 0, false
	}
	return seed, true
}

func wholeNumber(v cty.Value) (int, error) {
	n, err := convert.Convert(v, cty.Number)
	if err != nil || n.IsNull() || !n.AsBigFloat().IsInt() {
		return 0, fmt.Errorf("%s is no whole number", schema.Spell(v))
	}
	i, _ := n.AsBigFloat().Int64()
	return int(i), nil
}
