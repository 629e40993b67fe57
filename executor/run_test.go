package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/tensor"
)

func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }

func TestCachedMeansNoCalls(t *testing.T) {
	w := newWorld(t)
	build := func() action.Ref {
		s := w.source("hello")
		a := w.toy(toyParams{Name: "a"}, transient, s)
		b := w.toy(toyParams{Name: "b"}, transient, a)
		return w.toy(toyParams{Name: "c"}, durable, b, a)
	}
	_, res := w.run(build())
	w.calls("a b c")
	if res.Ran != 3 || res.Cached != 0 || res.Rewound != 0 {
		t.Errorf("first: %+v", res)
	}
	w.reopen()
	w.rebuild()
	c := build()
	e, res := w.run(c)
	w.calls("")
	if res.Ran != 0 || res.Cached != 3 {
		t.Errorf("second: %+v", res)
	}
	if out := e.Outcome(c.Action); out.Status != Cached || out.Key == "" || out.Digests["out"] == "" {
		t.Errorf("outcome %+v", out)
	}
}

// A run looks at nothing but what its targets need.
func TestDemandDriven(t *testing.T) {
	w := newWorld(t)
	s := w.source("x")
	a := w.toy(toyParams{Name: "a"}, durable, s)
	other := w.toy(toyParams{Name: "other"}, durable, a)
	e, _ := w.run(a)
	w.calls("a")
	if got := e.Outcome(other.Action).Status; got != Pending {
		t.Errorf("what nobody wants is %s", got)
	}
}

// The graph grows between runs of one executor; what was done stays done.
func TestStages(t *testing.T) {
	w := newWorld(t)
	s := w.source("x")
	a := w.toy(toyParams{Name: "a"}, transient, s)
	b := w.toy(toyParams{Name: "b"}, durable, a)
	var last Totals
	e := w.executor(func(o *Options) { o.Events = func(ev Event) { last = ev.Totals } })
	if _, err := e.Run(t.Context(), []action.Ref{b}); err != nil {
		t.Fatal(err)
	}
	w.calls("a b")
	c := w.toy(toyParams{Name: "c"}, durable, b)
	d := w.toy(toyParams{Name: "d"}, durable, a) // needs a's bytes again
	res, err := e.Run(t.Context(), []action.Ref{b, c, d})
	if err != nil {
		t.Fatal(err)
	}
	w.check(e, b, c, d)
	w.calls("a c d")
	if res.Ran != 2 || res.Rewound != 1 || res.Actions != 2 {
		t.Errorf("%+v", res)
	}
	if last.Actions != 4 || last.Ran != 4 {
		t.Errorf("events tell of %+v after both", last)
	}
}

func TestEarlyCutoff(t *testing.T) {
	w := newWorld(t)
	// Mod 1 makes a's bytes the same whatever it reads, but its leaf is called
	// after it, so the name must be the same too.
	run := func(text string) *Result {
		w.rebuild()
		a := w.toy(toyParams{Name: "a", Mod: 1}, durable, w.source(text))
		c := w.toy(toyParams{Name: "c"}, durable, w.toy(toyParams{Name: "b"}, transient, a))
		_, res := w.run(c)
		return res
	}
	run("one")
	w.calls("a b c")
	if res := run("two"); res.Ran != 1 || res.Cached != 2 {
		t.Errorf("%+v", res)
	}
	w.calls("a")
}

// Two actions of one graph that turn out to be the same run once.
func TestEqualKeysRunOnce(t *testing.T) {
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("fails=", fails), func(t *testing.T) {
			w := newWorld(t)
			do := ""
			if fails {
				do = "fail"
				act("fail", func(*action.Context) error { return errors.New("no") })
			}
			s1, s2 := w.source("1"), w.source("2")
			var targets []action.Ref
			for _, s := range []action.Ref{s1, s2} {
				a := w.toy(toyParams{Name: "a", Mod: 1}, durable, s)
				b := w.toy(toyParams{Name: "b", Do: do}, transient, a)
				targets = append(targets, w.toy(toyParams{Name: "c"}, durable, b))
			}
			e := w.executor()
			_, err := e.Run(t.Context(), targets)
			if fails {
				if err == nil {
					t.Error("no error")
				}
				w.calls("a=2 b=2") // the second tries for itself
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			w.check(e, targets...)
			w.calls("a=2 b c")
		})
	}
}

