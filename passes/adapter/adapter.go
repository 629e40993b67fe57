// Package adapter reads low-rank updates that other programs have trained.
//
// Terms. A factor is one of the two matrices of an update scale·B·A of a linear
// layer, A [rank, in] and B [out, rank]. The factors of a source may be stored in
// any floating point type; an adapter between blocks has them in float32, one tree
// a decoder block, as "LINEAR.lora_A" and "LINEAR.lora_B" (see passes.Adapter).
package adapter

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/passes"
)

// Factor names the leaf of a factor: which is "A" or "B".
func Factor(linear, which string) string { return linear + ".lora_" + which }

// Layer is one layer of a block.
type Layer struct {
	Name string `json:"name"`
	// Scale is what B is multiplied by: 1 where the adapter's alpha says it all.
	Scale float64 `json:"scale"`
}

type params struct {
	Layers []Layer `json:"layers"`
}

// kernel decodes the factors of one block.
var kernel = action.NewKernel("adapter.factors", 1, func(c *action.Context, p params) error {
	in, out := c.Input("factors"), c.Output("adapter")
	for _, l := range p.Layers {
		for _, which := range []string{"A", "B"} {
			name := Factor(l.Name, which)
			e, err := in.Entry(name)
			if err != nil {
				return err
			}
			x, err := in.Float32(name)
			if err != nil {
				return err
			}
			y := make([]float32, len(x))
			for i, v := range x {
				if y[i] = v; which == "B" && l.Scale != 1 {
					y[i] = float32(float64(v) * l.Scale)
				}
			}
			out.PutFloat32(name, e.Meta.Shape, y)
		}
	}
	return nil
})

// Lower adds the decoding of one block's stored factors, of so many numbers.
func Lower(g *action.Graph, node string, block int, factors action.Ref, numbers int64, layers []Layer) action.Ref {
	a := g.Add(action.Spec{Kernel: kernel, Params: params{layers}, Node: node, Label: fmt.Sprintf("block%d", block),
		Inputs:  []action.Input{{Name: "factors", Ref: factors}},
		Outputs: []action.Output{{Name: "adapter", Class: action.Durable, Bytes: 4 * numbers}}, Flops: float64(numbers), Peak: 16 * numbers})
	return action.Ref{Action: a, Output: "adapter"}
}

// UsualRank returns the most frequent rank of the layers of an adapter, the smaller of
// equals.
func UsualRank(a *passes.Adapter) (usual int) {
	count := map[int]int{}
	for _, r := range a.Ranks {
		count[r]++
	}
	for r, n := range count {
		if n > count[usual] || n == count[usual] && r < usual {
			usual = r
		}
	}
	return usual
}
