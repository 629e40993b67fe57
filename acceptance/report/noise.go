package main

import (
	"fmt"
	"strings"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/acceptance/pages"
)

// noise shows how rows move when nothing that matters does.
func (r *report) noise(p *pages.Page) error {
	rec, err := r.run("noise", acceptance.RunOptions{CacheDir: r.cache})
	if err != nil {
		return err
	}
	p.Printf("## Noise\n\nThe damping, 0.01, nudged by a part in a thousand or less. All are the same published algorithm (`refine = 0`); a code that flips in an early block changes the inputs of all later ones. \"Above 1.02\" counts the layers whose output error is more than 1.02 times that of the row at 0.01.\n\n| | damping | perplexity | layers above 1.02 | largest | sum of all |\n|---|---|---|---|---|---|\n")
	for _, m := range []struct{ what, node, evaluation string }{{"GPTQ 3 bit", "quantize.gptq3", "gptq3"}, {"SparseGPT 2:4", "prune.sparsegpt24", "sparsegpt24"}} {
		base := acceptance.FindNode(rec, m.node, "damping=0.01")
		if base == nil {
			return fmt.Errorf("the run has no %s at damping 0.01", m.node)
		}
		want := relativeErrors(base)
		least, most := 0.0, 0.0
		for i := range rec.Nodes {
			n := &rec.Nodes[i]
			if n.Name != m.node {
				continue
			}
			point := acceptance.PointText(n.Point)
			ppl, err := perplexity(rec, m.evaluation, point)
			if err != nil {
				return err
			}
			if least == 0 || ppl < least {
				least = ppl
			}
			most = max(most, ppl)
			c, err := compareLayers(relativeErrors(n), want, layerTolerance, false)
			if err != nil {
				return err
			}
			p.Printf("| %s | %s | %.3f | %d | %.3f | %.4f |\n", m.what, strings.TrimPrefix(point, "damping="), ppl, c.above, c.ratios[len(c.ratios)-1], c.sum)
		}
		p.Printf("| %s | spread | %.1f %% | | | |\n", m.what, 100*(most/least-1))
	}
	return nil
}
