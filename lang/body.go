package lang

import (
	"cmp"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/compressc/compressc/internal/schema"
)

// readBody makes the neutral form of a body. Native syntax tells attributes
// and blocks apart by itself, with any number of labels; JSON needs to be told
// what is a block, which is what the schema is for (nil for none).
func readBody(typ string, labels []string, def hcl.Range, body hcl.Body, s *schema.Schema) (*Body, hcl.Diagnostics) {
	b := &Body{Type: typ, Labels: labels, DefRange: def}
	if native, ok := body.(*hclsyntax.Body); ok {
		readNative(b, native)
		return b, nil
	}
	var header hcl.BodySchema
	if typ == "variable" {
		header.Blocks = append(header.Blocks, hcl.BlockHeaderSchema{Type: "validation"})
	}
	if s != nil {
		if s.Overrides {
			header.Blocks = append(header.Blocks, hcl.BlockHeaderSchema{Type: "override"})
		}
		for _, n := range s.Blocks {
			h := hcl.BlockHeaderSchema{Type: n.Name}
			if len(n.Labels) > 0 {
				h.LabelNames = []string{"label"}
			}
			header.Blocks = append(header.Blocks, h)
		}
	}
	content, rest, diags := body.PartialContent(&header)
	for _, n := range content.Blocks {
		var inner *schema.Schema
		if s != nil {
			if known := s.Block(n.Type); known != nil {
				inner = known.Schema
			}
		}
		nested, d := readBody(n.Type, n.Labels, n.DefRange, n.Body, inner)
		diags = append(diags, d...)
		b.Blocks = append(b.Blocks, nested)
	}
	attrs, d := rest.JustAttributes()
	diags = append(diags, d...)
	for _, a := range attrs {
		b.Attrs = append(b.Attrs, &Attr{Name: a.Name, Expr: a.Expr, Range: a.Range, NameRange: a.NameRange})
	}
	b.sort()
	return b, diags
}

func readNative(b *Body, native *hclsyntax.Body) {
	for _, a := range native.Attributes {
		b.Attrs = append(b.Attrs, &Attr{Name: a.Name, Expr: a.Expr, Range: a.SrcRange, NameRange: a.NameRange})
	}
	b.sort()
	for _, n := range native.Blocks {
		inner := &Body{Type: n.Type, Labels: n.Labels, DefRange: n.DefRange()}
		readNative(inner, n.Body)
		b.Blocks = append(b.Blocks, inner)
	}
}

// sort restores source order, which the parsers' maps lose.
func (b *Body) sort() {
	slices.SortFunc(b.Attrs, func(x, y *Attr) int {
		return cmp.Or(cmp.Compare(x.Range.Start.Byte, y.Range.Start.Byte), cmp.Compare(x.Name, y.Name))
	})
}

// take removes the named attribute and returns it, nil if there is none.
func (b *Body) take(name string) *Attr {
	a := b.Attr(name)
	b.Attrs = slices.DeleteFunc(b.Attrs, func(x *Attr) bool { return x == a })
	return a
}

// clone returns a copy whose attributes can be resolved anew.
func (b *Body) clone() *Body {
	c := *b
	c.Attrs = make([]*Attr, len(b.Attrs))
	for i, a := range b.Attrs {
		c.Attrs[i] = a.clone()
	}
	c.Blocks = make([]*Body, len(b.Blocks))
	for i, n := range b.Blocks {
		c.Blocks[i] = n.clone()
	}
	return &c
}

func (a *Attr) clone() *Attr {
	c := *a
	return &c
}

// own makes b the place of its expressions.
func (b *Block) own() {
	b.Body.All(func(a *Attr) { a.Owner = b })
}