// One of two equal actions wants more kept than the other.
func TestEqualKeysOfTwoClasses(t *testing.T) {
	w := newWorld(t)
	s1, s2 := w.source("1"), w.source("2")
	a := w.toy(toyParams{Name: "a", Mod: 1}, durable, s1)
	b := w.toy(toyParams{Name: "a", Mod: 1}, durable, s2)
	ca := w.toy(toyParams{Name: "c"}, transient, a)
	cb := w.toy(toyParams{Name: "c"}, durable, b)
	e, _ := w.run(ca, cb)
	d := w.leafDigest(e, cb)
	if _, err := os.Stat(w.blobPath(d)); err != nil {
		t.Errorf("the durable one's bytes are not in the store: %v", err)
	}
}

func TestRewind(t *testing.T) {
	w := newWorld(t)
	build := func(extra bool) (targets []action.Ref) {
		s := w.source("x")
		a := w.toy(toyParams{Name: "a"}, transient, s)
		b := w.toy(toyParams{Name: "b"}, transient, a)
		k := w.toy(toyParams{Name: "k"}, durable, b)
		targets = append(targets, w.toy(toyParams{Name: "c"}, durable, b, k))
		if extra {
			targets = append(targets, w.toy(toyParams{Name: "d"}, durable, b, k))
		}
		return targets
	}
	w.run(build(false)...)
	w.calls("a b c k")
	w.reopen()
	w.rebuild()
	e, res := w.run(build(true)...)
	w.calls("a b d")
	if res.Rewound != 2 || res.Ran != 1 {
		t.Errorf("%+v", res)
	}
	if !e.mem.empty() {
		t.Error("leaves are left in memory")
	}
}

// A kernel that gives other bytes when it runs again is found out, and nobody
// trusts it any more.
func TestRewindMustReproduce(t *testing.T) {
	w := newWorld(t)
	calls := 0
	act("drift", func(c *action.Context) error {
		calls++
		return c.Out["out"].PutJSON("drift", calls)
	})
	build := func(name string) action.Ref {
		a := w.toy(toyParams{Name: "a", Do: "drift"}, transient, w.source("x"))
		return w.toy(toyParams{Name: name}, durable, a)
	}
	e := w.executor()
	if _, err := e.Run(t.Context(), []action.Ref{build("b")}); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	w.rebuild()
	c := build("c")
	e = w.executor()
	_, err := e.Run(t.Context(), []action.Ref{c})
	var nd *NondeterministicError
	if !errors.As(err, &nd) || nd.Kernel != "toy" || nd.Leaf != "drift" {
		t.Fatalf("error %v", err)
	}
	var conflict *cache.Conflict
	if !errors.As(err, &conflict) {
		t.Errorf("the store was not told: %v", err)
	}
	if out := e.Outcome(c.Action); out.Status != Failed {
		t.Errorf("its consumer is %s", out.Status)
	}
	w.reopen()
	w.rebuild()
	if _, err := w.executor().Run(t.Context(), []action.Ref{build("b")}); !errors.As(err, &conflict) {
		t.Errorf("a tainted action is served: %v", err)
	}
}

