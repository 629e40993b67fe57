package main

import (
	"fmt"

	"github.com/compressc/compressc/acceptance"
)

// awq measures AWQ, its scales alone and its ranges alone beside rounding to
// nearest.
func awq(m *measurement) error {
	rec, err := m.run(nil)
	if err != nil {
		return err
	}
	dense, err := perplexity(rec, "base", "")
	if err != nil {
		return err
	}
	ppl := map[string]float64{}
	m.Printf("3 bits with integer zero points in groups of 64; unquantised: %.2f.\n\n| weights | bits per weight | perplexity | of rounding's |\n|---|---|---|---|\n", dense)
	for _, row := range []struct{ name, title string }{
		{"rtn", "rounded to nearest"},
		{"scale", "AWQ, scales alone"},
		{"clip", "AWQ, ranges alone"},
		{"published", "AWQ, o_proj not scaled as published for grouped queries"},
		{"awq", "AWQ"},
	} {
		x, err := perplexity(rec, row.name, "")
		if err != nil {
			return err
		}
		ppl[row.name] = x
		m.Printf("| %s | %.2f | %.2f | %.2f |\n", row.title, bits(acceptance.FindNode(rec, "quantize."+row.name, "")), x, x/ppl["rtn"])
	}
	node := acceptance.FindNode(rec, "quantize.awq", "")
	if node == nil || len(node.Layers) == 0 {
		return fmt.Errorf("the run has no layers of quantize.awq")
	}
	layers, kept, ratio, alpha := 0, 0, 0.0, 0.0
	for _, numbers := range node.Layers {
		loss, scaled := numbers["loss"]
		if !scaled {
			continue
		}
		layers++
		ratio += loss / numbers["loss_at_0"]
		alpha += numbers["alpha"]
		if loss <= numbers["loss_at_0"] {
			kept++
		}
	}
	m.Printf("\nThe mean exponent is %.2f; the sites' loss is %.2f of that without scales, in the mean over layers.\n\n", alpha/float64(layers), ratio/float64(layers))
	m.Printf("- AWQ is at most 0.75 of rounding: %s\n", m.Agreement("awq beside rounding", ppl["awq"] <= 0.75*ppl["rtn"], false))
	m.Printf("- Its scales alone are at most 0.90 of rounding: %s\n", m.Agreement("awq's scales beside rounding", ppl["scale"] <= 0.90*ppl["rtn"], false))
	m.Printf("- Layers whose site loses no more than without scales: %d of %d: %s\n", kept, layers, m.Agreement("awq's losses", kept == layers, false))
	return nil
}
