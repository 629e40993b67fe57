package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/acceptance/pages"
	"github.com/compressc/compressc/internal/record"
)

// layerTolerance is how large a layer's output error may be beside the
// reference's.
const layerTolerance = 1.02

// layers compares each layer's output error.
func (r *report) layers(p *pages.Page) error {
	rec, err := r.run("rows", acceptance.RunOptions{CacheDir: r.cache})
	if err != nil {
		return err
	}
	p.Printf("## Layers\n\nEach linear's relative output error tr(ΔHΔᵀ)/tr(WHWᵀ), divided by the reference's; wanted is at most %.2f in every layer ✓. From block 1 on each program sees inputs that its own blocks made, and once a single code or mask bit differs the streams part: layers come out better and worse, in equal measure. Block 0, where the inputs are the same, is shown apart and has to meet the tolerance. Section \"Noise\" shows how many layers pass %.2f when compressc is compared with itself; that is the reason of every ✗ of rows as published. The others are better on the same inputs (\"Methods against each other\"); their largest ratios come from block 28, whose down projection removes the outliers of the first token: rounded as published it leaves part of them, which makes the outputs of block 29, by which the ratio divides, nearly twice as large.\n\n| | layers | block 0, largest | smallest | median | largest | above %.2f | sum of all | |\n|---|---|---|---|---|---|---|---|---|\n", layerTolerance, layerTolerance, layerTolerance)
	for _, w := range rows {
		if w.golden == "" {
			continue
		}
		g, err := r.reference.Row(w.golden)
		if err != nil {
			return err
		}
		node := w.node
		var got map[string]float64
		if node == "" {
			// A method that forms no Gram matrix reports no output error.
			node = "prune." + w.evaluation
			if got, err = r.sequentialErrors(node); err != nil {
				return err
			}
		} else {
			n := acceptance.FindNode(rec, node, w.point)
			if n == nil {
				return fmt.Errorf("the run has no node %s at %q", node, w.point)
			}
			got = relativeErrors(n)
		}
		c, err := compareLayers(got, g.Errors, layerTolerance, p.Small)
		if err != nil {
			return fmt.Errorf("%s: %w", node, err)
		}
		if c.first > layerTolerance {
			p.Agreement(node+" in block 0", false, false)
		}
		p.Printf("| %s (`%s`) | %d | %.4f | %.3f | %.3f | %.3f | %d | %.4f | %s |\n", strings.TrimLeft(w.what, "… →+"), node, len(c.ratios), c.first, c.ratios[0], c.ratios[len(c.ratios)/2], c.ratios[len(c.ratios)-1], c.above, c.sum, p.Verdict(node, c.above == 0, true))
	}
	return nil
}

// relativeErrors are the output errors that a node reported, by layer.
func relativeErrors(n *record.Node) map[string]float64 {
	out := map[string]float64{}
	for layer, numbers := range n.Layers {
		if e, ok := numbers["relative_output_error"]; ok {
			out[layer] = e
		}
	}
	return out
}

// sequentialErrors measures the output errors of a node that works on the base
// model block by block, over the inputs that it saw.
func (r *report) sequentialErrors(node string) (map[string]float64, error) {
	s, err := r.session("rows", nil)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	all, err := s.OutputErrors(r.ctx, acceptance.Comparison{Nodes: []string{node}, Original: "model.base", Within: "model.base", Through: node, Data: "data.calib", Blocks: r.scale.blocks})
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for b, layers := range all[0][node] {
		for layer, e := range layers {
			out[fmt.Sprintf("model.layers.%d.%s", b, layer)] = e.Relative()
		}
	}
	return out, nil
}

// comparison is one model's output errors over another's.
type comparison struct {
	ratios     []float64 // ascending
	first, sum float64   // the largest of block 0; of the sums over all layers
	above      int
}

// compareLayers divides got by want. Layers that were not measured are an error
// unless some are enough.
func compareLayers(got, want map[string]float64, tolerance float64, some bool) (comparison, error) {
	var c comparison
	ours, theirs := 0.0, 0.0
	layers := make([]string, 0, len(want))
	for layer := range want {
		layers = append(layers, layer)
	}
	slices.Sort(layers)
	for _, layer := range layers {
		e, ok := got[layer]
		if !ok && some {
			continue
		}
		if !ok {
			return c, fmt.Errorf("no output error of %s", layer)
		}
		ratio := e / want[layer]
		c.ratios = append(c.ratios, ratio)
		ours, theirs = ours+e, theirs+want[layer]
		if ratio > tolerance {
			c.above++
		}
		if strings.HasPrefix(layer, "model.layers.0.") {
			c.first = max(c.first, ratio)
		}
	}
	if len(c.ratios) == 0 {
		return c, fmt.Errorf("nothing to compare with")
	}
	slices.Sort(c.ratios)
	c.sum = ours / theirs
	return c, nil
}
