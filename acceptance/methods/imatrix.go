package main

import (
	"fmt"

	"github.com/compressc/compressc/acceptance"
)

// imatrix measures grids fitted by importance beside rounding to nearest.
func imatrix(m *measurement) error {
	rec, err := m.run(nil)
	if err != nil {
		return err
	}
	m.Printf("*Error* is Σ importance·(w − ŵ)² of the linears as a share of Σ importance·w², in the mean over layers; *layers better* is how many have a smaller one than rounded. Claimed: at least 95 %% of them, and a perplexity that is no higher.\n\n| grid | weights | bits per weight | error | layers better | perplexity |\n|---|---|---|---|---|---|\n")
	for _, g := range []struct{ name, title string }{
		{"q4", "4 bits, symmetric, groups of 32 (Q4_0)"},
		{"three", "3 bits, zero points, groups of 64"},
	} {
		rounded, err := perplexity(rec, g.name+"_rounded", "")
		if err != nil {
			return err
		}
		weighted, err := perplexity(rec, g.name+"_weighted", "")
		if err != nil {
			return err
		}
		node := acceptance.FindNode(rec, "quantize."+g.name+"_weighted", "")
		if node == nil || len(node.Layers) == 0 {
			return fmt.Errorf("the run has no layers of quantize.%s_weighted", g.name)
		}
		before, after, better := 0.0, 0.0, 0
		for _, numbers := range node.Layers {
			before += numbers["rounded_error"] / float64(len(node.Layers))
			after += numbers["weighted_error"] / float64(len(node.Layers))
			if numbers["weighted_error"] <= numbers["rounded_error"] {
				better++
			}
		}
		m.Printf("| %s | rounded to nearest | %.2f | %.4f | | %.2f |\n", g.title, bits(acceptance.FindNode(rec, "quantize."+g.name+"_rounded", "")), before, rounded)
		m.Printf("| %s | imatrix | %.2f | %.4f | %d of %d: %s | %.2f: %s |\n", g.title, bits(node), after,
			better, len(node.Layers), m.Verdict("errors with importance, "+g.name, 20*better >= 19*len(node.Layers), false),
			weighted, m.Agreement("perplexity with importance, "+g.name, weighted <= rounded, false))
	}
	return nil
}