// A durable output carries leaves over that live in memory only; a transient
// one carries them on to where they are read.
func TestCarriedLeaves(t *testing.T) {
	for _, mid := range []action.Class{transient, durable} {
		t.Run(mid.String(), func(t *testing.T) {
			w := newWorld(t)
			build := func(more bool) []action.Ref {
				a := w.toy(toyParams{Name: "a"}, transient, w.source("x"))
				b := w.toy(toyParams{Name: "b", Carry: true}, mid, a)
				c := w.toy(toyParams{Name: "c", Carry: true}, mid, b)
				if more {
					return []action.Ref{w.toy(toyParams{Name: "e"}, durable, c)}
				}
				return []action.Ref{w.toy(toyParams{Name: "d", Carry: true}, durable, c)}
			}
			e, _ := w.run(build(false)...)
			w.calls("a b c d")
			if !e.mem.empty() {
				t.Error("leaves are left in memory")
			}
			w.reopen()
			w.rebuild()
			// d has put all leaves into the store, where they are found.
			e, _ = w.run(build(true)...)
			w.calls("e")
			// Without them, each comes from the action that made it.
			w.reopen()
			w.rebuild()
			targets := build(true)
			for _, n := range []string{"a", "b", "c"} {
				for a, node := range e.nodes {
					if a.Label == n {
						removeBlob(t, w, w.leafDigest(e, action.Ref{Action: node.a, Output: "out"}))
					}
				}
			}
			targets = append(targets, w.toy(toyParams{Name: "f"}, durable, targets[0].Action.Inputs[0].Ref))
			w.run(targets...)
			w.calls("a b c f")
		})
	}
}

func removeBlob(t testing.TB, w *world, d artifact.Digest) {
	t.Helper()
	removeFile(t, w.blobPath(d))
}

func removeFile(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// An output that was transient is wanted in the store.
func TestMoreLastingClass(t *testing.T) {
	w := newWorld(t)
	s := w.source("x")
	a := w.toy(toyParams{Name: "a"}, transient, s)
	b := w.toy(toyParams{Name: "b"}, durable, a)
	e, _ := w.run(b)
	w.calls("a b")
	a2 := w.toy(toyParams{Name: "a"}, durable, s) // the same action
	if a2 != a {
		t.Fatal("not shared")
	}
	if _, err := e.Run(t.Context(), []action.Ref{a, b}); err != nil {
		t.Fatal(err)
	}
	w.calls("a")
	if _, err := os.Stat(w.blobPath(w.leafDigest(e, a))); err != nil {
		t.Error(err)
	}
	w.reopen()
	w.rebuild()
	w.run(w.toy(toyParams{Name: "a"}, durable, w.source("x")))
	w.calls("")
}

func TestFailureIsolation(t *testing.T) {
	w := newWorld(t)
	act("fail", func(*action.Context) error { return errors.New("no convergence") })
	act("panic", func(*action.Context) error { panic("index out of shape") })
	s := w.source("x")
	bad := w.toyIn("quantize.q", toyParams{Name: "block 3", Do: "fail"}, transient, s)
	below := w.toy(toyParams{Name: "below"}, durable, bad)
	worse := w.toyIn("prune.p", toyParams{Name: "block 4", Do: "panic"}, durable, s)
	both := w.toy(toyParams{Name: "both"}, durable, below, worse)
	good := w.toy(toyParams{Name: "good2"}, durable, w.toy(toyParams{Name: "good"}, transient, s))
	e := w.executor()
	res, err := e.Run(t.Context(), []action.Ref{both, good})
	var re *RunError
	if !errors.As(err, &re) || len(re.Failed) != 2 || re.Skipped != 2 || re.Cause != nil {
		t.Fatalf("error %#v", err)
	}
	for _, want := range []string{"quantize.q: block 3", "no convergence", "prune.p: block 4", "index out of shape", "runToy", "2 actions were not run"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the message lacks %q:\n%v", want, err)
		}
	}
	if n := strings.Count(re.Failed[1].Stack, "\n"); n == 0 || n > 16 {
		t.Errorf("stack of %d lines", n)
	}
	w.check(e, good)
	w.calls("block 3 block 4 good good2")
	if res.Failed != 2 || res.Skipped != 2 || res.Ran != 2 {
		t.Errorf("%+v", res)
	}
	var dep *DependencyError
	if out := e.Outcome(below.Action); out.Status != Skipped || !errors.As(out.Err, &dep) || dep.Cause.Action != bad.Action {
		t.Errorf("below: %+v", out)
	}
	if !e.mem.empty() {
		t.Error("leaves are left in memory")
	}
	// What failed stays failed, also for what is added later.
	late := w.toy(toyParams{Name: "late"}, durable, below)
	if _, err := e.Run(t.Context(), []action.Ref{late, good}); !errors.As(err, &re) || len(re.Failed) != 1 {
		t.Errorf("late: %v", err)
	}
	w.calls("")
	// Nothing of it is in the index.
	w.reopen()
	if _, err := w.executor().Run(t.Context(), []action.Ref{bad}); err == nil {
		t.Error("a failed action is served")
	}
	w.calls("block 3")
}

