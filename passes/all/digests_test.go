package all

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/executor"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/planner"
)

const digestsFile = "testdata/digests.json"

// everyKernel is a folder with a pipeline in which each kernel runs at least
// once. A method's part may stand in a file of its own.
const everyKernel = "testdata/every"

// TestDigests fails when a kernel's bytes change without a new Impl: results
// on record would then be taken for what the kernel gives now.
// COMPRESSC_UPDATE=1 records new kernels and new versions; it refuses to change
// the digest of a version that is on record. A change of a block in the pipeline
// changes what runs for it: delete its digests and record them again, in a commit
// that changes no kernel.
func TestDigests(t *testing.T) {
	got := runEveryKernel(t, 2)
	if one := runEveryKernel(t, 1); fmt.Sprint(one) != fmt.Sprint(got) {
		for k, d := range got {
			if one[k] != d {
				t.Errorf("%s: %s with one thread, %s with two", k, one[k], d)
			}
		}
	}
	want := map[string]string{}
	raw, err := os.ReadFile(digestsFile)
	if err == nil {
		err = json.Unmarshal(raw, &want)
	}
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	update := os.Getenv("COMPRESSC_UPDATE") != ""
	for k, d := range got {
		switch w, ok := want[k]; {
		case ok && w != d:
			t.Errorf("%s gives %s, on record is %s: its bytes have changed, so raise its Impl", k, d, w)
		case !ok && !update:
			t.Errorf("%s is not on record; run the test with COMPRESSC_UPDATE=1", k)
		}
	}
	for k := range want {
		if _, ok := got[k]; !ok {
			if !update {
				t.Errorf("%s is on record but did not run", k)
			}
			delete(want, k)
		}
	}
	if update && !t.Failed() {
		raw, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(digestsFile), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(digestsFile, append(raw, '\n'), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// planned plans the pipeline in dir with a cache of its own there. Both are
// closed when the test ends.
func planned(t *testing.T, dir string, threads int) (*planner.Plan, *executor.Executor) {
	t.Helper()
	reg, err := lang.NewRegistry(Passes()...)
	if err != nil {
		t.Fatal(err)
	}
	p, diags := lang.Load(dir, lang.Options{Registry: reg, Complete: true})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	r := &planner.Resolver{Dir: dir}
	e, diags := planner.Expand(p, planner.Sources{Model: r.Model, Data: r.Data})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	store, err := cache.Open(filepath.Join(dir, "cache"), cache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	plan, err := planner.Build(e, r, store)
	if err != nil {
		t.Fatal(err)
	}
	ex, err := executor.New(plan.Graph, executor.Options{Store: store, Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ex.Close)
	return plan, ex
}

// everyKernelDir is a copy of the pipeline with its text.
func everyKernelDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := strings.Repeat("A weight that is small on an input that is large may matter more than it seems. ", 40)
	if err := os.WriteFile(filepath.Join(dir, "text.txt"), []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(everyKernel)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runEveryKernel returns, by "kernel@impl block", the digest of all outputs of all
// actions that the block was the first to ask for, in the order of the graph.
func runEveryKernel(t *testing.T, threads int) map[string]string {
	t.Helper()
	plan, ex := planned(t, everyKernelDir(t), threads)
	var targets []action.Ref
	for _, a := range plan.Graph.Actions {
		for _, o := range a.Outputs {
			targets = append(targets, action.Ref{Action: a, Output: o.Name})
		}
	}
	if _, err := ex.Run(context.Background(), targets); err != nil {
		t.Fatal(err)
	}
	sums := map[string][]string{}
	for _, a := range plan.Graph.Actions {
		if a.Kernel == nil {
			continue
		}
		k := fmt.Sprintf("%s@%d %s", a.Kernel.Name, a.Kernel.Impl, a.Node)
		o := ex.Outcome(a)
		var names []string
		for n := range o.Digests {
			names = append(names, n)
		}
		sort.Strings(names)
		for _, n := range names {
			sums[k] = append(sums[k], n+" "+string(o.Digests[n]))
		}
	}
	out := map[string]string{}
	for k, list := range sums {
		out[k] = string(artifact.Sum([]byte(strings.Join(list, "\n"))))
	}
	return out
}
