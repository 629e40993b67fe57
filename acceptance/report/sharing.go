package main

import (
	"time"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/acceptance/pages"
)

// sharing measures a sweep with nothing cached, and once more with everything.
func (r *report) sharing(p *pages.Page) error {
	dir, err := r.empty("sharing")
	if err != nil {
		return err
	}
	o := acceptance.RunOptions{CacheDir: dir}
	rec, err := r.run("sharing", o)
	if err != nil {
		return err
	}
	var first, rest float64
	ranks := 0
	for _, n := range rec.Nodes {
		if n.Verb != "compensate" {
			continue
		}
		if ranks++; ranks == 1 {
			first = n.Seconds
		} else {
			rest += n.Seconds
		}
	}
	const limit = 500 * time.Millisecond
	// The best of a few: what else the machine does is not the program's.
	best, ran := time.Hour, 0
	for range 3 {
		start := time.Now()
		again, err := r.run("sharing", o)
		if err != nil {
			return err
		}
		best, ran = min(best, time.Since(start)), ran+again.Actions.Run
	}
	p.Printf("## Sharing\n\nSparseGPT 2:4 → GPTQ 4 bit → EoRA at %d ranks, from an empty cache: %d actions, %.0f s, peak memory without file-backed pages %d MB with no budget given.\n\n", ranks, rec.Actions.Run, rec.Seconds, rec.PeakAnonBytes/1e6)
	p.Printf("- The first compensation takes %.1f s of work, the %d further ones together %.2f s, %.1f %% of it; wanted at most 10 %% %s\n", first, ranks-1, rest, 100*rest/first, p.Agreement("sharing", rest <= 0.1*first, false))
	p.Printf("- A second run runs %d actions and returns in %.2f s; wanted none, in under half a second %s\n", ran, best.Seconds(), p.Verdict("second run", ran == 0 && best < limit, false))
	return nil
}
