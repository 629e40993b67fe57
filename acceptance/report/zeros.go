package main

import (
	"strings"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/acceptance/pages"
)

// zeros counts zeros after every stage of both kept-mask chains.
func (r *report) zeros(p *pages.Page) error {
	if _, err := r.run("rows", acceptance.RunOptions{CacheDir: r.cache}); err != nil {
		return err
	}
	s, err := r.session("rows", nil)
	if err != nil {
		return err
	}
	defer s.Close()
	p.Printf("## Zeros\n\nCounted in every linear after each stage of both chains: weights that the pruner dropped and that are not zero, and groups of four with fewer than two zeros. Side paths stand beside the weights and fill nothing. Of the exported files the next section tells.\n\n| stage | layers | weights | zeros | filled | broken groups | |\n|---|---|---|---|---|---|---|\n")
	for _, c := range []struct {
		pruner string
		stages []named
	}{
		{"prune.s24", []named{{"SparseGPT 2:4", "prune.s24"}, {"→ GPTQ 4 bit", "quantize.s24g4"}, {"→ EoRA 64", "compensate.s24g4e[rank.rank=64]"}}},
		{"prune.w24", []named{{"Wanda 2:4", "prune.w24"}, {"→ masked LoRA", "retrain.wl"}, {"→ GPTQ 4 bit", "quantize.wlg4"}, {"→ EoRA 64", "compensate.wlg4e[rank.rank=64]"}}},
	} {
		for _, stage := range c.stages {
			z, err := s.CountZeros(r.ctx, c.pruner, stage.addr, r.scale.blocks)
			if err != nil {
				return err
			}
			p.Printf("| %s (`%s`) | %d | %d | %.4f %% | %d | %d | %s |\n", stage.what, strings.Split(stage.addr, "[")[0], z.Layers, z.Weights, 100*z.Share(), z.Filled, z.Broken, p.Verdict("zeros after "+stage.addr, z.Kept(), false))
		}
	}
	return nil
}
