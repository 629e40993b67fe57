package main

import "fmt"

// gblm measures GBLM beside Wanda and magnitude.
func gblm(m *measurement) error {
	rec, err := m.run(nil)
	if err != nil {
		return err
	}
	ppl := map[string]float64{}
	m.Printf("Half of the weights of each row are removed, then of every four. c is gradient_scale, γ is gamma; gradients are of 16 windows.\n\n| pattern | scores | statistics | perplexity | over Wanda |\n|---|---|---|---|---|\n")
	for _, row := range []struct{ name, pattern, title, stats, against string }{
		{"dense", "", "the dense model", "", ""},
		{"magnitude", "50 %", "magnitudes", "", "wanda"},
		{"wanda", "50 %", "Wanda", "dense", "wanda"},
		{"zero", "50 %", "GBLM, c = 0", "dense", "wanda"},
		{"l2", "50 %", "GBLM, ℓ2, c = 100", "dense", "wanda"},
		{"l1", "50 %", "GBLM, ℓ1, c = 100", "dense", "wanda"},
		{"strong", "50 %", "GBLM, ℓ2, c = 1600", "dense", "wanda"},
		{"even", "50 %", "GBLM, ℓ2, normalised, γ = 1", "dense", "wanda"},
		{"mostly", "50 %", "GBLM, ℓ2, normalised, γ = 16", "dense", "wanda"},
		{"wanda_progressive", "50 %", "Wanda", "of the pruned blocks before", "wanda_progressive"},
		{"progressive", "50 %", "GBLM, ℓ2, c = 100", "of the pruned blocks before", "wanda_progressive"},
		{"wanda_pairs", "2:4", "Wanda", "dense", "wanda_pairs"},
		{"pairs", "2:4", "GBLM, ℓ2, c = 100", "dense", "wanda_pairs"},
	} {
		x, err := perplexity(rec, row.name, "")
		if err != nil {
			return err
		}
		ppl[row.name] = x
		ratio := ""
		if row.against != "" {
			base, err := perplexity(rec, row.against, "")
			if err != nil {
				return err
			}
			ratio = fmt.Sprintf("%.3f", x/base)
		}
		m.Printf("| %s | %s | %s | %.2f | %s |\n", row.pattern, row.title, row.stats, x, ratio)
	}
	m.Printf("\n- GBLM is at most 1.02 times Wanda: %s; with the statistics of the pruned blocks: %s; at 2:4: %s\n",
		m.Agreement("gblm near wanda", ppl["l2"] <= 1.02*ppl["wanda"], false),
		m.Agreement("progressive gblm near wanda", ppl["progressive"] <= 1.02*ppl["wanda_progressive"], false),
		m.Agreement("2:4 gblm near wanda", ppl["pairs"] <= 1.02*ppl["wanda_pairs"], false))
	m.Printf("- Wanda and GBLM are below half of magnitude: %s\n", m.Agreement("half of magnitude", 2*max(ppl["wanda"], ppl["l2"]) < ppl["magnitude"], false))
	m.Printf("- Without gradients it is Wanda: %s\n", m.Verdict("gblm without gradients is wanda", ppl["wanda"] == ppl["zero"], false))
	m.Printf("- GBLM is below Wanda: %s; more weight on the gradients makes it better: %s\n",
		m.Agreement("gblm below wanda", ppl["l2"] < ppl["wanda"], true), m.Agreement("more gradient", ppl["mostly"] < ppl["even"] || ppl["strong"] < ppl["l2"], true))
	return nil
}
