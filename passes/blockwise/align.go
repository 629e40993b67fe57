package blockwise

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/passes"
)

// alignKernel scales a block by the factors of its sites that another block was
// scaled by.
var alignKernel = action.NewKernel("align", 1, func(c *action.Context, g Geometry) error {
	cfg, factors := g.Config(), c.Input("scales")
	r := NewRescale(cfg)
	for _, k := range cfg.Couplings() {
		if !factors.Has(k.Site) {
			continue
		}
		s, err := factors.Float32(k.Site)
		if err != nil {
			return err
		}
		if len(s) != k.Free {
			return fmt.Errorf("%d factors of site %s for a reference that has %d channels there: it is of another shape", len(s), k.Site, k.Free)
		}
		r.Add(k, s)
	}
	return r.Put(c.Output("block"), c.Input("block"), func(string) bool { return false })
})

// Aligned returns ref with the scalings that m has had since, so that weights and
// inputs of the two can be compared: ref itself where there are none. What ref
// computes stays the same. The types have passed CheckReference.
func Aligned(g *action.Graph, node string, m, ref *passes.Model) *passes.Model {
	if ref == nil {
		return nil
	}
	next := *ref
	for _, s := range m.Scalings {
		if slices.ContainsFunc(ref.Scalings, func(r passes.Scaling) bool { return r.By == s.By }) {
			continue
		}
		if len(next.Scalings) == len(ref.Scalings) {
			next.Blocks = slices.Clone(ref.Blocks)
		}
		next.Scalings = append(slices.Clip(next.Scalings), s)
		for b, factors := range s.Blocks {
			if !factors.Valid() {
				continue
			}
			bytes := BlockWeights(ref.Type.Config.At(b)) * 4
			a := g.Add(action.Spec{Kernel: alignKernel, Params: BlockGeometry(ref.Type.Config, b), Node: node, Label: fmt.Sprintf("reference's block %d, scaled", b),
				Inputs:  []action.Input{{Name: "block", Ref: next.Blocks[b]}, {Name: "scales", Ref: factors}},
				Outputs: []action.Output{{Name: "block", Class: action.Transient, Bytes: bytes}},
				Flops:   float64(bytes), Peak: 2 * bytes})
			next.Blocks[b] = action.Ref{Action: a, Output: "block"}
		}
	}
	return &next
}
