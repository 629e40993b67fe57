package main

import (
	"fmt"
	"maps"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/acceptance/pages"
)

// threads compares digests at different numbers of threads.
func (r *report) threads(p *pages.Page) error {
	var first map[string]string
	same := true
	for _, threads := range []int{1, 2, 3} {
		dir, err := r.empty("threads")
		if err != nil {
			return err
		}
		rec, err := r.run("threads", acceptance.RunOptions{CacheDir: dir, Threads: threads})
		if err != nil {
			return err
		}
		d := acceptance.Digests(rec)
		if first == nil {
			first = d
		}
		same = same && maps.Equal(first, d)
	}
	p.Printf("## The same bits\n\nPruning, quantising, training and compensating two blocks of the model, %d nodes, with `-threads` 1, 2 and 3, each from an empty cache: the same digests in `show -json` %s\n", len(first), p.Verdict("threads", same, false))
	differ := map[string]bool{}
	for _, how := range []string{"reference", "input", "output"} {
		digest, ok := first["prune.wanda_"+how+"[]"]
		if !ok {
			return fmt.Errorf("the run has no prune.wanda_%s", how)
		}
		differ[digest] = true
	}
	p.Printf("\n`propagate = \"reference\"`, `\"input\"` and `\"output\"` give three different models, as they must %s\n", p.Verdict("propagate", len(differ) == 3, false))
	return nil
}
