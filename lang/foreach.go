package lang

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/compressc/compressc/internal/schema"
)

// forEachKinds are the kinds of blocks that for_each may multiply.
var forEachKinds = []Kind{KindVerb, KindModel, KindData, KindAdapter, KindGate, KindSelect, KindModule}

// instances returns the instances of a declared block: itself without
// for_each, else one for each key, in the order of the keys. Where for_each is
// wrong there is one, broken, so that the rest of the block is checked.
func (l *loader) instances(b *Block) []*Block {
	if b.forEach == nil {
		return []*Block{b}
	}
	each := &Block{Kind: KindLocal, Type: "each", Name: b.LocalAddr(), Module: b.Module,
		Body: &Body{Type: "each", Attrs: []*Attr{b.forEach}, DefRange: b.forEach.NameRange}}
	each.own()
	each.addr = b.Module.prefix() + b.LocalAddr() + ".for_each"
	l.Blocks = append(l.Blocks, each)
	b.Keyed, b.each = true, each
	b.Module.keyed = true
	keys, known, ok := l.keys(b.forEach, b)
	switch {
	case !ok:
		b.Broken, each.Broken = true, true
		b.forEach.Broken = true
		fallthrough
	case !known:
		b.KeyUnknown = true
		return []*Block{b}
	}
	if len(l.Blocks)+len(keys) > MaxBlocks {
		l.errorAt(b.forEach.Expr.Range(), "Too many blocks", "The pipeline has more than %d blocks.", MaxBlocks)
		return nil
	}
	list := make([]*Block, len(keys))
	for i, key := range keys {
		c := *b
		c.Body = b.Body.clone()
		c.Key = key
		c.own()
		list[i] = &c
	}
	return list
}

// keys evaluates for_each. known is false where a variable has no value yet.
func (l *loader) keys(a *Attr, b *Block) (keys []string, known, ok bool) {
	s := &static{l: l, busy: map[*Block]bool{}}
	v, diags := s.value(a.Expr, b.each)
	fail := func(format string, args ...any) ([]string, bool, bool) {
		l.errorAt(a.Expr.Range(), "Invalid for_each", format, args...)
		return nil, false, false
	}
	t := v.Type()
	switch {
	case s.lost:
		return nil, false, false // resolve reports the reference
	case diags.HasErrors():
		l.diags = append(l.diags, diags...)
		return nil, false, false
	case v.IsNull() && v.IsKnown():
		return fail("The value is null. Give a map, or a set of strings; an empty one makes no block: {}.")
	case v.IsKnown() && (t.IsTupleType() || t.IsListType()):
		return fail("A list has no keys to name the blocks by. Make it a set: for_each = toset([…]), or a map.")
	case v.IsKnown() && !t.IsSetType() && !t.IsMapType() && !t.IsObjectType():
		return fail("The value is %s, and must be a map or a set of strings.", schema.Spell(v))
	case !v.IsKnown() || t.IsSetType() && !v.IsWhollyKnown():
		if len(s.blocks) == 0 {
			return nil, false, true
		}
		return fail("The keys must be known before anything is planned, so that they may depend on variables, locals and functions, but not on %s. Values may: { name = %s }.", s.blocks[0], s.blocks[0])
	}
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		if t.IsSetType() {
			text, err := convert.Convert(e, cty.String)
			if err != nil || text.IsNull() {
				return fail("The elements of the set are the keys, and must be strings, not %s.", schema.Spell(e))
			}
			k = text
		}
		keys = append(keys, k.AsString())
	}
	slices.Sort(keys)
	return keys, true, true
}

// EachValue is the element of a for_each's value that belongs to b; of a set
// it is the key itself.
func (b *Block) EachValue(all cty.Value) (cty.Value, error) {
	if b.KeyUnknown || !all.IsKnown() {
		return cty.DynamicVal, nil
	}
	t := all.Type()
	switch {
	case t.IsSetType():
		return cty.StringVal(b.Key), nil
	case t.IsMapType() && all.HasIndex(cty.StringVal(b.Key)).True():
		return all.Index(cty.StringVal(b.Key)), nil
	case t.IsObjectType() && t.HasAttribute(b.Key):
		return all.GetAttr(b.Key), nil
	}
	return cty.NilVal, fmt.Errorf("for_each has no element %q here", b.Key)
}

