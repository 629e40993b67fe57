package main

import (
	"path/filepath"

	"github.com/compressc/compressc/acceptance"
)

// bitstack measures BitStack beside rounding to grids, and what scaling and a further block do.
func bitstack(m *measurement) error {
	out := m.scratch
	if _, err := m.run(map[string]string{"out": out}); err != nil {
		return err
	}
	const group = 64
	minimum := filepath.Join(out, "base")
	if err := roundToMinimum(minimum, 3, group); err != nil {
		return err
	}
	rec, err := m.run(map[string]string{"out": filepath.Join(out, "again"), "minimum": minimum})
	if err != nil {
		return err
	}
	ppl := map[string]float64{}
	m.Printf("| weights | bits per weight | perplexity |\n|---|---|---|\n")
	for _, row := range []struct{ name, point, title string }{
		{"minimum", "", "rounded, 3 bits, groups of 64, a minimum and a step"},
		{"symmetric", "", "rounded, 3 bits, groups of 64, symmetric"},
		{"grid", "", "rounded, 3 bits, groups of 64, zero points"},
		{"rank4", "blocks=1", "rank 4, 1 block"},
		{"rank4", "blocks=2", "rank 4, 2 blocks"},
		{"rank4", "blocks=3", "rank 4, 3 blocks"},
		{"rank4", "blocks=4", "rank 4, 4 blocks"},
		{"rank16", "", "rank 16, 3 blocks"},
		{"bare", "", "rank 16, 3 blocks, not scaled"},
	} {
		x, err := perplexity(rec, row.name, row.point)
		if err != nil {
			return err
		}
		size := minimumBits(3, group)
		if row.name != "minimum" {
			size = bits(acceptance.FindNode(rec, "quantize."+row.name, row.point))
		}
		ppl[row.name+row.point] = x
		m.Printf("| %s | %.2f | %.2f |\n", row.title, size, x)
	}
	three := ppl["rank4blocks=3"]
	m.Printf("\n- Rank 4 with 3 blocks is below rounding to 3 bits with a float16 minimum for each group, the baseline of the claim (139 against 168): %s; below symmetric rounding: %s\n",
		m.Agreement("bitstack below rounding", three < ppl["minimum"], false), m.Agreement("bitstack below symmetric rounding", three < ppl["symmetric"], false))
	m.Printf("- It is below rounding with integer zero points, which is the better grid and takes fewer bits: %s\n", m.Agreement("bitstack below rounding with zero points", three < ppl["grid"], true))
	m.Printf("- A third block lowers the perplexity: %s\n", m.Agreement("a third block helps", three < ppl["rank4blocks=2"], false))
	m.Printf("- Scaling lowers it at least fivefold with 3 blocks: %s\n", m.Agreement("scaling pays", 5*ppl["rank16"] <= ppl["bare"], false))
	return nil
}
