package executor

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// randomGraph draws a graph. It may be drawn once and built often, so that a
// new graph has the same actions.
type randomGraph struct {
	sources int
	actions []randomAction
}

type randomAction struct {
	params toyParams
	class  action.Class
	ins    []int // sources first, then actions
	node   string
}

func drawGraph(t *rapid.T) *randomGraph {
	g := &randomGraph{sources: rapid.IntRange(1, 2).Draw(t, "sources")}
	n := rapid.IntRange(1, 12).Draw(t, "actions")
	for i := range n {
		a := randomAction{
			params: toyParams{Name: fmt.Sprint("a", i), Size: rapid.SampledFrom([]int{1, 100, 90 << 10, 200 << 10}).Draw(t, "size")},
			class:  rapid.SampledFrom([]action.Class{durable, transient, transient, checkpoint}).Draw(t, "class"),
			node:   rapid.SampledFrom([]string{"n", "m"}).Draw(t, "node"),
		}
		if rapid.IntRange(0, 4).Draw(t, "mod") == 0 {
			// Actions whose results coincide, under one leaf name.
			a.params.Mod, a.params.Name, a.params.Size = 2, "same", 100
		}
		a.ins = rapid.SliceOfNDistinct(rapid.IntRange(0, g.sources+i-1), 1, min(3, g.sources+i), rapid.ID).Draw(t, "inputs")
		// Leaves that are carried over must not have the name of the new one,
		// and only those called "same" share theirs.
		if a.params.Mod == 0 {
			a.params.Carry = rapid.Bool().Draw(t, "carry")
		}
		g.actions = append(g.actions, a)
	}
	return g
}

// build adds the actions to w and returns their outputs.
func (g *randomGraph) build(w *world) []action.Ref {
	w.rebuild()
	var refs []action.Ref
	for i := range g.sources {
		refs = append(refs, w.source(fmt.Sprint("source ", i)))
	}
	for _, a := range g.actions {
		var ins []action.Ref
		for _, i := range a.ins {
			ins = append(ins, refs[i])
		}
		refs = append(refs, w.toyIn(a.node, a.params, a.class, ins...))
	}
	return refs[g.sources:]
}

// Whatever the schedule, the number of threads, the memory, the order of the
// targets, what was cached and what has been lost since: the digests are those
// of the serial interpreter, nothing is left in memory and no blob mapped.
func TestRandomGraphs(t *testing.T) {
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == f.DefValue {
		f.Value.Set("60")
		defer f.Value.Set(f.DefValue)
	}
	rapid.Check(t, func(rt *rapid.T) {
		dir := memoryDir(t)
		defer os.RemoveAll(dir)
		resetToys()
		w := &world{t: t, dir: dir}
		w.open()
		defer w.close()
		g := drawGraph(rt)
		for range rapid.IntRange(1, 3).Draw(rt, "processes") {
			outs := g.build(w)
			e, err := New(w.g, Options{Store: w.store, Logf: t.Logf,
				Threads: rapid.IntRange(1, 4).Draw(rt, "threads"), Memory: 1 << 30})
			if err != nil {
				rt.Fatal(err)
			}
			e.mem.budget = rapid.SampledFrom([]int64{300 << 10, 500 << 10, 1 << 30}).Draw(rt, "budget")
			want := interpret(w.g)
			for range rapid.IntRange(1, 3).Draw(rt, "runs") {
				targets := rapid.SliceOfN(rapid.SampledFrom(outs), 1, 4).Draw(rt, "targets")
				if _, err := e.Run(context.Background(), targets); err != nil {
					rt.Fatal(err)
				}
				for a, n := range e.nodes {
					if n.state != done {
						continue
					}
					for _, o := range n.outs {
						if r := (action.Ref{Action: a, Output: o.name}); o.digest != want[r] {
							rt.Fatalf("%s: %s, want %s", describe(a), o.digest.Short(), want[r].Short())
						}
					}
				}
				checkStored(rt, w, e)
				v := rapid.SampledFrom(targets).Draw(rt, "value")
				checkValue(rt, e, v)
				if rapid.Bool().Draw(rt, "complete") {
					e.CompleteNode("n")
				}
				if !e.mem.empty() {
					rt.Fatal("leaves are left in memory")
				}
				if _, reserved, _, _ := e.mem.usage(); reserved != 0 {
					rt.Fatalf("%d bytes are left reserved", reserved)
				}
			}
			e.Close()
			if err := w.store.Close(); err != nil {
				rt.Fatal(err)
			}
			lose(rt, dir)
			w.store = nil
			w.open()
		}
	})
}

// checkStored checks that the blobs of durable outputs are there.
func checkStored(t *rapid.T, w *world, e *Executor) {
	for a, n := range e.nodes {
		if a.Leaf != nil || n.state != done {
			continue
		}
		for _, o := range n.outs {
			if o.class != durable {
				continue
			}
			tree, err := o.tree()
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range tree.Entries {
				if _, err := os.Stat(w.blobPath(l.Digest)); err != nil {
					t.Fatalf("%s: leaf %s: %v", describe(a), l.Name, err)
				}
			}
		}
	}
}

func checkValue(t *rapid.T, e *Executor, r action.Ref) {
	v, release, err := e.Value(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for _, l := range v.Tree.Entries {
		if b, err := v.Bytes(l.Name); err != nil || artifact.Sum(b) != l.Digest {
			t.Fatalf("%s: leaf %s: wrong bytes, %v", describe(r.Action), l.Name, err)
		}
	}
}

// lose removes or damages some of the files that a run left, but sources'.
func lose(t *rapid.T, dir string) {
	for _, kind := range []string{"blobs", "act", "def"} {
		files, err := filepath.Glob(filepath.Join(dir, kind, "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			switch rapid.IntRange(0, 9).Draw(t, "fate") {
			case 0:
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			case 1:
				b, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				if len(b) == 0 || len(b) < 20 && strings.HasPrefix(string(b), "source") {
					continue // nothing can make a source again
				}
				b[len(b)/2] ^= 1
				os.Remove(f)
				if err := os.WriteFile(f, b, 0o444); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}
