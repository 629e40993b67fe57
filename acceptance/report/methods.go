package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/acceptance/pages"
)

// methods compares methods layer by layer on the same statistics.
func (r *report) methods(p *pages.Page) error {
	// The rows have to be there: a session runs only what is asked of it.
	if _, err := r.run("rows", acceptance.RunOptions{CacheDir: r.cache}); err != nil {
		return err
	}
	s, err := r.session("rows", nil)
	if err != nil {
		return err
	}
	defer s.Close()
	pairs := []struct {
		better, worse named
		stream        string
		each          bool
	}{
		{named{"EoRA 32", "compensate.g4e[rank.rank=32]"}, named{"LoRC 32, both on GPTQ 4 bit", "compensate.g4l"}, "quantize.g4", true},
		{named{"EoRA 64", "compensate.s24g4e[rank.rank=64]"}, named{"LoRC 64, both on SparseGPT 2:4 → GPTQ 4 bit", "compensate.s24g4l"}, "quantize.s24g4", true},
		{named{"GPTQ 3 bit", "quantize.g3i"}, named{"GPTQ 3 bit as published, same inputs", "quantize.g3ip"}, "model.base", true},
		{named{"SparseGPT 2:4", "prune.s24i"}, named{"SparseGPT 2:4 as published, same inputs", "prune.s24ip"}, "model.base", true},
		{named{"GPTQ 4 bit", "quantize.g4"}, named{"RTN 4 bit", "quantize.rtn4"}, "model.base", false},
		{named{"SparseGPT 2:4", "prune.s24"}, named{"Wanda 2:4", "prune.w24"}, "model.base", false},
	}
	var comparisons []acceptance.Comparison
	for _, c := range pairs {
		comparisons = append(comparisons, acceptance.Comparison{Nodes: []string{c.better.addr, c.worse.addr}, Original: "model.base",
			Within: c.stream, Through: c.stream, Data: "data.calib", Blocks: r.scale.blocks})
	}
	all, err := s.OutputErrors(r.ctx, comparisons...)
	if err != nil {
		return err
	}
	p.Printf("## Methods against each other\n\nOutput errors over the calibration tokens, weighed by the same statistics for both. A theorem says that EoRA's is at most LoRC's in every layer, and what goes over a sweep again cannot raise its loss on the same inputs; for the others it is the sum over a block's layers that counts, and layers where the better method does worse are listed. ✓ is for what is wanted: every layer for these, the sum in every block for the others.\n\n| better | than | layers | better in | | sum of errors over the other's | exceptions |\n|---|---|---|---|---|---|---|\n")
	for i, c := range pairs {
		layers, wins := 0, 0
		var sum, other float64
		var exceptions []string
		kept := true
		for b, block := range all[i][c.better.addr] {
			var x, y float64
			for _, layer := range slices.Sorted(maps.Keys(block)) {
				e, f := block[layer], all[i][c.worse.addr][b][layer]
				layers++
				x, y = x+e.Error, y+f.Error
				if e.Error <= f.Error*(1+1e-6) { // side paths are stored as float32
					wins++
					continue
				}
				exceptions = append(exceptions, fmt.Sprintf("%d.%s %.3g to %.3g", b, layer, e.Relative(), f.Relative()))
				kept = kept && !c.each
			}
			kept = kept && x <= y
			sum, other = sum+x, other+y
		}
		p.Printf("| %s | %s | %d | %d | %s | %.4f | %s |\n", c.better.what, c.worse.what, layers, wins, p.Verdict(c.better.what+" against "+c.worse.what, kept, false), sum/other, list(exceptions))
	}
	return nil
}

// named is a node and what a table calls it.
type named struct{ what, addr string }
