package lang

import (
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/compressc/compressc/internal/schema"
)

// Kind is the sort of a block.
type Kind int

// The kinds of blocks.
const (
	KindVerb Kind = iota
	KindModel
	KindData
	KindAdapter
	KindSweep
	KindGate
	// KindSelect is whatever chooses among the points of a block: a select, and a
	// search, which tries few of them.
	KindSelect
	KindOutput
	KindVariable
	// KindLocal is whatever stands for an expression: a local, an argument that a
	// module is called with, an output of a called module, the values of a
	// for_each.
	KindLocal
	// KindModule is a call of a module.
	KindModule
)

// Pipeline is a checked text. It is immutable once loaded.
type Pipeline struct {
	// Dir is the folder that relative paths start from.
	Dir      string
	Settings Settings
	// Root is the pipeline as a module; what it calls hangs below it.
	Root *Module
	// Blocks in declaration order: by file name, then by line, those of modules
	// behind those of their caller. Of a block with for_each each instance is one.
	Blocks []*Block
	// Files by the names diagnostics use, for snippets.
	Files map[string]*hcl.File
	// Faulty is set where loading found an error, in a block or elsewhere.
	Faulty bool
	// Functions of expressions.
	Functions map[string]function.Function

	index map[string]*Block
	// groups are the instances of blocks with for_each, by the address without
	// the key.
	groups map[string][]*Block
}

// Settings are those of the pipeline block.
type Settings struct {
	RequiredVersion string
	Description     string
	// Seed is the default of every block's seed.
	Seed uint64
}

// Lookup returns the block at an address such as "prune.sparse" or
// `module.m["a"].prune.x["k"]`, or nil.
func (p *Pipeline) Lookup(addr string) *Block { return p.index[addr] }

// Group returns the blocks that an address stands for: one block, all instances
// of a block with for_each, or all blocks of a module and of those below it.
func (p *Pipeline) Group(addr string) []*Block {
	if b := p.index[addr]; b != nil {
		return []*Block{b}
	}
	if group := p.groups[addr]; group != nil {
		return group
	}
	var list []*Block
	if strings.HasPrefix(addr, "module.") {
		for _, b := range p.Blocks {
			if strings.HasPrefix(b.Addr(), addr+".") || strings.HasPrefix(b.Addr(), addr+"[") {
				list = append(list, b)
			}
		}
	}
	return list
}

// Block is one block of the pipeline.
type Block struct {
	Kind Kind
	// Type is the word that begins the block: "prune", "model", "data".
	Type string
	// Method is the first of two labels: the method of a verb or search, the kind
	// of data, the kind of a sweep.
	Method string
	Name   string
	Body   *Body
	// Module is the module whose text the block is part of.
	Module *Module
	// Keyed is set for instances of a block with for_each: Key is theirs. Of a
	// for_each whose value is not known for lack of a variable there is one
	// instance, without a known key.
	Keyed      bool
	Key        string
	KeyUnknown bool

	// Pass and Schema say what the arguments mean: Pass of verbs, Schema of
	// verbs, model and data.
	Pass   *Method
	Schema *schema.Schema

	// Requires are the gates of the argument requires.
	Requires []*Block
	// From is what a select chooses among, nil when the block is broken.
	From *Block

	// Value is a variable's value: unknown of its type if it is required and
	// none was given.
	Value cty.Value
	// Sensitive variables are for the credentials of sources.
	Sensitive bool
	Doc       string

	// Broken blocks have been reported and say too little to be checked further.
	Broken bool
	// Damaged blocks have been reported for something in their body: the rest of
	// it can be checked, and they yield nothing.
	Damaged bool

	// Validations are those of a variable and of the argument that gives it its
	// value.
	Validations []Validation

	inCycle bool
	addr    string
	// forEach is the attribute of that name, and each what each.value refers to.
	forEach *Attr
	each    *Block
	// typ and defaults are the type of a variable; NilType takes all.
	typ      cty.Type
	defaults *typeexpr.Defaults
	// valueAt is where a file gives a variable its value.
	valueAt *hcl.Range
}

// Addr is the block's address: the module's path, type and name, and the key.
func (b *Block) Addr() string {
	if b.addr == "" { // not part of a loaded pipeline
		return b.LocalAddr()
	}
	return b.addr
}

// LocalAddr is the address within the block's module, without the key.
func (b *Block) LocalAddr() string {
	if b.Kind == KindVariable {
		return "var." + b.Name
	}
	return b.Type + "." + b.Name
}

// setAddr fixes the address once module and key are known.
func (b *Block) setAddr() {
	b.addr = b.Module.prefix() + b.LocalAddr() + b.keyText()
}