// EachKey is each.key of b.
func (b *Block) EachKey() cty.Value {
	if b.KeyUnknown {
		return cty.UnknownVal(cty.String)
	}
	return cty.StringVal(b.Key)
}

// static evaluates expressions while the pipeline is being read, as far as
// they depend on variables: what blocks yield is not known.
type static struct {
	l *loader
	// busy are the locals under way, to end cycles.
	busy map[*Block]bool
	// blocks are the references to what is not known, as they are written.
	blocks []string
	// lost is set by references that lead nowhere or to what is broken.
	lost bool
}

// value evaluates an expression in the place of owner.
func (s *static) value(expr hcl.Expression, owner *Block) (cty.Value, hcl.Diagnostics) {
	tree := ValueTree{}
	for _, t := range expr.Variables() {
		names := steps(t)
		root := names[0]
		switch {
		case root == "path":
			tree.Set([]string{"path"}, owner.Module.PathValue())
		case root == "each" && owner.Keyed && len(names) > 1:
			v := owner.EachKey()
			if names[1] == "value" {
				all, diags := s.value(owner.forEach.Expr, owner.each)
				if diags.HasErrors() {
					s.lost = true
				}
				var err error
				if v, err = owner.EachValue(all); err != nil {
					s.lost = true
					v = cty.DynamicVal
				}
			}
			tree.Set([]string{"each", names[1]}, v)
		case (root == "var" || root == "local") && len(names) > 1:
			e := owner.Module.entries[root+"."+names[1]]
			if e == nil {
				s.lost = true
				continue
			}
			tree.Set(names[:2], s.named(e.declared))
		case len(names) == 2 && s.group(names, owner, tree):
		default:
			path := &Ref{Block: &Block{}, In: names}
			s.blocks = append(s.blocks, path.Path())
			tree.Set(names[:1], cty.DynamicVal)
		}
	}
	if s.lost {
		return cty.DynamicVal, nil
	}
	return expr.Value(&hcl.EvalContext{Variables: tree.Variables(), Functions: s.l.Functions})
}

// named is the value of a variable or local.
func (s *static) named(b *Block) cty.Value {
	if b.Broken || s.busy[b] {
		s.lost = true
		return cty.DynamicVal
	}
	if b.Kind == KindVariable {
		return b.Value
	}
	s.busy[b] = true
	defer delete(s.busy, b)
	a := b.Expr()
	v, diags := s.value(a.Expr, a.Owner)
	if diags.HasErrors() {
		s.lost = true
		return cty.DynamicVal
	}
	c, err := b.Convert(v)
	if err != nil {
		s.lost = true
		return cty.DynamicVal
	}
	return c
}

// group sets the value of a name that stands for all instances of a block with
// for_each: an object with their keys, whose values are not known.
func (s *static) group(names []string, owner *Block, tree ValueTree) bool {
	e := owner.Module.entries[names[0]+"."+names[1]]
	if e == nil || e.declared.forEach == nil || s.busy[e.declared] {
		return false
	}
	s.busy[e.declared] = true
	defer delete(s.busy, e.declared)
	v, diags := s.value(e.declared.forEach.Expr, &Block{Module: owner.Module})
	t := v.Type()
	if diags.HasErrors() || !v.IsKnown() || v.IsNull() || !t.IsObjectType() && !t.IsMapType() && !(t.IsSetType() && t.ElementType() == cty.String && v.IsWhollyKnown()) {
		return false
	}
	attrs := map[string]cty.Value{}
	for it := v.ElementIterator(); it.Next(); {
		k, _ := it.Element()
		attrs[k.AsString()] = cty.DynamicVal
	}
	tree.Set(names, cty.ObjectVal(attrs))
	return true
}
