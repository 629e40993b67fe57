package lang

import (
	"github.com/hashicorp/hcl/v2"
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
	KindSweep
	KindGate
	KindSelect
	KindOutput
	KindVariable
	KindLocal
)

// Pipeline is a checked text. It is immutable once loaded.
type Pipeline struct {
	// Dir is the folder that relative paths start from.
	Dir      string
	Settings Settings
	// Blocks in declaration order: by file name, then by line.
	Blocks []*Block
	// Files by the names diagnostics use, for snippets.
	Files map[string]*hcl.File
	// Functions of expressions.
	Functions map[string]function.Function

	index map[string]*Block
}

// Settings are those of the pipeline block.
type Settings struct {
	RequiredVersion string
	Description     string
	// Seed is the default of every block's seed.
	Seed uint64
}

// Lookup returns the block at an address such as "prune.sparse", or nil.
func (p *Pipeline) Lookup(addr string) *Block { return p.index[addr] }

// Block is one block of the pipeline.
type Block struct {
	Kind Kind
	// Type is the word that begins the block: "prune", "model", "data".
	Type string
	// Method is the first of two labels: the method of a verb, the kind of data,
	// the kind of a sweep.
	Method string
	Name   string
	Body   *Body

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

	inCycle bool
}

// Addr is the block's address.
func (b *Block) Addr() string {
	switch b.Kind {
	case KindVariable:
		return "var." + b.Name
	case KindLocal:
		return "local." + b.Name
	}
	return b.Type + "." + b.Name
}

// Yields says what a reference to b is a value of.
func (b *Block) Yields() Yield {
	switch b.Kind {
	case KindModel, KindSelect:
		return YieldsModel
	case KindData:
		return YieldsData
	case KindVerb:
		return LookupVerb(b.Type).Yields
	}
	return YieldsNothing
}

// IsRoot reports whether b is wanted for itself.
func (b *Block) IsRoot() bool {
	switch b.Kind {
	case KindGate, KindSelect, KindOutput:
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
	// Broken attributes have been reported and cannot be evaluated.
	Broken bool
}

// Sensitive reports whether a sensitive variable is part of the value, by way
// of locals too: it must not be shown then.
func (a *Attr) Sensitive() bool {
	for _, r := range a.Refs {
		if r.Block.Sensitive || r.Block.Kind == KindLocal && !r.Block.inCycle && r.Block.Body.Attrs[0].Sensitive() {
			return true
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
	Attr  string
	Range hcl.Range
}

// Path spells the reference: "evaluate.ppl.perplexity".
func (r Ref) Path() string {
	s := r.Block.Addr()
	if r.All {
		return "all." + s
	}
	if r.Attr != "" {
		s += "." + r.Attr
	}
	return s
}
