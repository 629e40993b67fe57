package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/internal/search"
)

// blockType is what is fixed of the blocks of one type.
type blockType struct {
	name   string
	labels []string
	kind   Kind
	// example shows how the block begins.
	example string
}

var blockTypes = func() []blockType {
	list := []blockType{
		{name: "pipeline", example: "pipeline { … }"},
		{name: "locals", example: "locals { … }"},
		{"variable", []string{"name"}, KindVariable, `variable "x" { … }`},
		{"output", []string{"name"}, KindOutput, `output "x" { … }`},
		{"sweep", []string{"kind", "name"}, KindSweep, `sweep "grid" "x" { … }`},
		{"select", []string{"name"}, KindSelect, `select "best" { … }`},
		{"search", []string{"method", "name"}, KindSelect, `search "bisect" "best" { … }`},
		{"gate", []string{"name"}, KindGate, `gate "quality" { … }`},
		{"model", []string{"name"}, KindModel, `model "base" { … }`},
		{"data", []string{"kind", "name"}, KindData, `data "text" "calib" { … }`},
		{"adapter", []string{"name"}, KindAdapter, `adapter "tuned" { … }`},
		{"module", []string{"name"}, KindModule, `module "recipe" { … }`},
	}
	for _, v := range Verbs {
		list = append(list, blockType{v.Name, []string{"method", "name"}, KindVerb, v.Name + ` "method" "name" { … }`})
	}
	return list
}()

func lookupBlockType(name string) *blockType {
	for i := range blockTypes {
		if blockTypes[i].name == name {
			return &blockTypes[i]
		}
	}
	return nil
}

func blockTypeNames() []string {
	names := make([]string, len(blockTypes))
	for i, t := range blockTypes {
		names[i] = t.name
	}
	return names
}

// SweepKinds are the kinds of sweeps.
var SweepKinds = []string{"grid", "random", "list"}

// SweepArgs are the arguments of a sweep that are no axes.
var SweepArgs = []string{"where", "samples", "seed"}

func (l *loader) addFile(f *hcl.File) {
	if native, ok := f.Body.(*hclsyntax.Body); ok {
		for _, a := range sortedAttributes(native.Attributes) {
			l.errorAt(a.SrcRange, "Unsupported argument",
				"Only blocks stand at the top of a file. To name a value, write it into a locals block.")
		}
		for _, b := range native.Blocks {
			l.addBlock(b.Type, b.Labels, b.DefRange(), b.Body)
		}
		return
	}
	var root hcl.BodySchema
	for _, t := range blockTypes {
		root.Blocks = append(root.Blocks, hcl.BlockHeaderSchema{Type: t.name, LabelNames: t.labels})
	}
	content, diags := f.Body.Content(&root)
	l.diags = append(l.diags, diags...)
	for _, b := range content.Blocks {
		l.addBlock(b.Type, b.Labels, b.DefRange, b.Body)
	}
}

func sortedAttributes(m hclsyntax.Attributes) []*hclsyntax.Attribute {
	list := make([]*hclsyntax.Attribute, 0, len(m))
	for _, a := range m {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *hclsyntax.Attribute) int { return a.SrcRange.Start.Byte - b.SrcRange.Start.Byte })
	return list
}

func (l *loader) addBlock(typ string, labels []string, def hcl.Range, body hcl.Body) {
	t := lookupBlockType(typ)
	if t == nil {
		l.errorAt(def, "Unsupported block type", "There are no blocks of type %q.%s", typ, didyoumean.Hint(typ, blockTypeNames()))
		return
	}
	if len(labels) != len(t.labels) {
		l.errorAt(def, "Wrong number of labels", "A block of type %q has %s: %s", typ, labelsInWords(t.labels), t.example)
		l.addLost(t, typ, labels, def, body)
		return
	}
	switch typ {
	case "pipeline":
		l.addSettings(def, body)
		return
	case "locals":
		l.addLocals(def, body)
		return
	}
	b := &Block{Kind: t.kind, Type: typ, Name: labels[len(labels)-1]}
	if len(labels) == 2 {
		b.Method = labels[0]
	}
	if !hclsyntax.ValidIdentifier(b.Name) {
		l.errorAt(def, "Invalid name", "The name %q of this block is no identifier: letters, digits, _ and -, and no digit first.", b.Name)
		l.addLost(t, typ, labels, def, body)
		return
	}
	b.Schema = l.blockSchema(b, def)
	content, diags := readBody(typ, labels, def, body, b.Schema)
	l.diags = append(l.diags, diags...)
	b.Body = content
	b.Broken = b.Broken || diags.HasErrors()
	if slices.Contains(forEachKinds, b.Kind) {
		b.forEach = content.take("for_each")
	}
	l.add(b)
}

