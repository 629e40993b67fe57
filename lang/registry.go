package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
)

// Yield says what a reference to a block is a value of.
type Yield int

// What blocks yield.
const (
	YieldsNothing Yield = iota
	YieldsModel
	YieldsData
	YieldsReport
	YieldsAdapter
	YieldsAllocation
)

// Verb is a block type with a method and a name.
type Verb struct {
	Name   string
	Yields Yield
	Doc    string
}

// Verbs in the order of the documentation.
var Verbs = []Verb{
	{"prune", YieldsModel, "sets weights to zero"},
	{"retrain", YieldsModel, "heals a model by training low-rank updates, keeping its zeros"},
	{"quantize", YieldsModel, "stores weights as integer codes"},
	{"compensate", YieldsModel, "adds side paths that make up for a loss"},
	{"merge", YieldsModel, "combines models into one"},
	{"transform", YieldsModel, "rewrites a model without changing what it computes"},
	{"train", YieldsModel, "trains a model from its weights or from scratch"},
	{"allocate", YieldsAllocation, "distributes a budget over modules"},
	{"evaluate", YieldsReport, "measures a model"},
	{"export", YieldsNothing, "writes a model in a format that other tools open"},
}

// LookupVerb returns the verb of that name, or nil.
func LookupVerb(name string) *Verb {
	for i := range Verbs {
		if Verbs[i].Name == name {
			return &Verbs[i]
		}
	}
	return nil
}

// Method is a pass with its schema.
type Method struct {
	*passes.Pass
	Schema *schema.Schema
}

// Registry holds the methods of each verb. It is immutable and safe for
// concurrent use.
type Registry struct {
	methods map[string][]*Method
}

// NewRegistry returns the registry of the passes. An error is a programming
// mistake in one of them: an unknown verb, a name used twice, an argument
// struct that makes no schema.
func NewRegistry(list ...*passes.Pass) (*Registry, error) {
	r := &Registry{methods: map[string][]*Method{}}
	for _, p := range list {
		if LookupVerb(p.Verb) == nil {
			return nil, fmt.Errorf("method %s: there is no verb %q", p.Method, p.Verb)
		}
		if r.Lookup(p.Verb, p.Method) != nil {
			return nil, fmt.Errorf("%s %s is registered twice", p.Verb, p.Method)
		}
		s, err := schema.For(p.NewArgs())
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", p.Verb, p.Method, err)
		}
		r.methods[p.Verb] = append(r.methods[p.Verb], &Method{p, s})
	}
	return r, nil
}

// Lookup returns the method, or nil.
func (r *Registry) Lookup(verb, method string) *Method {
	i := slices.IndexFunc(r.methods[verb], func(m *Method) bool { return m.Method == method })
	if i < 0 {
		return nil
	}
	return r.methods[verb][i]
}

// Methods returns the methods of a verb in the order they were registered.
func (r *Registry) Methods(verb string) []*Method { return slices.Clone(r.methods[verb]) }

// verbs lists the verbs that have methods.
func (r *Registry) verbs() string {
	var names []string
	for _, v := range Verbs {
		if len(r.methods[v.Name]) > 0 {
			names = append(names, v.Name)
		}
	}
	return strings.Join(names, ", ")
}

func (r *Registry) methodNames(verb string) []string {
	var names []string
	for _, m := range r.methods[verb] {
		names = append(names, m.Method)
	}
	return names
}
