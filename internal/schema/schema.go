package schema

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/zclconf/go-cty/cty"
)

// Kind says which values an argument takes.
type Kind int

// The kinds.
const (
	String Kind = iota
	Bool
	Int
	Float
	StringList
	IntList
	FloatList
	// Reference is a model, data, an adapter: what another block yields.
	Reference
	// ReferenceList is several of them, in order.
	ReferenceList
	// ObjectList is objects whose attributes have a schema of their own, in order.
	ObjectList
	// Custom is a scalar with a parser of its own.
	Custom
)

// Scalar is implemented by pointers to argument types that parse themselves,
// such as a sparsity that is a fraction or "2:4". ParseArg gets a known value
// that is not null and explains in its error what is allowed. The value type
// itself has the method ArgType() string, the kind's name in documentation,
// and should encode to JSON in one canonical way.
type Scalar interface {
	ParseArg(v cty.Value) error
}

// Reserved are the names the language keeps for itself in every verb block.
var Reserved = []string{"enabled", "override", "requires", "seed"}

// Arg is one argument.
type Arg struct {
	Name string
	Kind Kind
	// RefKind is "model", "data" or "adapter" for references and lists of them.
	RefKind string
	// Object says what the objects of a list hold.
	Object   *Schema
	Required bool
	// Default is cty.NilVal where there is none.
	Default cty.Value
	Doc     string
	// Example is a value as one would write it, "" where any will do.
	Example string
	Enum    []string
	// Min and Max are nil where there is no bound.
	Min, Max                   *float64
	ExclusiveMin, ExclusiveMax bool
	PerModule                  bool
	// Deprecated is the advice for users of the argument, "" if it is current.
	Deprecated string

	typeName string
	typ      reflect.Type
	index    []int
}

// TypeName is the argument's type in words: "number", "list of strings",
// "model", `number or "N:M"`.
func (a *Arg) TypeName() string { return a.typeName }

// DefaultText spells the default as one would write it, "" if there is none.
func (a *Arg) DefaultText() string {
	if a.Default == cty.NilVal {
		return ""
	}
	return Spell(a.Default)
}

// Block is a nested block.
type Block struct {
	Name string
	// Labels are the labels the block may have, none where it has no label. Which
	// one it has is stored in the field tagged chosen:"true" of its struct; the
	// first stands where the block is absent.
	Labels   []string
	Required bool
	Doc      string
	Schema   *Schema

	index  []int
	chosen []int // in its struct; nil: nowhere
}

// Admits reports whether the block may have the label, "" for none.
func (b *Block) Admits(label string) bool {
	return label == "" && len(b.Labels) == 0 || slices.Contains(b.Labels, label)
}

// LabelText lists the labels in quotes: "adamw" or "adamp".
func (b *Block) LabelText() string {
	quoted := make([]string, len(b.Labels))
	for i, l := range b.Labels {
		quoted[i] = strconv.Quote(l)
	}
	return didyoumean.Join(quoted)
}

// Schema is what a block's body may hold. It is immutable and safe for
// concurrent use.
type Schema struct {
	// Args in the order of the struct's fields.
	Args   []*Arg
	Blocks []*Block
	// Overrides says whether override blocks are allowed.
	Overrides bool

	typ       reflect.Type
	overrides []int
	argIndex  map[string]*Arg
}

// Arg returns the named argument, or nil.
func (s *Schema) Arg(name string) *Arg { return s.argIndex[name] }

// Block returns the named nested block, or nil.
func (s *Schema) Block(name string) *Block {
	for _, b := range s.Blocks {
		if b.Name == name {
			return b
		}
	}
	return nil
}

// ArgNames returns the arguments' names in field order.
func (s *Schema) ArgNames() []string {
	names := make([]string, len(s.Args))
	for i, a := range s.Args {
		names[i] = a.Name
	}
	return names
}

// PerModule returns the names of the arguments an override may set.
func (s *Schema) PerModule() []string {
	var names []string
	for _, a := range s.Args {
		if a.PerModule {
			names = append(names, a.Name)
		}
	}
	return names
}

// Spell writes a value as it would be written in a pipeline, shortened where
// it is long. References and objects are named by their type only.
func Spell(v cty.Value) string {
	switch {
	case v == cty.NilVal:
		return "nothing"
	case !v.IsKnown():
		if t := v.Type(); t.IsPrimitiveType() {
			return article(t.FriendlyName()) + " that is not known yet"
		}
		return "a value that is not known yet"
	case v.IsNull():
		return "null"
	}
	t := v.Type()
	switch {
	case t == cty.String:
		s := v.AsString()
		if r := []rune(s); len(r) > 60 {
			s = string(r[:57]) + "..."
		}
		return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
	case t == cty.Number:
		f := v.AsBigFloat()
		if f.IsInt() && f.MantExp(nil) < 64 {
			return f.Text('f', 0)
		}
		return f.Text('g', -1)
	case t == cty.Bool:
		if v.True() {
			return "true"
		}
		return "false"
	case t.IsListType() || t.IsTupleType() || t.IsSetType():
		var parts []string
		for it := v.ElementIterator(); it.Next(); {
			if len(parts) == 8 {
				parts = append(parts, "...")
				break
			}
			_, e := it.Element()
			parts = append(parts, Spell(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if r, ok := RefOf(v); ok {
		return article(r.kind())
	}
	return article(t.FriendlyName())
}

// plural is what several of a kind are called.
func plural(noun string) string {
	if noun == "data" {
		return noun
	}
	return noun + "s"
}

func article(noun string) string {
	if noun == "data" {
		return noun
	}
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}
