package executor

import (
	"errors"
	"fmt"
	"testing"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
)

func sampling(s Sample) func(*Options) { return func(o *Options) { o.Sample = s } }

// A kernel that is found on record and would not give the same again is caught
// and named; what is honest is not made a fault of.
func TestSampleCatchesNondeterminism(t *testing.T) {
	w := newWorld(t)
	honest := w.toy(toyParams{Name: "honest"}, durable, w.source("x"))
	fickle := w.toyOf(fickleKernel, durable, honest)
	after := w.toy(toyParams{Name: "after"}, durable, fickle)
	w.executor().Run(t.Context(), []action.Ref{after})
	w.calls("after honest")
	w.reopen()
	e := w.executor(sampling(Sample{OneIn: 1, Whole: true}))
	res, err := e.Run(t.Context(), []action.Ref{after})
	var bad *NondeterministicError
	if !errors.As(err, &bad) || bad.Kernel != "fickle" {
		t.Fatalf("%v; expected the kernel fickle to be named", err)
	}
	if res.Compared != 2 || e.Outcome(fickle.Action).Status != Failed || e.Outcome(honest.Action).Status != Cached {
		t.Errorf("%d compared, fickle %s, honest %s", res.Compared, e.Outcome(fickle.Action).Status, e.Outcome(honest.Action).Status)
	}
	w.calls("after honest")
	w.reopen()
	var c *cache.Conflict
	if _, err := w.executor().Run(t.Context(), []action.Ref{after}); !errors.As(err, &c) {
		t.Errorf("later: %v; expected that nobody believes it any more", err)
	}
}

// By itself a run compares what costs it little: only where it has work, and
// only what has its inputs in the store. The whole sample makes them again.
func TestSampleCost(t *testing.T) {
	w := newWorld(t)
	more := func(n int) []action.Ref {
		w.reopen()
		w.rebuild()
		s := w.source("x")
		h := w.toy(toyParams{Name: "hidden"}, transient, s)
		r := []action.Ref{w.toy(toyParams{Name: "first"}, durable, s), w.toy(toyParams{Name: "deep"}, durable, h)}
		for i := range n {
			r = append(r, w.toy(toyParams{Name: fmt.Sprint("more", i)}, durable, s))
		}
		return r
	}
	run := func(s Sample, share float64, targets []action.Ref) *Result {
		t.Helper()
		e := w.executor(sampling(s), recalling)
		defer e.Close()
		e.sampleShare = share
		res, err := e.Run(t.Context(), targets)
		if err != nil {
			t.Fatal(err)
		}
		w.check(e, targets...)
		return res
	}
	all := Sample{OneIn: 1}
	const much = 1e9 // whatever an action took, comparing it costs less
	if res := run(all, much, more(0)); res.Compared != 0 {
		t.Errorf("%d compared of a first run", res.Compared)
	}
	w.calls("deep first hidden")
	if res := run(all, much, more(0)); res.Compared != 0 || res.Rewound != 0 {
		t.Errorf("%d compared of a run without work", res.Compared)
	}
	w.calls("")
	if res := run(all, much, more(1)); res.Compared != 2 || res.Rewound != 0 {
		t.Errorf("%d compared, %d made again; expected those with stored inputs", res.Compared, res.Rewound)
	}
	w.calls("first hidden more0")
	if res := run(all, 0, more(2)); res.Compared != 0 {
		t.Errorf("%d compared, though it must cost nothing", res.Compared)
	}
	w.calls("more1")
	if res := run(Sample{OneIn: 1, Whole: true}, 0, more(2)); res.Compared != 5 {
		t.Errorf("%d compared of the whole", res.Compared)
	}
	w.calls("deep first hidden more0 more1")
	if u, err := w.store.Usage(); err != nil || u.Taints.Files > 0 {
		t.Errorf("%d marks, %v", u.Taints.Files, err)
	}
}

// The sample depends on the seed and the key alone, and is about as large as it
// should be.
func TestSampleTakes(t *testing.T) {
	const n, oneIn = 100_000, 500
	differ := 0
	for _, seed := range []string{"", "run 1", "run 2"} {
		s, got := Sample{OneIn: oneIn, Seed: seed}, 0
		for i := range n {
			k := string(cache.Sum(fmt.Append(nil, i)))
			if s.takes(k) {
				got++
			}
			if s.takes(k) != (Sample{OneIn: oneIn, Seed: "run 1"}).takes(k) {
				differ++
			}
		}
		if got < n/oneIn*3/4 || got > n/oneIn*5/4 {
			t.Errorf("seed %q takes %d of %d", seed, got, n)
		}
	}
	if differ == 0 {
		t.Error("every run takes the same")
	}
	if (Sample{}).takes("x") {
		t.Error("no sample takes something")
	}
}
