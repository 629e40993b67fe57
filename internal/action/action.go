// Package action is the unit of work: a kernel, its canonical parameters and
// the outputs of other actions it reads. A graph holds each action once: adding
// an equal one returns the first. Actions know nothing of how they are keyed,
// cached or scheduled, and nothing of the text they came from.
package action

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg"
)

// Class says how long an output's bytes are kept.
type Class int

const (
	// Durable outputs are written to the store.
	Durable Class = iota
	// Transient outputs live while an action that needs them is pending.
	Transient
	// Checkpoint outputs are written to the store and removed when the node
	// they belong to is complete.
	Checkpoint
)

func (c Class) String() string { return [...]string{"durable", "transient", "checkpoint"}[c] }

// Kernel is a pure function of its inputs' bytes and its parameters.
type Kernel struct {
	Name string
	// Impl changes whenever the output's bytes do.
	Impl int
	// Run computes the outputs. It must not keep references to its inputs.
	Run func(*Context) error
	// Structural kernels read no bytes: each leaf of an output is a leaf of an
	// input. So nothing of them is stored, on record, or counted as work; who
	// knows the trees of the inputs has those of the outputs (Arrange).
	Structural bool
}

var kernels = map[string]*Kernel{}

// NewKernel registers a kernel with parameters of type P, which must encode to
// JSON the same way each time (structs, no maps with unsorted meaning).
func NewKernel[P any](name string, impl int, run func(*Context, P) error) *Kernel {
	if kernels[name] != nil {
		panic("action: kernel " + name + " is registered twice")
	}
	k := &Kernel{Name: name, Impl: impl, Run: func(c *Context) error {
		var p P
		if err := json.Unmarshal(c.Params, &p); err != nil {
			return fmt.Errorf("%s: parameters do not parse: %w", name, err)
		}
		return run(c, p)
	}}
	kernels[name] = k
	return k
}

// LookupKernel returns the registered kernel, or nil.
func LookupKernel(name string) *Kernel { return kernels[name] }

// Context is what a running kernel sees.
type Context struct {
	context.Context
	Params json.RawMessage
	Pool   *linalg.Pool
	// Memory is how many bytes the kernel may use beyond the action's Peak to
	// go faster. No byte of an output may depend on it.
	Memory int64
	// Progress, when set, is told the share of the action that is done.
	Progress func(done, total int)

	In  map[string]*artifact.Value
	Out map[string]*artifact.Builder
}

// Step tells that done of total steps are done. Its error, to be returned by
// the kernel, says that the action is not wanted any more or has taken too
// long.
func (c *Context) Step(done, total int) error {
	if c.Progress != nil {
		c.Progress(done, total)
	}
	if c.Context == nil || done == total || c.Err() == nil {
		return nil // what is finished is as good as any
	}
	return context.Cause(c.Context)
}

// Input returns the named input; a missing one is a programmer's error.
func (c *Context) Input(name string) *artifact.Value {
	v := c.In[name]
	if v == nil {
		panic("action: input " + name + " was not declared")
	}
	return v
}

// Wants reports whether the named output is asked for.
func (c *Context) Wants(name string) bool { return c.Out[name] != nil }

// Output returns the builder of the named output.
func (c *Context) Output(name string) *artifact.Builder {
	b := c.Out[name]
	if b == nil {
		panic("action: output " + name + " was not declared")
	}
	return b
}

// Ref names one output of an action.
type Ref struct {
	Action *Action
	Output string
}

// Valid reports whether r names anything.
func (r Ref) Valid() bool { return r.Action != nil }

// Input is a named edge.
type Input struct {
	Name string
	Ref  Ref
}

// Output declares one result.
type Output struct {
	Name  string
	Class Class
	// Bytes estimates the size of the leaves that are new.
	Bytes int64
	// Largest is the size of the largest of them, where the kernel forms it whole
	// and Peak does not count that.
	Largest int64
}

// Action is one node of the graph. All fields are fixed once it is added, but
// for Outputs, which grow while equal actions are added.
type Action struct {
	ID     int
	Kernel *Kernel
	// Params are the canonical JSON of the kernel's parameters.
	Params  json.RawMessage
	Inputs  []Input
	Outputs []Output

	// Leaf holds the outputs of a source, which has no kernel.
	Leaf map[string]*artifact.Tree

	// What follows is for schedules and people, and in no key.

	Node  string // address of the node that asked first
	Label string // what it works on: "block 3", "windows"
	Flops float64
	Peak  int64 // bytes of working memory beyond inputs and outputs

	// canonical is the canonical form of Params, nil for an action of no graph.
	canonical json.RawMessage
	// assembly is set for what Graph.Assemble added.
	assembly *assembly
}

// Computes reports whether a has results of its own: it is neither a source nor
// structural.
func (a *Action) Computes() bool { return a.Leaf == nil && !a.Kernel.Structural }

// params are parameters that many actions of a graph have in common: those of
// all decoder blocks are mostly the same.
type params struct {
	id             int
	raw, canonical json.RawMessage
}

// OutputClass returns the declared class of the named output.
func (a *Action) OutputClass(name string) Class {
	for _, o := range a.Outputs {
		if o.Name == name {
			return o.Class
		}
	}
	return Durable
}