// addLost keeps the name of a block whose labels are wrong, so that references
// to it are not reported as well.
func (l *loader) addLost(t *blockType, typ string, labels []string, def hcl.Range, body hcl.Body) {
	if len(labels) == 0 || len(t.labels) == 0 {
		return
	}
	b := &Block{Kind: t.kind, Type: typ, Name: labels[len(labels)-1], Broken: true}
	if l.module.entries[b.LocalAddr()] != nil {
		return
	}
	b.Body, _ = readBody(typ, labels, def, body, nil)
	b.forEach = b.Body.take("for_each")
	l.add(b)
}

// blockSchema finds the schema of blocks that have one and checks the kind or
// method on the way.
func (l *loader) blockSchema(b *Block, def hcl.Range) *schema.Schema {
	kinds := func(what string, known []string) {
		if slices.Contains(known, b.Method) {
			return
		}
		b.Broken = true
		are := "Known are"
		if len(known) == 1 {
			are = "Known is"
		}
		l.errorAt(def, "Unknown "+what, "There is no %s %q.%s %s %s.", what, b.Method,
			didyoumean.Hint(b.Method, known), are, strings.Join(known, ", "))
	}
	switch b.Kind {
	case KindModel:
		return modelSchema
	case KindData:
		kinds("data kind", DataKinds)
		return dataSchema
	case KindAdapter:
		return adapterSchema
	case KindSweep:
		kinds("sweep kind", SweepKinds)
	case KindSelect:
		if b.IsSearch() {
			kinds("search method", search.Names())
		}
	case KindVerb:
		names := l.opt.Registry.methodNames(b.Type)
		if len(names) == 0 {
			b.Broken = true
			l.errorAt(def, "No such method", "There are no methods of %s in this version. Verbs with methods are %s.", b.Type, l.opt.Registry.verbs())
			return nil
		}
		kinds(b.Type+" method", names)
		if b.Pass = l.opt.Registry.Lookup(b.Type, b.Method); b.Pass != nil {
			return b.Pass.Schema
		}
	}
	return nil
}

// add declares a block in the module that is being read.
func (l *loader) add(b *Block) {
	m := l.module
	b.Module = m
	name := b.LocalAddr()
	if first := m.entries[name]; first != nil {
		l.errorAt(b.Body.DefRange, "Duplicate name", "%s was declared before, at %s. Names are unique among the blocks of type %s.",
			name, where(first.declared.Body.DefRange), b.Type)
		return
	}
	b.own()
	m.entries[name] = &entry{declared: b}
	m.blocks = append(m.blocks, b)
}

func (l *loader) addLocals(def hcl.Range, body hcl.Body) {
	content, diags := readBody("locals", nil, def, body, nil)
	l.diags = append(l.diags, diags...)
	for _, n := range content.Blocks {
		l.errorAt(n.DefRange, "Unsupported block", "A locals block holds arguments only.")
	}
	for _, a := range content.Attrs {
		l.add(&Block{Kind: KindLocal, Type: "local", Name: a.Name,
			Body: &Body{Type: "locals", Attrs: []*Attr{a}, DefRange: a.NameRange}})
	}
}

func labelsInWords(labels []string) string {
	switch len(labels) {
	case 0:
		return "no labels"
	case 1:
		return "one label, its " + labels[0]
	}
	return fmt.Sprintf("two labels, its %s and its %s", labels[0], labels[1])
}

func where(r hcl.Range) string { return fmt.Sprintf("%s line %d", r.Filename, r.Start.Line) }
