// Command sweep shows what a sweep shares: it runs {2:4, 50 %, 60 %} × {3, 4
// bits} × ranks {16, 32, 64} on the reference model, all statistics being those
// of the dense model, and counts what each kernel did; then it runs the 18
// points one by one, each with an empty cache, for the time that takes. From
// the module's root, on a quiet machine:
//
//	go run ./acceptance/sweep -write docs/cache.md
//
// which also puts the figures between their marks in the page.
// It fails if a statistic was collected twice, or a layer decomposed more than
// once for its ranks, or if a point's digests differ between the two ways.
package main

import (
	"context"
	"flag"
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

func main() {
	log.SetFlags(log.Ltime)
	ref := flag.String("reference", "", "the folder of the reference material (also COMPRESSC_REFERENCE; ../shared/reference by default)")
	targets := flag.String("targets", "", `the linears to compress, as an HCL list; all by default. ["model.layers.0.*"] is a short form`)
	windows := flag.Int("windows", 20, "windows of the test text to measure on")
	points := flag.Int("points", 18, "how many of the points to run one by one")
	page := flag.String("write", "", "also put the figures into this page, between its lines "+strings.TrimSpace(beginMark)+" and "+strings.TrimSpace(endMark))
	flag.Parse()
	text, err := run(context.Background(), *ref, *targets, *windows, *points)
	fmt.Print(text)
	if err == nil && *page != "" {
		err = write(*page, text)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// walk is the kernel that goes through a block, to measure or for statistics.
const (
	walk       = "walk"
	statistics = "walk for statistics"
)

// work is what a run did for the first time, by kernel.
type work struct {
	calls  map[string]int
	record *record.Record
	wall   time.Duration
}

// run returns what it found in Markdown, also with an error that it found.
func run(ctx context.Context, ref, targets string, windows, points int) (string, error) {
	r, err := acceptance.FindReference(ref, ".")
	if err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp("", "compressc-sweep")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	program, err := acceptance.BuildProgram(ctx, ".", tmp)
	if err != nil {
		return "", err
	}
	do := func(name string, more ...string) (*work, error) {
		o := acceptance.RunOptions{Pipeline: filepath.Join("acceptance", "sweep"), CacheDir: filepath.Join(tmp, name),
			Vars: map[string]string{"reference": r.Dir, "windows": fmt.Sprint(windows)}, Flags: more}
		if targets != "" {
			o.Vars["targets"] = targets
		}
		w := &work{calls: map[string]int{}}
		o.Progress = func(e acceptance.Event) {
			if e.Type != "action_finished" || e.Status != "run" || e.Rewind {
				return
			}
			kernel := e.Kernel
			if kernel == walk && !strings.HasPrefix(e.Node, "evaluate.") {
				kernel = statistics
			}
			w.calls[kernel]++
		}
		start := time.Now()
		w.record, err = program.Run(ctx, o)
		w.wall = time.Since(start)
		return w, err
	}
	all, err := do("all")
	if err != nil {
		return "", err
	}
	log.Printf("the sweep: %.0f s", all.wall.Seconds())
	var wall time.Duration
	sum, digests := map[string]int{}, acceptance.Digests(all.record)
	done := 0
	for _, e := range all.record.Evaluations {
		if done == points {
			break
		}
		done++
		var flags []string
		for _, axis := range slices.Sorted(maps.Keys(e.Point)) {
			flags = append(flags, "-point", fmt.Sprintf("%s=%v", axis, e.Point[axis]))
		}
		one, err := do("one", flags...)
		if err != nil {
			return "", err
		}
		for node, d := range acceptance.Digests(one.record) {
			if digests[node] != d {
				return "", fmt.Errorf("%s has digest %.12s in the sweep, %.12s by itself", node, digests[node], d)
			}
		}
		if err := os.RemoveAll(filepath.Join(tmp, "one")); err != nil {
			return "", err
		}
		wall += one.wall
		for k, n := range one.calls {
			sum[k] += n
		}
		log.Printf("%s by itself: %.0f s", acceptance.PointText(e.Point), one.wall.Seconds())
	}
	return all.table(done, wall, sum), all.check(sum[statistics], done)
}

// table is what was found: the sweep beside so many of its points one by one.
func (w *work) table(points int, wall time.Duration, sum map[string]int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "The sweep of %d points: %d actions, %.0f s, on %d threads. ", len(w.record.Evaluations), w.record.Actions.Run, w.wall.Seconds(), w.record.Threads)
	fmt.Fprintf(&b, "%d of them one by one, each with an empty cache: %.0f s, %.1f times as long; the same digests.\n\n", points, wall.Seconds(), wall.Seconds()/w.wall.Seconds())
	fmt.Fprintf(&b, "| kernel | calls in the sweep | one by one |\n|---|---|---|\n")
	for _, k := range slices.Sorted(maps.Keys(w.calls)) {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", k, w.calls[k], sum[k])
	}
	return b.String()
}

// The figures lie between these lines of a page.
const (
	beginMark = "<!-- sweep -->\n"
	endMark   = "<!-- end of sweep -->\n"
)

// write replaces what lies between the marks of a page.
func write(page, text string) error {
	b, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(b), beginMark)
	_, after, ends := strings.Cut(rest, endMark)
	if !ok || !ends {
		return fmt.Errorf("%s: expected a line %q and, behind it, a line %q", page, strings.TrimSpace(beginMark), strings.TrimSpace(endMark))
	}
	return os.WriteFile(page, []byte(before+beginMark+text+endMark+after), 0o666)
}

// check compares the calls with what there is to do: a layer's decomposition
// depends on sparsity and bits, so there are six of each block's for the 18
// points, and a truncation for each point. The statistics are those that one
// point needs; apart is how many some points collected one by one.
func (w *work) check(apart, points int) error {
	if points > 0 && w.calls[statistics]*points != apart {
		return fmt.Errorf("statistics were collected by %d walks, %d points one by one take %d", w.calls[statistics], points, apart)
	}
	attached := w.calls["compensate.attach"]
	if attached == 0 || 3*w.calls["compensate.decompose"] != attached {
		return fmt.Errorf("%d decompositions for %d side paths: want one for all three ranks", w.calls["compensate.decompose"], attached)
	}
	if w.calls["prune.sparsegpt"]*2 != w.calls["quantize.gptq"] || w.calls["quantize.gptq"]*3 != attached {
		return fmt.Errorf("blocks pruned, quantised and compensated are not as 3 to 6 to 18: %v", w.calls)
	}
	return nil
}
