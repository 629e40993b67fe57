package main

import (
	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/acceptance/pages"
)

// heldOut shows rows again on windows that nothing was tuned on.
func (r *report) heldOut(p *pages.Page) error {
	rec, err := r.run("rows", acceptance.RunOptions{CacheDir: r.cache})
	if err != nil {
		return err
	}
	p.Printf("## Held-out windows\n\nThe same models on windows 20 to 59 of the test text. No other program measured these; what counts is that a model stands to the dense one as it does on the first 20.\n\n| | windows 0–19 | over dense | windows 20–59 | over dense |\n|---|---|---|---|---|\n")
	var dense [2]float64
	for i, name := range []string{"dense", "dense_held"} {
		if dense[i], err = perplexity(rec, name, ""); err != nil {
			return err
		}
	}
	for _, w := range []struct{ what, name, point string }{
		{"dense", "dense", ""}, {"GPTQ 4 bit", "g4", ""}, {"GPTQ 4 bit, as published", "g4p", ""},
		{"GPTQ 3 bit", "g3", ""}, {"GPTQ 3 bit, as published", "g3p", ""},
		{"SparseGPT 2:4", "s24", ""}, {"SparseGPT 2:4, as published", "s24p", ""},
		{"SparseGPT 2:4 → GPTQ 4 bit + EoRA 64", "s24g4e", "rank=64"}, {"Wanda 2:4 → masked LoRA → GPTQ 4 bit + EoRA 64", "wlg4e", "rank=64"},
	} {
		a, err := perplexity(rec, w.name, w.point)
		if err != nil {
			return err
		}
		b, err := perplexity(rec, w.name+"_held", "")
		if err != nil {
			return err
		}
		p.Printf("| %s | %.3f | %.3f | %.3f | %.3f |\n", w.what, a, a/dense[0], b, b/dense[1])
	}
	return nil
}
