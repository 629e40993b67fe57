package lang

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Expression reads an expression as it could stand in an output of the
// pipeline. The block returned is like an output, and no part of the pipeline;
// its text is added to Files under the given name, for snippets.
func (p *Pipeline) Expression(src, name string) (*Block, hcl.Diagnostics) {
	p.Files[name] = &hcl.File{Body: hcl.EmptyBody(), Bytes: []byte(src)}
	expr, diags := hclsyntax.ParseExpression([]byte(src), name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	b := &Block{Kind: KindOutput, Type: "output", Name: "expression", Module: p.Root,
		Body: &Body{Type: "output", Attrs: []*Attr{{Name: "value", Expr: expr, Range: expr.Range(), NameRange: expr.Range()}}, DefRange: expr.Range()}}
	b.own()
	b.setAddr()
	l := &loader{Pipeline: p, module: p.Root}
	l.resolveAttr(b, b.Body.Attrs[0])
	l.checkWhereRefsStand(b)
	return b, sortDiagnostics(append(diags, l.diags...))
}
