package merge

import (
	"fmt"
	"testing"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/passes"
	"github.com/zclconf/go-cty/cty"
)

// placed is a toy model whose parts are sources of a graph.
func placed(t *testing.T, g *action.Graph, name string) *passes.Model {
	m := toy(t, name, "", "", nil)
	leaf := func(part string) action.Ref {
		b := artifact.NewBuilder()
		b.PutBytes(part, tensor.Meta{DType: tensor.U8, Shape: []int{len(name)}}, []byte(name))
		tree, _ := b.Finish()
		return g.AddLeaf(name, tree)
	}
	m.Embed, m.Final = leaf("embed"), leaf("final")
	for b := range m.Type.Config.Layers {
		m.Blocks = append(m.Blocks, leaf(fmt.Sprintf("block%d", b)))
	}
	return m
}

// Merges of any of the models, at any scale, share the decompositions; arguments
// that a rule does not use make no other action.
func TestSharing(t *testing.T) {
	g := action.NewGraph()
	base := placed(t, g, "base")
	models := []*passes.Model{placed(t, g, "a"), placed(t, g, "b"), placed(t, g, "c")}
	lower := func(p *passes.Pass, ms []*passes.Model, set map[string]cty.Value) {
		t.Helper()
		args := p.NewArgs()
		list := make([]cty.Value, len(ms))
		for i, m := range ms {
			list[i] = schema.RefValue(&schema.Ref{Value: m})
		}
		values := map[string]cty.Value{"base": schema.RefValue(&schema.Ref{Value: base}), "models": cty.TupleVal(list)}
		for n, v := range set {
			values[n] = v
		}
		if ds := schema.Decode(args, values); ds.HasErrors() {
			t.Fatal(ds.Err())
		}
		c := &passes.Call{Node: "merge.m", Args: args}
		r, ds := p.Type(c)
		if ds.HasErrors() {
			t.Fatal(ds.Err())
		}
		p.Lower(c, g, r)
	}
	number := func(name string, x float64) map[string]cty.Value {
		return map[string]cty.Value{name: cty.NumberFloatVal(x)}
	}
	for _, scale := range []float64{0.2, 0.5, 1} {
		lower(TSVM, models, number("scale", scale))
	}
	lower(TSVM, models[:2], number("scale", 1))
	lower(TSVM, models[1:], map[string]cty.Value{"outliers": cty.StringVal("weight")})
	for _, lambda := range []float64{0.2, 0.4, 1} {
		lower(Consensus, models, number("lambda", lambda))
	}
	lower(Consensus, models, number("threshold", 1))
	lower(Consensus, models, number("ties_top", 0.7)) // which rule sum does not use
	for task := range models {
		lower(TALL, models, number("task", float64(task)))
	}
	count := map[string]int{}
	for _, a := range g.Actions {
		if a.Kernel != nil {
			count[a.Kernel.Name]++
		}
	}
	const blocks, parts = 3, 5
	for kernel, want := range map[string]int{
		"merge.decompose":  3 * blocks, // one a model
		"merge.orthogonal": 3 * blocks, // one a set of models
		"merge.apply":      5 * parts,
		"merge.consensus":  4 * parts,
		"merge.tall":       3 * parts,
	} {
		if count[kernel] != want {
			t.Errorf("%s: %d actions, want %d", kernel, count[kernel], want)
		}
	}
}