// want adds outputs to what a yields.
func (a *Action) want(outputs []Output) {
next:
	for _, o := range outputs {
		for i := range a.Outputs {
			if a.Outputs[i].Name == o.Name {
				a.Outputs[i].Class = lasting(a.Outputs[i].Class, o.Class)
				continue next
			}
		}
		a.Outputs = append(a.Outputs, o)
		slices.SortFunc(a.Outputs, func(x, y Output) int { return strings.Compare(x.Name, y.Name) })
	}
}

// lasting returns the class that keeps bytes longer.
func lasting(x, y Class) Class {
	rank := map[Class]int{Transient: 0, Checkpoint: 1, Durable: 2}
	if rank[x] >= rank[y] {
		return x
	}
	return y
}

// Spec is what Graph.Add needs.
type Spec struct {
	Kernel  *Kernel
	Params  any
	Inputs  []Input
	Outputs []Output
	Node    string
	Label   string
	Flops   float64
	Peak    int64
}

// Graph is a set of actions in which equal ones are one. It is not safe for
// concurrent use.
type Graph struct {
	Actions []*Action
	index   map[string]*Action
	leaves  map[string]*Action
	params  map[string]*params
	parts   map[string]Ref // of sources, see Part
	// sealed is how many actions keep the outputs they have.
	sealed int
	// Keep makes all outputs asked for from now on durable.
	Keep bool
	// Reused counts additions that found an equal action.
	Reused int
	// Added, when not nil, is told of every addition of an action that computes,
	// also of those that found an equal one.
	Added func(*Action)
}

// NewGraph returns an empty graph.
func NewGraph() *Graph {
	return &Graph{index: map[string]*Action{}, leaves: map[string]*Action{}, params: map[string]*params{}, parts: map[string]Ref{}}
}

// Add returns the action that s describes, the earlier one if there is an
// equal one. Actions that differ only in the outputs they are asked for are
// equal: the one action yields the union, each output in the more lasting of
// the classes asked for. A kernel looks at Context.Out to see what is wanted,
// and no output's bytes may depend on which others are.
func (g *Graph) Add(s Spec) *Action {
	par := g.intern(s)
	if g.Keep {
		s.Outputs = slices.Clone(s.Outputs)
		for i := range s.Outputs {
			s.Outputs[i].Class = Durable
		}
	}
	key := make([]byte, 0, 128)
	key = fmt.Appendf(key, "%s|%d|%d", s.Kernel.Name, s.Kernel.Impl, par.id)
	for i, in := range s.Inputs {
		if !in.Ref.Valid() {
			panic(fmt.Sprintf("action: input %s of %s is not connected", in.Name, s.Kernel.Name))
		}
		for _, other := range s.Inputs[:i] {
			if other.Name == in.Name {
				panic(fmt.Sprintf("action: %s has two inputs %s", s.Kernel.Name, in.Name))
			}
		}
		key = append(append(append(key, '|'), in.Name...), '=')
		key = append(append(strconv.AppendInt(key, int64(in.Ref.Action.ID), 10), '.'), in.Ref.Output...)
	}
	if a := g.index[string(key)]; a != nil && (a.ID >= g.sealed || a.yields(s.Outputs)) {
		g.Reused++
		a.want(s.Outputs)
		g.tell(a)
		return a
	}
	a := &Action{ID: len(g.Actions), Kernel: s.Kernel, Params: par.raw, canonical: par.canonical, Inputs: s.Inputs,
		Node: s.Node, Label: s.Label, Flops: s.Flops, Peak: s.Peak}
	a.want(s.Outputs)
	g.Actions = append(g.Actions, a)
	g.index[string(key)] = a
	g.tell(a)
	return a
}

// Seal makes every action of now keep its outputs: whoever has begun to run the
// graph would not notice more. An addition that asks a sealed action for others
// is an action of its own.
func (g *Graph) Seal() { g.sealed = len(g.Actions) }

// yields reports whether a has all the outputs, each in as lasting a class.
func (a *Action) yields(outputs []Output) bool {
	for _, o := range outputs {
		if !slices.ContainsFunc(a.Outputs, func(x Output) bool { return x.Name == o.Name && lasting(x.Class, o.Class) == x.Class }) {
			return false
		}
	}
	return true
}

// intern encodes the parameters and returns the one copy of them.
func (g *Graph) intern(s Spec) *params {
	raw, err := json.Marshal(s.Params)
	if err != nil {
		panic(fmt.Sprintf("action: parameters of %s do not encode: %v", s.Kernel.Name, err))
	}
	if p := g.params[string(raw)]; p != nil {
		return p
	}
	canonical, err := canonicalJSON(raw)
	if err != nil {
		panic(fmt.Sprintf("action: parameters of %s: %v", s.Kernel.Name, err))
	}
	p := &params{len(g.params), raw, canonical}
	g.params[string(raw)] = p
	return p
}

func (g *Graph) tell(a *Action) {
	if g.Added != nil && a.Computes() {
		g.Added(a)
	}
}

// AddLeaf adds a source whose one output "out" is tree.
func (g *Graph) AddLeaf(node string, tree *artifact.Tree) Ref {
	d := string(tree.Digest())
	a := g.leaves[d]
	if a == nil {
		a = &Action{ID: len(g.Actions), Leaf: map[string]*artifact.Tree{"out": tree}, Node: node,
			Outputs: []Output{{Name: "out", Class: Durable, Bytes: tree.Size()}}}
		g.Actions = append(g.Actions, a)
		g.leaves[d] = a
	}
	return Ref{a, "out"}
}
