package main

import (
	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/acceptance/pages"
)

// memory measures peaks, each from an empty cache.
func (r *report) memory(p *pages.Page) error {
	p.Printf("## Memory\n\nThe highest anonymous resident memory (`RssAnon`) of the process, sampled every 20 ms; mapped model files and blobs are not in it. Each from an empty cache, evaluation included.\n\n| | budget | seconds | peak | wanted at most | |\n|---|---|---|---|---|---|\n")
	for _, c := range []struct {
		what, pipeline, memory string
		limit                  int64
	}{
		{"SparseGPT 2:4 → GPTQ 4 bit → EoRA 64", "oneshot", "", 600e6},
		{"SparseGPT 2:4 → GPTQ 4 bit → EoRA 64", "oneshot", "350MB", 350e6},
		{"Wanda 2:4 → masked LoRA, 10 steps → GPTQ 4 bit → EoRA 64", "chain", "", 1500e6},
	} {
		dir, err := r.empty(c.pipeline)
		if err != nil {
			return err
		}
		rec, err := r.run(c.pipeline, acceptance.RunOptions{CacheDir: dir, Memory: c.memory})
		if err != nil {
			return err
		}
		budget := c.memory
		if budget == "" {
			budget = "none given"
		}
		p.Printf("| %s | %s | %.0f | %d MB | %d MB | %s |\n", c.what, budget, rec.Seconds, rec.PeakAnonBytes/1e6, c.limit/1e6, p.Verdict("memory of "+c.pipeline+", budget "+budget, rec.PeakAnonBytes > 0 && rec.PeakAnonBytes <= c.limit, false))
	}
	return nil
}
