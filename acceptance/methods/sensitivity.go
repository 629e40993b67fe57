package main

import (
	"fmt"

	"github.com/compressc/compressc/acceptance"
)

// sensitivity measures what rounding weights or activations alone does, in the
// whole model and in a layer at a time.
func sensitivity(m *measurement) error {
	rec, err := m.run(nil)
	if err != nil {
		return err
	}
	base, err := metric(rec, "whole", "", "perplexity")
	if err != nil {
		return err
	}
	m.Printf("W is the bits of weights, rounded to nearest, A those of the inputs of linears; 16 is as they are. The model as it is has a perplexity of %.4f; classes are 1 up to a rise of 0.1, 2 up to 0.5.\n\n| | rise | class |\n|---|---|---|\n", base)
	delta := map[string]float64{}
	for _, row := range []struct{ name, title string }{
		{"w8a16", "W8A16, a scale a row"},
		{"w4a16_g64_asym", "W4A16, groups of 64, zero points"},
		{"w4a16_g64", "W4A16, groups of 64"},
		{"w4a16_asym", "W4A16, a scale a row, zero points"},
		{"w4a16", "W4A16, a scale a row"},
		{"w16a8", "W16A8, per token"},
		{"w16a8_range", "W16A8, per token, from least to greatest"},
		{"w16a8_tensor", "W16A8, per tensor, fixed on the calibration text"},
		{"w16a4", "W16A4, per token"},
		{"w4a8_g64", "W4A8, groups of 64, per token"},
	} {
		x, err := metric(rec, "whole", "", "delta_"+row.name)
		if err != nil {
			return err
		}
		c, err := metric(rec, "whole", "", "class_"+row.name)
		if err != nil {
			return err
		}
		delta[row.name] = x
		m.Printf("| %s | %.4f | %.0f |\n", row.title, x, c)
	}
	m.Printf("\n- W4A16 with a scale a row rises more than with groups of 64, and that more than W8A16: %s\n",
		m.Agreement("rises of weights", delta["w4a16"] > delta["w4a16_g64"] && delta["w4a16_g64"] > delta["w8a16"], false))
	m.Printf("- W16A8 per tensor rises more than per token: %s\n", m.Agreement("rises of activations", delta["w16a8_tensor"] > delta["w16a8"], false))
	m.Printf("- Activations are more sensitive than weights, at 8 bits %s, at 4 bits %s\n",
		m.Agreement("W16A8 rises more than W8A16", delta["w16a8"] > delta["w8a16"], false), m.Agreement("W16A4 rises more than W4A16", delta["w16a4"] > delta["w4a16"], false))
	m.Printf("- Zero points lower the rise, with groups of 64 %s, with a scale a row %s\n",
		m.Agreement("zero points with groups", delta["w4a16_g64_asym"] < delta["w4a16_g64"], true), m.Agreement("zero points by row", delta["w4a16_asym"] < delta["w4a16"], true))

	e := acceptance.FindEvaluation(rec, "evaluate.layers", "")
	if e == nil || e.Table() == nil {
		return fmt.Errorf("the run has no table of evaluate.layers")
	}
	m.Printf("\nOne decoder layer at a time, on 4 windows: the three that rise most, and the least.\n\n| setting | layers | rises |\n|---|---|---|\n")
	for _, setting := range []string{"w3a16_g64", "w16a4"} {
		var names, rises []string
		for _, row := range e.Table().Rows {
			if row["setting"] == setting {
				names, rises = append(names, fmt.Sprint(row["part"])), append(rises, fmt.Sprintf("%.4f", row["delta"]))
			}
		}
		n := len(names)
		if n == 0 {
			return fmt.Errorf("the table of evaluate.layers has no rows of %s", setting)
		}
		text, numbers := "", ""
		for i := range min(3, n) {
			text, numbers = text+names[i]+", ", numbers+rises[i]+", "
		}
		m.Printf("| %s | %s… %s | %s… %s |\n", setting, text, names[n-1], numbers, rises[n-1])
	}
	return nil
}
