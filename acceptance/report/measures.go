package main

import (
	"encoding/json"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compressc/compressc/acceptance"
	"github.com/compressc/compressc/internal/record"
)

// windowLosses are the summed losses of an evaluation's windows.
func windowLosses(rec *record.Record, name, point string) ([]float64, error) {
	e := acceptance.FindEvaluation(rec, "evaluate."+name, point)
	if e == nil {
		return nil, fmt.Errorf("the run has no evaluate.%s at %q", name, point)
	}
	var rep struct {
		Windows []float64 `json:"windows"`
	}
	if err := json.Unmarshal(e.Report, &rep); err != nil {
		return nil, fmt.Errorf("evaluate.%s: %w", name, err)
	}
	return rep.Windows, nil
}

// empty is a folder for a cache that starts empty.
func (p *report) empty(name string) string { return filepath.Join(p.tmp, "cache-"+name) }

// noise shows how rows move when nothing that matters does.
func (p *report) noise() error {
	rec, err := p.run("noise", acceptance.RunOptions{CacheDir: p.cache})
	if err != nil {
		return err
	}
	p.printf("\n## Noise\n\nThe damping, 0.01, nudged by a part in a thousand or less. All are the same published algorithm; a code that flips in an early block changes the inputs of all later ones. \"Above 1.02\" counts the layers whose output error is more than 1.02 times that of the row at 0.01.\n\n| | damping | perplexity | layers above 1.02 | largest | sum of all |\n|---|---|---|---|---|---|\n")
	for _, m := range []struct{ what, node, evaluation string }{{"GPTQ 3 bit", "quantize.gptq3", "gptq3"}, {"SparseGPT 2:4", "prune.sparsegpt24", "sparsegpt24"}} {
		base := acceptance.FindNode(rec, m.node, "damping=0.01")
		if base == nil {
			return fmt.Errorf("the run has no %s at damping 0.01", m.node)
		}
		want := map[string]float64{}
		for layer, numbers := range base.Layers {
			want[layer] = numbers["relative_output_error"]
		}
		least, most := 0.0, 0.0
		for i := range rec.Nodes {
			n := &rec.Nodes[i]
			if n.Name != m.node {
				continue
			}
			point := acceptance.PointText(n.Point)
			ppl, err := perplexity(rec, m.evaluation, point)
			if err != nil {
				return err
			}
			if least == 0 || ppl < least {
				least = ppl
			}
			most = max(most, ppl)
			c, err := compareLayers(n, want, 1.02)
			if err != nil {
				return err
			}
			p.printf("| %s | %s | %.3f | %d | %.3f | %.4f |\n", m.what, strings.TrimPrefix(point, "damping="), ppl, c.above, c.ratios[len(c.ratios)-1], c.sum)
		}
		p.printf("| %s | spread | %.1f %% | | | |\n", m.what, 100*(most/least-1))
	}
	return nil
}

// methods compares methods layer by layer on the same statistics.
func (p *report) methods() error {
	const blocks = 30
	text, err := os.ReadFile(pipelinePath("methods"))
	if err != nil {
		return err
	}
	log.Print("comparing methods layer by layer")
	s, err := acceptance.OpenSession(p.tmp, string(text), acceptance.SessionOptions{CacheDir: p.cache, Vars: map[string]string{"reference": p.reference.Dir}})
	if err != nil {
		return err
	}
	defer s.Close()
	p.printf("\n## Methods against each other\n\nOutput errors over the calibration tokens, weighed by the same statistics for both. A theorem says that EoRA's is at most LoRC's in every layer; for the others it is the sum over a block's layers that counts, and layers where the better method does worse are listed.\n\n| better | than | layers | better in | sum of errors over the other's | exceptions |\n|---|---|---|---|---|---|\n")
	for _, c := range []struct {
		better, worse, stream string
		names                 [2]string
		each                  bool
	}{
		{better: "compensate.e", worse: "compensate.l", stream: "quantize.sq", names: [2]string{"EoRA 64", "LoRC 64"}, each: true},
		{better: "quantize.g", worse: "quantize.r", stream: "model.base", names: [2]string{"GPTQ 4 bit", "RTN 4 bit"}},
		{better: "prune.s", worse: "prune.w", stream: "model.base", names: [2]string{"SparseGPT 2:4", "Wanda 2:4"}},
	} {
		better, err := s.OutputErrors(p.ctx, c.better, "model.base", c.stream, "data.calib", blocks)
		if err != nil {
			return err
		}
		worse, err := s.OutputErrors(p.ctx, c.worse, "model.base", c.stream, "data.calib", blocks)
		if err != nil {
			return err
		}
		layers, wins := 0, 0
		var sum, other float64
		var exceptions []string
		kept := true
		for b := range better {
			var x, y float64
			for _, layer := range slices.Sorted(maps.Keys(better[b])) {
				e, f := better[b][layer], worse[b][layer]
				layers++
				x, y = x+e.Error, y+f.Error
				if e.Error <= f.Error*(1+1e-6) {
					wins++
					continue
				}
				exceptions = append(exceptions, fmt.Sprintf("%d.%s %.3g to %.3g", b, layer, e.Relative(), f.Relative()))
				kept = kept && !c.each
			}
			kept = kept && x <= y
			sum, other = sum+x, other+y
		}
		p.printf("| %s | %s | %d | %d %s | %.4f | %s |\n", c.names[0], c.names[1], layers, wins, p.verdict(c.names[0]+" against "+c.names[1], kept, false), sum/other, strings.Join(exceptions, "; "))
	}
	return nil
}

