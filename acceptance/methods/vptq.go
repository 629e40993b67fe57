package main

import (
	"fmt"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/internal/record"
)

// vptq measures VPTQ beside its codebooks alone and beside GPTQ.
func vptq(m *measurement) error {
	rec, err := m.run(nil)
	if err != nil {
		return err
	}
	ppl := map[string]float64{}
	m.Printf("Statistics of the dense model for all; GPTQ with integer zero points, groups of 64.\n\n| weights | bits per weight | perplexity |\n|---|---|---|\n")
	for _, row := range []struct{ name, title string }{
		{"vptq", "VPTQ, vectors of 4, 256 centroids"},
		{"nearest", "the same codebooks, nearest centroids"},
		{"residual", "VPTQ, 256 centroids more for what is left"},
		{"published", "GPTQ 2 bits as published"},
		{"refined", "GPTQ 2 bits, with passes over its result"},
	} {
		x, err := perplexity(rec, row.name, "")
		if err != nil {
			return err
		}
		ppl[row.name] = x
		m.Printf("| %s | %.2f | %.2f |\n", row.title, bits(acceptance.FindNode(rec, "quantize."+row.name, "")), x)
	}
	nearest, n, err := noWorse(rec, "vptq", "nearest")
	if err != nil {
		return err
	}
	residual, _, err := noWorse(rec, "residual", "vptq")
	if err != nil {
		return err
	}
	m.Printf("\n- VPTQ is below its codebooks alone: %s\n", m.Agreement("vptq below nearest", ppl["vptq"] < ppl["nearest"], false))
	m.Printf("- Its codebooks alone are below GPTQ as published: %s\n", m.Agreement("nearest below gptq", ppl["nearest"] < ppl["published"], false))
	m.Printf("- VPTQ is below GPTQ as published: %s; and with its passes: %s\n", m.Agreement("vptq below gptq", ppl["vptq"] < ppl["published"], false), m.Agreement("vptq below refined gptq", ppl["vptq"] < ppl["refined"], true))
	m.Printf("- Layers whose output error VPTQ does not raise over nearest centroids: %d of %d: %s\n", nearest, n, m.Agreement("errors below nearest", 20*nearest >= 19*n, false))
	m.Printf("- Layers whose output error the second codebook lowers: %d of %d: %s\n", residual, n, m.Agreement("the second codebook helps", residual == n, false))
	return nil
}

// bits are those per weight of a node's model.
func bits(n *record.Node) float64 {
	if n == nil || n.Model == nil {
		return 0
	}
	return n.Model.BitsPerWeight
}

// noWorse counts the layers whose output error under quantize.a is at most that
// under quantize.b.
func noWorse(rec *record.Record, a, b string) (count, of int, err error) {
	x, y := acceptance.FindNode(rec, "quantize."+a, ""), acceptance.FindNode(rec, "quantize."+b, "")
	if x == nil || y == nil || len(x.Layers) != len(y.Layers) || len(x.Layers) == 0 {
		return 0, 0, fmt.Errorf("the run has no layers of quantize.%s and quantize.%s to compare", a, b)
	}
	for path, numbers := range x.Layers {
		if numbers["relative_output_error"] <= y.Layers[path]["relative_output_error"] {
			count++
		}
	}
	return count, len(x.Layers), nil
}
