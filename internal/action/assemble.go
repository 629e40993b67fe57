package action

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/artifact"
)

// A method that looks at weights alone has an action for each tensor, keyed by
// that tensor: two models that share a layer share its result, and an override
// of one layer runs one layer. Part and Assemble take a tree apart for it and
// put the results together. Both see through each other and through sources, so
// that a chain of such methods is a chain of actions on single tensors, and what
// remains as an action of the graph is structural (see Kernel.Structural).

// Piece replaces leaves of a tree.
type Piece struct {
	// Names are those of the leaves that it stands for, in order: any that the
	// tree or Ref has.
	Names []string
	// Ref is a tree of leaves with these names.
	Ref Ref
}

// assembly is what an assembled tree is made of.
type assembly struct {
	base   Ref
	pieces []Piece
}

type assembleParams struct {
	Without []string `json:"without"`
}

// assembleKernel puts all its inputs' leaves into one tree, but for those of
// "base" that others stand for.
var assembleKernel = structural(NewKernel("assemble", 1, func(c *Context, p assembleParams) error {
	out := c.Output("out")
	for _, name := range sortedKeys(c.In) {
		var drop func(string) bool
		if name == "base" {
			drop = func(leaf string) bool { return slices.Contains(p.Without, leaf) }
		}
		out.CopyExcept(c.In[name], drop)
	}
	return nil
}))

type partParams struct {
	Names []string `json:"names"`
}

// partKernel takes the named leaves of a tree, as far as it has them.
var partKernel = structural(NewKernel("part", 1, func(c *Context, p partParams) error {
	c.Output("out").CopyExcept(c.Input("of"), func(leaf string) bool { return !slices.Contains(p.Names, leaf) })
	return nil
}))

func structural(k *Kernel) *Kernel {
	k.Structural = true
	return k
}

// Part returns the tree of those leaves of r that are called names, as far as
// there are such. Of an assembled tree it is the very piece that stands for
// them; of a source it is a source.
func (g *Graph) Part(r Ref, names []string) Ref {
	if a := r.Action.assembly; a != nil {
		for _, p := range a.pieces {
			if slices.Equal(p.Names, names) {
				return p.Ref
			}
		}
		if !slices.ContainsFunc(a.pieces, func(p Piece) bool { return overlap(p.Names, names) }) {
			return g.Part(a.base, names)
		}
	}
	if r.Action.Leaf == nil {
		a := g.Add(Spec{Kernel: partKernel, Params: partParams{names}, Inputs: []Input{{"of", r}},
			Outputs: []Output{{Name: "out"}}, Node: r.Action.Node, Label: r.Action.Label})
		return Ref{a, "out"}
	}
	// The same part is asked for at every point of a sweep.
	key := fmt.Sprintf("%d.%s %q", r.Action.ID, r.Output, names)
	if p, ok := g.parts[key]; ok {
		return p
	}
	t := &artifact.Tree{}
	for _, e := range r.Action.Leaf[r.Output].Entries {
		if slices.Contains(names, e.Name) {
			t.Entries = append(t.Entries, e)
		}
	}
	p := g.AddLeaf(r.Action.Node, t)
	g.parts[key] = p
	return p
}

// Assemble returns the tree of base in which each piece stands for the leaves
// that it names. No two pieces may name the same leaf. node and label are as in
// Spec.
func (g *Graph) Assemble(node, label string, base Ref, pieces []Piece) Ref {
	as := &assembly{base, slices.Clone(pieces)}
	for i, p := range pieces {
		if slices.ContainsFunc(pieces[:i], func(q Piece) bool { return overlap(p.Names, q.Names) }) {
			panic(fmt.Sprintf("action: two pieces of %s, %s stand for the same leaves", node, label))
		}
	}
	if b := base.Action.assembly; b != nil {
		// Pieces of what was assembled before stay pieces, unless they are
		// replaced, or cut by a new one.
		var stay []Piece
		whole := true
		for _, old := range b.pieces {
			if slices.ContainsFunc(pieces, func(p Piece) bool { return slices.Equal(p.Names, old.Names) }) {
				continue
			}
			whole = whole && !slices.ContainsFunc(pieces, func(p Piece) bool { return overlap(p.Names, old.Names) })
			stay = append(stay, old)
		}
		if whole {
			as.base, as.pieces = b.base, append(stay, as.pieces...)
		}
	}
	slices.SortFunc(as.pieces, func(x, y Piece) int { return slices.Compare(x.Names, y.Names) })
	in := []Input{{"base", as.base}}
	var p assembleParams
	for i, piece := range as.pieces {
		in = append(in, Input{fmt.Sprintf("piece %d", i), piece.Ref})
		p.Without = append(p.Without, piece.Names...)
	}
	a := g.Add(Spec{Kernel: assembleKernel, Params: p, Inputs: in, Outputs: []Output{{Name: "out"}}, Node: node, Label: label})
	a.assembly = as
	return Ref{a, "out"}
}

func overlap(x, y []string) bool {
	return slices.ContainsFunc(x, func(n string) bool { return slices.Contains(y, n) })
}

// Arrange runs a structural action: it returns the trees of its outputs by name.
// inputs holds those of its inputs.
func Arrange(a *Action, inputs map[string]*artifact.Tree) (map[string]*artifact.Tree, error) {
	c := &Context{Params: a.Params, In: map[string]*artifact.Value{}, Out: map[string]*artifact.Builder{}}
	for name, t := range inputs {
		c.In[name] = &artifact.Value{Tree: t, Load: func(e artifact.Entry) ([]byte, error) {
			return nil, fmt.Errorf("action: %s reads bytes of %s", a.Kernel.Name, e.Name)
		}}
	}
	for _, o := range a.Outputs {
		c.Out[o.Name] = artifact.NewBuilder()
	}
	if err := Call(a.Kernel, c); err != nil {
		return nil, err
	}
	out := map[string]*artifact.Tree{}
	for name, b := range c.Out {
		out[name], _ = b.Finish()
	}
	return out, nil
}