func (b *Block) keyText() string {
	switch {
	case b.KeyUnknown:
		return "[?]"
	case b.Keyed:
		return "[" + strconv.Quote(b.Key) + "]"
	}
	return ""
}

// Expr is the expression that a block of KindLocal stands for, or an output's.
func (b *Block) Expr() *Attr {
	if b.Kind == KindLocal && b.Type != "output" {
		return b.Body.Attrs[0]
	}
	return b.Body.Attr("value")
}

// IsSearch reports whether b chooses without trying every candidate.
func (b *Block) IsSearch() bool { return b.Kind == KindSelect && b.Type == "search" }

// IsEach reports whether b stands for the values of a for_each: of its value a
// reference takes the one of its own key.
func (b *Block) IsEach() bool { return b.Kind == KindLocal && b.Type == "each" }

// Yields says what a reference to b is a value of.
func (b *Block) Yields() Yield {
	switch b.Kind {
	case KindModel, KindSelect:
		return YieldsModel
	case KindData:
		return YieldsData
	case KindAdapter:
		return YieldsAdapter
	case KindVerb:
		return LookupVerb(b.Type).Yields
	}
	return YieldsNothing
}

// IsRoot reports whether b is wanted for itself.
func (b *Block) IsRoot() bool {
	switch b.Kind {
	case KindGate, KindSelect, KindOutput: // an output of a called module is of KindLocal
		return true
	case KindVerb:
		return b.Type == "evaluate" || b.Type == "export"
	}
	return false
}

// Body is a block's content, native or JSON.
type Body struct {
	Type   string
	Labels []string
	// Attrs and Blocks in source order.
	Attrs  []*Attr
	Blocks []*Body
	// DefRange covers the block's type and labels.
	DefRange hcl.Range
}

// Attr returns the named attribute, or nil.
func (b *Body) Attr(name string) *Attr {
	for _, a := range b.Attrs {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// All calls f for the attributes of b and of its nested blocks.
func (b *Body) All(f func(*Attr)) {
	for _, a := range b.Attrs {
		f(a)
	}
	for _, n := range b.Blocks {
		n.All(f)
	}
}

// Attr is one argument as it is written.
type Attr struct {
	Name      string
	Expr      hcl.Expression
	Range     hcl.Range
	NameRange hcl.Range
	// Refs are the references of Expr in source order.
	Refs []Ref
	// Empty are references to all instances of what has none, as paths in the
	// sense of Ref.In.
	Empty [][]string
	// Owner is the block in whose place the expression stands: its module says
	// what names mean, its key what each is.
	Owner *Block
	// UsesEach and UsesPath are set where the expression refers to each.key and
	// path.
	UsesEach, UsesPath bool
	// Rest is what follows where the expression is one reference and nothing
	// else; Plain says that it is.
	Rest  hcl.Traversal
	Plain bool
	// Broken attributes have been reported and cannot be evaluated.
	Broken bool
}

// Sensitive reports whether a sensitive variable is part of the value, by way
// of locals too: it must not be shown then.
func (a *Attr) Sensitive() bool {
	for _, r := range a.Refs {
		if r.Block.Sensitive {
			return true
		}
		if r.Block.Kind == KindLocal && !r.Block.inCycle {
			if e := r.Block.Expr(); e != nil && e.Sensitive() {
				return true
			}
		}
	}
	return false
}

// Ref is a resolved reference.
type Ref struct {
	Block *Block
	// All is set for all.verb.name, the list over the block's points.
	All bool
	// Attr is the attribute that follows the block's name, "" if none does: of a
	// sweep the axis, of a report the metric.
	Attr string
	// In is where expressions see the value: ["prune", "x"], with the key of an
	// instance behind it, ["module", "m", "out"], ["all", "evaluate", "ppl"].
	In    []string
	Range hcl.Range
}

func (r Ref) equal(o Ref) bool {
	return r.Block == o.Block && r.All == o.All && r.Attr == o.Attr && r.Range == o.Range && slices.Equal(r.In, o.In)
}

// Path spells the reference as it is written: "evaluate.ppl.perplexity".
func (r Ref) Path() string {
	var s strings.Builder
	for i, name := range r.In {
		switch {
		case i == 0:
			s.WriteString(name)
		case hclsyntax.ValidIdentifier(name) && !(r.Block.Keyed && i == len(r.In)-1 && !r.Block.IsEach()):
			s.WriteString("." + name)
		default:
			s.WriteString("[" + strconv.Quote(name) + "]")
		}
	}
	if r.Attr != "" && !r.All {
		s.WriteString("." + r.Attr)
	}
	return s.String()
}

// Key spells the name of an attribute: bare where it can be.
func Key(name string) string {
	if hclsyntax.ValidIdentifier(name) {
		return name
	}
	return strconv.Quote(name)
}