// sharing measures a sweep with nothing cached, and once more with everything.
func (p *report) sharing() error {
	o := acceptance.RunOptions{CacheDir: p.empty("sharing")}
	rec, err := p.run("sharing", o)
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
	start := time.Now()
	again, err := p.run("sharing", o)
	if err != nil {
		return err
	}
	wall := time.Since(start)
	p.printf("\n## Sharing\n\nSparseGPT 2:4 → GPTQ 4 bit → EoRA at %d ranks, from an empty cache: %d actions, %.0f s, peak memory %d MB.\n\n", ranks, rec.Actions.Run, rec.Seconds, rec.PeakAnonBytes/1e6)
	p.printf("- The first compensation takes %.1f s of work, the %d further ones together %.2f s, %.1f %% of it; wanted at most 10 %% %s\n", first, ranks-1, rest, 100*rest/first, p.verdict("sharing", rest <= 0.1*first, false))
	p.printf("- A second run runs %d actions and returns in %.2f s; wanted none, in under half a second %s\n", again.Actions.Run, wall.Seconds(), p.verdict("second run", again.Actions.Run == 0 && wall < 500*time.Millisecond, false))
	const limit = 600e6
	p.printf("- Peak memory without file-backed pages, with no budget given: %d MB; wanted at most %d MB %s\n", rec.PeakAnonBytes/1e6, int(limit/1e6), p.verdict("memory of one-shot passes", rec.PeakAnonBytes <= limit, false))
	return nil
}

// memory measures peaks, each from an empty cache.
func (p *report) memory() error {
	p.printf("\n## Memory\n\nThe highest anonymous resident memory (`RssAnon`) of the process, sampled every 20 ms; mapped model files and blobs are not in it.\n\n| | budget | seconds | peak | wanted at most | |\n|---|---|---|---|---|---|\n")
	for _, c := range []struct {
		what, pipeline, memory string
		limit                  int64
	}{
		{"SparseGPT 2:4 → GPTQ 4 bit → EoRA 64", "oneshot", "350MB", 350e6},
		{"Wanda 2:4 → masked LoRA → GPTQ 4 bit → EoRA 64", "chain", "", 1500e6},
	} {
		rec, err := p.run(c.pipeline, acceptance.RunOptions{CacheDir: p.empty(c.pipeline), Memory: c.memory})
		if err != nil {
			return err
		}
		p.printf("| %s | %s | %.0f | %d MB | %d MB | %s |\n", c.what, c.memory, rec.Seconds, rec.PeakAnonBytes/1e6, c.limit/1e6, p.verdict("memory of "+c.pipeline, rec.PeakAnonBytes <= c.limit, false))
	}
	return nil
}

// threads compares digests at different numbers of threads.
func (p *report) threads() error {
	var first map[string]string
	same, nodes := true, 0
	for _, threads := range []int{1, 2, 3} {
		rec, err := p.run("threads", acceptance.RunOptions{CacheDir: p.empty(fmt.Sprint("threads", threads)), Threads: threads})
		if err != nil {
			return err
		}
		d := acceptance.Digests(rec)
		if first == nil {
			first, nodes = d, len(d)
		}
		same = same && maps.Equal(first, d)
	}
	p.printf("\n## The same bits\n\nPruning, quantising, training and compensating two blocks of the model, %d nodes, with 1, 2 and 3 threads, each from an empty cache: the same digests %s\n", nodes, p.verdict("threads", same, false))
	differ := map[string]bool{}
	for _, how := range []string{"reference", "input", "output"} {
		differ[first["prune.wanda_"+how+"[]"]] = true
	}
	p.printf("\n`propagate = \"reference\"`, `\"input\"` and `\"output\"` give three different models, as they must %s\n", p.verdict("propagate", len(differ) == 3, false))
	return nil
}