func TestFailFast(t *testing.T) {
	w := newWorld(t)
	act("fail", func(*action.Context) error { return errors.New("no") })
	act("hang", func(c *action.Context) error { <-c.Done(); return c.Err() })
	s := w.source("x")
	bad := w.toy(toyParams{Name: "bad", Do: "fail"}, durable, s)
	hangs := w.toy(toyParams{Name: "hangs", Do: "hang"}, durable, s)
	good := w.toy(toyParams{Name: "good"}, durable, hangs)
	e := w.executor(func(o *Options) { o.FailFast = true })
	_, err := e.Run(t.Context(), []action.Ref{good, bad})
	var re *RunError
	if !errors.As(err, &re) || len(re.Failed) != 1 || re.Failed[0].Action != bad.Action || re.Skipped != 2 || errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	w.calls("bad hangs")
}

func TestStop(t *testing.T) {
	w := newWorld(t)
	var e *Executor
	act("stop", func(*action.Context) error { e.Stop(); return nil })
	a := w.toy(toyParams{Name: "a", Do: "stop"}, durable, w.source("x"))
	b := w.toy(toyParams{Name: "b"}, durable, a)
	e = w.executor()
	e.Stop() // without a run: nothing
	if _, err := e.Run(t.Context(), []action.Ref{b}); !errors.Is(err, ErrStopped) {
		t.Fatalf("error %v", err)
	}
	w.calls("a")
	if got := e.Outcome(a.Action).Status; got != Ran {
		t.Errorf("a is %s: it was running and should have been finished", got)
	}
	if got := e.Outcome(b.Action).Status; got != Skipped {
		t.Errorf("b is %s", got)
	}
	if !e.mem.empty() {
		t.Error("leaves are left in memory")
	}
	// The next run goes on.
	if _, err := e.Run(t.Context(), []action.Ref{b}); err != nil {
		t.Fatal(err)
	}
	w.check(e, b)
}

func TestCancel(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	act("hang", func(c *action.Context) error {
		cancel()
		<-c.Done()
		return c.Err()
	})
	a := w.toy(toyParams{Name: "a", Do: "hang"}, durable, w.source("x"))
	b := w.toy(toyParams{Name: "b"}, durable, a)
	e := w.executor()
	if _, err := e.Run(ctx, []action.Ref{b}); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if got := e.Outcome(a.Action).Status; got != Skipped {
		t.Errorf("a is %s", got)
	}
	act("hang", func(*action.Context) error { return nil })
	if _, err := e.Run(t.Context(), []action.Ref{b}); err != nil {
		t.Fatal(err)
	}
	w.check(e, b)
}

