package executor

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

func recalling(o *Options) { o.Recall = true }

// again runs targets in a new process that recalls, and says how many actions
// were recalled.
func (w *world) again(build func() []action.Ref) (e *Executor, targets []action.Ref, recalled int) {
	w.t.Helper()
	w.reopen()
	w.rebuild()
	targets = build()
	e = w.executor(recalling)
	if _, err := e.Run(w.t.Context(), targets); err != nil {
		w.t.Fatal(err)
	}
	w.check(e, targets...)
	return e, targets, len(e.recalled)
}

// A run without work goes by the memos: it does not notice that the index is
// gone. Whoever then needs bytes, or more results, gets the right ones.
func TestRecall(t *testing.T) {
	w := newWorldOn(t, memoryDir(t))
	more := false
	build := func() []action.Ref {
		s := w.source("x")
		h := w.toyIn("walk", toyParams{Name: "h"}, checkpoint, w.toyIn("stats", toyParams{Name: "gram"}, transient, s))
		q := w.toyIn("walk", toyParams{Name: "q"}, durable, h)
		if more {
			return []action.Ref{q, w.toyIn("new", toyParams{Name: "more"}, durable, h)}
		}
		return []action.Ref{q}
	}
	e, _, n := w.again(build)
	e.CompleteNode("walk")
	e.Close()
	w.calls("gram h q")
	if n != 0 {
		t.Errorf("%d actions are recalled before they have run", n)
	}
	e, _, n = w.again(build)
	e.Close()
	w.calls("")
	if n != 3 {
		t.Fatalf("%d actions are recalled", n)
	}

	// More than is remembered: h's bytes are gone, and so are gram's.
	more = true
	e, _, _ = w.again(build)
	e.Close()
	w.calls("gram h more")
	more = false

	for _, dir := range []string{"act", "blobs"} {
		if err := os.RemoveAll(filepath.Join(w.dir, dir)); err != nil {
			t.Fatal(err)
		}
	}
	e, targets, n := w.again(build)
	if n != 3 {
		t.Fatalf("%d actions are recalled without an index", n)
	}
	w.calls("")
	v, release, err := e.Value(t.Context(), targets[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := v.Bytes("leaf.q")
	if err != nil || len(b) != 100 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	release()
	w.calls("gram h q")
	if _, release, err = e.Value(t.Context(), e.nodes[targets[0].Action].ins[0].out.ref()); err != nil {
		t.Errorf("another value afterwards: %v", err)
	} else {
		release()
	}
	e.Close()
}

// Whatever is removed ends the memos, also if it is removed meanwhile.
func TestRecallEnds(t *testing.T) {
	for name, remove := range map[string]func(t *testing.T, w *world, q artifact.Digest, key cache.Digest){
		"gc": func(t *testing.T, w *world, _ artifact.Digest, _ cache.Digest) {
			if _, err := w.store.GC(t.Context(), cache.GCOptions{KeepRuns: -1, MinAge: -1, Now: true}); err != nil {
				t.Fatal(err)
			}
		},
		"a blob is removed": func(t *testing.T, w *world, q artifact.Digest, _ cache.Digest) {
			if n, err := w.store.Remove(cache.Digest(q)); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		},
		"a blob is found damaged": func(t *testing.T, w *world, q artifact.Digest, _ cache.Digest) {
			flip(t, w.blobPath(q))
			if _, err := w.store.Open(cache.Digest(q)); err == nil {
				t.Fatal("opened")
			}
		},
		"an entry is found damaged": func(t *testing.T, w *world, _ artifact.Digest, key cache.Digest) {
			flip(t, filepath.Join(w.dir, "act", string(key[:2]), string(key)))
			if _, ok, err := w.store.GetEntry(key); ok || err != nil {
				t.Fatal(ok, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOn(t, memoryDir(t))
			build := func() []action.Ref { return []action.Ref{w.toy(toyParams{Name: "q"}, durable, w.source("x"))} }
			e, targets, _ := w.again(build)
			leaf, key := w.leafDigest(e, targets[0]), cache.Digest(e.nodes[targets[0].Action].key)
			e.Close()
			w.calls("q")
			w.reopen()
			remove(t, w, leaf, key)
			e, _, n := w.again(build)
			e.Close()
			w.calls("q")
			if n != 0 {
				t.Errorf("%d actions are recalled", n)
			}
		})
	}
}

func FuzzParseMemo(f *testing.F) {
	d := artifact.Sum(nil)
	f.Add(encodeMemo([]Recalled{{Key: d, Seconds: 1.5, Peak: -3, Outputs: []RecalledOutput{{d, 7}}}, {Key: d}}))
	f.Add([]byte("x y z\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rs, err := parseMemo(data)
		if err != nil {
			return
		}
		again, err := parseMemo(encodeMemo(rs))
		if err != nil || len(again) != len(rs) {
			t.Fatalf("%v", err)
		}
		for i := range rs {
			rs[i].Seconds, again[i].Seconds = 0, 0 // may be no number
		}
		if !reflect.DeepEqual(rs, again) {
			t.Errorf("%+v\n%+v", rs, again)
		}
	})
}

// A run goes in stages: one that has work does it, though all before it was
// recalled.
func TestRecallThenWork(t *testing.T) {
	w := newWorldOn(t, memoryDir(t))
	var late []action.Ref
	build := func() []action.Ref {
		q := w.toyIn("first", toyParams{Name: "q"}, durable, w.source("x"))
		late = []action.Ref{w.toyIn("second", toyParams{Name: "late"}, durable, q)}
		return []action.Ref{q}
	}
	e, _, _ := w.again(build)
	e.Close()
	w.calls("q")
	e, _, n := w.again(build)
	if n != 1 {
		t.Fatalf("%d actions are recalled", n)
	}
	if _, err := e.Run(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	w.check(e, late...)
	e.Close()
	w.calls("late")
}
