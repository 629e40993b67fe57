package main

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/acceptance"
)

// global measures one threshold for all layers beside those of rows and layers.
func global(m *measurement) error {
	rec, err := m.run(nil)
	if err != nil {
		return err
	}
	ppl := map[string]float64{}
	m.Printf("Nothing is trained afterwards; the statistics of Wanda are the dense model's.\n\n| removed | weights compete | perplexity | most and least removed of a layer |\n|---|---|---|---|\n")
	for _, row := range []struct{ name, amount, title string }{
		{"dense", "0 %", ""},
		{"row", "50 %", "magnitudes, in a row"},
		{"layer", "50 %", "magnitudes, in a layer"},
		{"global", "50 %", "magnitudes, in all layers"},
		{"spread", "50 %", "magnitudes over their layer's deviation, in all layers"},
		{"third_row", "30 %", "magnitudes, in a row"},
		{"third", "30 %", "magnitudes, in all layers"},
		{"wanda", "50 %", "Wanda, in a row"},
		{"wanda_global", "50 %", "Wanda, in all layers"},
		{"followed", "", "Wanda, in a row, layers as the fifth line has them"},
	} {
		x, err := perplexity(rec, row.name, "")
		if err != nil {
			return err
		}
		ppl[row.name] = x
		spread := ""
		if n := acceptance.FindNode(rec, "prune."+row.name, ""); n != nil {
			var shares []float64
			for _, numbers := range n.Layers {
				shares = append(shares, numbers["zeros"])
			}
			if len(shares) > 0 {
				spread = fmt.Sprintf("%.1f %%, %.1f %%", 100*slices.Max(shares), 100*slices.Min(shares))
			}
		}
		m.Printf("| %s | %s | %.2f | %s |\n", row.amount, row.title, x, spread)
	}
	m.Printf("\n- One threshold for all is worse than one for each row: %s\n", m.Agreement("global above row", ppl["global"] > ppl["row"], true))
	m.Printf("- In units of their layer's deviation weights of all layers are better compared than as they are: %s; and better than layer by layer: %s\n",
		m.Agreement("normalised below global", ppl["spread"] < ppl["global"], true), m.Agreement("normalised below layer", ppl["spread"] < ppl["layer"], true))
	return nil
}