func TestValue(t *testing.T) {
	w := newWorld(t)
	a := w.toy(toyParams{Name: "a", Size: 100 << 10}, transient, w.source("x"))
	b := w.toy(toyParams{Name: "b"}, durable, a)
	c := w.toy(toyParams{Name: "c"}, durable, b)
	e := w.executor()
	if _, _, err := e.Value(t.Context(), b); err == nil {
		t.Error("a value before any run")
	}
	if _, err := e.Run(t.Context(), []action.Ref{b}); err != nil {
		t.Fatal(err)
	}
	w.calls("a b")
	for _, r := range []action.Ref{a, b} {
		v, release, err := e.Value(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		data, err := v.Bytes("leaf." + r.Action.Label)
		if err != nil || artifact.Sum(data) != w.leafDigest(e, r) {
			t.Errorf("%s: wrong bytes, %v", r.Action.Label, err)
		}
		release()
		release()
	}
	w.calls("a") // only a's bytes were gone
	if !e.mem.empty() {
		t.Error("leaves are left in memory")
	}
	if _, _, err := e.Value(t.Context(), c); err == nil {
		t.Error("a value of what has not run")
	}
	// A damaged blob is found when it is loaded, and repaired.
	w.reopen()
	e = w.executor()
	if _, err := e.Run(t.Context(), []action.Ref{b}); err != nil {
		t.Fatal(err)
	}
	v, release, err := e.Value(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	flip(t, w.blobPath(w.leafDigest(e, b)))
	data, err := v.Bytes("leaf.b")
	if err != nil || artifact.Sum(data) != w.leafDigest(e, b) {
		t.Errorf("after damage: %v", err)
	}
	w.calls("a b")
}

// Damaged and missing blobs cost a recomputation, never a wrong result.
func TestDamagedBlobs(t *testing.T) {
	damage := map[string]func(t testing.TB, w *world, d artifact.Digest){
		"flipped": func(t testing.TB, w *world, d artifact.Digest) { flip(t, w.blobPath(d)) },
		"missing": removeBlob,
		"short": func(t testing.TB, w *world, d artifact.Digest) {
			p := w.blobPath(d)
			if err := os.Chmod(p, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(p, 10); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, f := range damage {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			build := func(last string) (mid, end action.Ref) {
				a := w.toy(toyParams{Name: "a"}, transient, w.source("x"))
				mid = w.toy(toyParams{Name: "b"}, durable, a)
				end = w.toy(toyParams{Name: last}, durable, mid)
				return
			}
			mid, end := build("c")
			e, _ := w.run(end)
			w.calls("a b c")
			d := w.leafDigest(e, mid)
			w.reopen()
			w.rebuild()
			f(t, w, d)
			_, end = build("d")
			e, _ = w.run(end)
			if name == "flipped" { // found by reading only
				w.calls("a b d=2")
			} else {
				w.calls("a b d")
			}
			if !e.mem.empty() {
				t.Error("leaves are left in memory")
			}
			w.reopen()
			w.rebuild()
			_, end = build("d")
			w.run(end)
			w.calls("")
		})
	}
}

// A blob that is damaged again and again is an error in the end.
func TestBlobKeepsVanishing(t *testing.T) {
	w := newWorld(t)
	mid := w.toy(toyParams{Name: "a"}, durable, w.source("x"))
	end := w.toy(toyParams{Name: "b", Do: "fail"}, durable, mid)
	e := w.executor()
	if _, err := e.Run(t.Context(), []action.Ref{mid}); err != nil {
		t.Fatal(err)
	}
	d := w.leafDigest(e, mid)
	stopped := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(stopped)
		for ctx.Err() == nil {
			os.Remove(w.blobPath(d))
			time.Sleep(50 * time.Microsecond)
		}
	}()
	act("fail", func(*action.Context) error { return errors.New("got through") })
	_, err := e.Run(t.Context(), []action.Ref{end})
	cancel()
	<-stopped
	if err == nil {
		t.Error("no error")
	}
}

func TestSourceIsGone(t *testing.T) {
	w := newWorld(t)
	s := w.source("some text")
	a := w.toy(toyParams{Name: "a"}, durable, s)
	d := artifact.Sum([]byte("some text"))
	for name, f := range map[string]func(){
		"missing": func() { removeBlob(t, w, d) },
		"flipped": func() { flip(t, w.blobPath(d)) },
	} {
		w.source("some text")
		f()
		_, err := w.executor().Run(t.Context(), []action.Ref{a})
		if err == nil || !strings.Contains(err.Error(), "text") {
			t.Errorf("%s: %v", name, err)
		}
		w.reopen()
	}
}

// A source file that changes under a running action spoils its result.
func TestExternalChanges(t *testing.T) {
	w := newWorld(t)
	path := w.dir + "-source"
	if err := os.WriteFile(path, []byte("weights"), 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	b := artifact.NewBuilder()
	if err := b.PutJSON("unused", 1); err != nil {
		t.Fatal(err)
	}
	tree, _ := b.Finish()
	d, err := w.store.HashFile(path, []cache.Range{{Offset: 0, Length: 7}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.AddExternal(d[0], cache.External{Path: path, Length: 7}); err != nil {
		t.Fatal(err)
	}
	tree.Entries[0].Digest, tree.Entries[0].Size = artifact.Digest(d[0]), 7
	act("rewrite", func(*action.Context) error { return os.WriteFile(path, []byte("WEIGHTS"), 0o644) })
	a := w.toy(toyParams{Name: "a", Do: "rewrite"}, durable, w.g.AddLeaf("model.m", tree))
	e := w.executor()
	if _, err := e.Run(t.Context(), []action.Ref{a}); !errors.Is(err, cache.ErrChanged) {
		t.Errorf("error %v", err)
	}
	w.reopen()
	w.calls("a")
	if _, ok, _ := w.store.GetEntry(cache.Digest(e.nodes[a.Action].key)); ok {
		t.Error("the result was published")
	}
}

func TestEvents(t *testing.T) {
	w := newWorld(t)
	act("steps", func(c *action.Context) error {
		for i := range 5 {
			c.Progress(i+1, 5)
		}
		return nil
	})
	s := w.source("x")
	a := w.toy(toyParams{Name: "a", Do: "steps"}, transient, s)
	b := w.toy(toyParams{Name: "b"}, durable, a)
	var mu sync.Mutex
	var got []string
	var last Totals
	e := w.executor(func(o *Options) {
		o.Events = func(ev Event) {
			mu.Lock()
			defer mu.Unlock()
			text := fmt.Sprintf("%s %s", ev.Kind, ev.Action.Label)
			if ev.Kind == EventFinished {
				text += " " + string(ev.Status)
			}
			if ev.Kind == EventProgress {
				text += fmt.Sprintf(" %d/%d", ev.Done, ev.Total)
			}
			got = append(got, text)
			last = ev.Totals
		}
	})
	if _, err := e.Run(t.Context(), []action.Ref{b}); err != nil {
		t.Fatal(err)
	}
	// b begins when a has computed, which may be before or after a is on
	// record. How many steps are told depends on how long they take.
	order := strings.Join(slices.DeleteFunc(slices.Clone(got), func(s string) bool {
		return s == "finished a run" || strings.HasPrefix(s, "progress") && s != "progress a 1/5" && s != "progress a 5/5"
	}), ", ")
	if want := "started a, progress a 1/5, progress a 5/5, started b, finished b run"; order != want {
		t.Errorf("events\n%s, want\n%s", order, want)
	}
	if i, j := slices.Index(got, "finished a run"), slices.Index(got, "finished b run"); i < 0 || i > j {
		t.Errorf("a is not finished before b: %v", got)
	}
	if last.Actions != 2 || last.Ran != 2 || last.Running != 0 || last.MemoryBudget != e.mem.budget {
		t.Errorf("totals %+v", last)
	}
}

func TestOptions(t *testing.T) {
	w := newWorld(t)
	for name, o := range map[string]Options{
		"no store":         {},
		"negative threads": {Store: w.store, Threads: -1},
		"no memory":        {Store: w.store, Memory: 1 << 20},
	} {
		if _, err := New(w.g, o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	e, err := New(w.g, Options{Store: w.store})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.o.Memory < 1<<30 || e.o.Threads < 1 {
		t.Errorf("defaults %+v", e.o)
	}
	if res, err := e.Run(t.Context(), nil); err != nil || res.Actions != 0 {
		t.Errorf("nothing to do: %v", err)
	}
	if e.PeakAnon() <= 0 {
		t.Error("no anonymous memory was seen")
	}
}

// With the cache's Recompute, as COMPRESSC_VERIFY=1 asks for, everything runs
// again and is compared with what is on record: a kernel that gives other bytes
// is named, and nobody trusts it afterwards.
func TestVerifyNamesTheKernel(t *testing.T) {
	w := newWorld(t)
	honest := w.toy(toyParams{Name: "honest"}, durable, w.source("x"))
	fickle := w.toyOf(fickleKernel, durable, honest)
	after := w.toy(toyParams{Name: "after"}, durable, fickle)
	w.executor().Run(t.Context(), []action.Ref{after})
	w.opts.Recompute = true
	w.reopen()
	e := w.executor()
	_, err := e.Run(t.Context(), []action.Ref{after})
	var c *cache.Conflict
	if !errors.As(err, &c) || !strings.Contains(err.Error(), "kernel fickle gave two different results") {
		t.Fatalf("%v", err)
	}
	if st := e.Outcome(honest.Action).Status; st != Ran {
		t.Errorf("the honest action is %s", st)
	}
	if st := e.Outcome(after.Action).Status; st != Skipped {
		t.Errorf("what depends on it is %s", st)
	}
	w.opts.Recompute = false
	w.reopen()
	if _, err := w.executor().Run(t.Context(), []action.Ref{after}); !errors.As(err, &c) {
		t.Errorf("later: %v", err)
	}
}

var fickleCalls atomic.Int64

// fickleKernel gives other bytes each time.
var fickleKernel = action.NewKernel("fickle", 1, func(c *action.Context, _ toyParams) error {
	b := []byte{byte(fickleCalls.Add(1))}
	c.Output("out").PutBytes("leaf", tensor.Meta{DType: tensor.U8, Shape: []int{1}}, b)
	return nil
})

// toyOf adds an action of another kernel.
func (w *world) toyOf(k *action.Kernel, class action.Class, ins ...action.Ref) action.Ref {
	s := action.Spec{Kernel: k, Params: toyParams{}, Node: "node", Outputs: []action.Output{{Name: "out", Class: class, Bytes: 1}}}
	for i, in := range ins {
		s.Inputs = append(s.Inputs, action.Input{Name: fmt.Sprint(i), Ref: in})
	}
	return action.Ref{Action: w.g.Add(s), Output: "out"}
}

// An action that takes too long fails, with what depends on it; the rest is
// finished.
func TestTimeout(t *testing.T) {
	w := newWorld(t)
	act("hang", func(c *action.Context) error {
		<-c.Done() // as if it had looked between two steps
		return c.Step(1, 2)
	})
	s := w.source("x")
	hangs := w.toy(toyParams{Name: "hangs", Do: "hang"}, durable, s)
	after := w.toy(toyParams{Name: "after"}, durable, hangs)
	e := w.executor(func(o *Options) { o.Timeout = time.Millisecond })
	_, err := e.Run(t.Context(), []action.Ref{after})
	var te *TimeoutError
	if !errors.As(err, &te) || !strings.Contains(err.Error(), "hangs") || !strings.Contains(err.Error(), "-action-timeout") {
		t.Errorf("%v", err)
	}
	if e.Outcome(hangs.Action).Status != Failed || e.Outcome(after.Action).Status != Skipped {
		t.Errorf("%v, %v", e.Outcome(hangs.Action), e.Outcome(after.Action))
	}
}
