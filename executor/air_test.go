package executor

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/cache/fault"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/tensor"
)

// What is on its way is lent up to a bound, small leaves without one; what was lent
// stays readable when it has landed, and counts until it is given back.
func TestLeavesAreReadOnTheirWay(t *testing.T) {
	e := &Executor{air: newAir(5 * smallLeaf)}
	leaf := func(n int, fill byte) (artifact.Entry, []byte) {
		b := bytes.Repeat([]byte{fill}, n)
		return artifact.Entry{Name: string(fill), Digest: artifact.Sum(b), Size: int64(n)}, b
	}
	e.mem = newMemory(1<<30, t.TempDir(), t.Logf, func(int64) {})
	a, aData := leaf(3*smallLeaf, 'a')
	b, bData := leaf(3*smallLeaf, 'b')
	c, cData := leaf(smallLeaf, 'c')
	empty, none := leaf(0, 'd')
	landings := map[artifact.Digest]*landing{}
	for _, x := range []struct {
		e artifact.Entry
		b []byte
	}{{a, aData}, {b, bData}, {c, cData}, {empty, none}} {
		landings[x.e.Digest] = e.air.takeOff(x.e.Digest, x.b)
	}
	r := newReader(e)
	for _, x := range []struct {
		e artifact.Entry
		b []byte
	}{{a, aData}, {c, cData}, {empty, none}} {
		got, err := r.load(x.e)
		if err != nil || !bytes.Equal(got, x.b) {
			t.Fatalf("leaf %s: %d bytes, %v", x.e.Name, len(got), err)
		}
	}
	if l, _, ok := e.air.lend(b.Digest); ok || l == nil {
		t.Fatal("more is lent than the bound")
	}
	e.air.land(a.Digest, landings[a.Digest])
	if got, err := r.load(a); err != nil || !bytes.Equal(got, aData) {
		t.Fatalf("after landing: %d bytes, %v", len(got), err)
	}
	if l, _, ok := e.air.lend(b.Digest); ok || l == nil {
		t.Fatal("landing gives back what is still read")
	}
	r.close()
	if _, n, ok := e.air.lend(b.Digest); !ok || n != 3*smallLeaf {
		t.Fatal("nothing was given back")
	}
}

// copied is called by name with what a copyKernel has put.
var copied map[string]func(put []byte)

// copyKernel puts what it reads, and its name.
var copyKernel = action.NewKernel("copy", 1, func(c *action.Context, p toyParams) error {
	b, err := c.In["0"].Bytes(c.In["0"].Tree.Entries[0].Name)
	if err != nil {
		return err
	}
	toyMu.Lock()
	toyCalls[p.Name]++
	toyMu.Unlock()
	out := slices.Concat(b, []byte(p.Name))
	c.Out["out"].PutBytes("leaf."+p.Name, tensor.Meta{DType: tensor.U8, Shape: []int{len(out)}}, out)
	if f := copied[p.Name]; f != nil {
		f(out)
	}
	return nil
})

// slowDisk is a world in which b copies what a copies, and nothing is written
// before the gate is opened.
func slowDisk(t *testing.T) (w *world, gate func(), a, b action.Ref) {
	w = newWorldOn(t, memoryDir(t))
	text := strings.Repeat("a leaf that no buffer takes ", 20_000)
	src := w.source(text)
	w.close()
	open := make(chan struct{})
	w.opts.Fault = &fault.Set{Pause: func(p fault.Point, _ string) {
		if p == fault.Write {
			<-open
		}
	}}
	w.open()
	add := func(name string, in action.Ref) action.Ref {
		return action.Ref{Action: w.g.Add(action.Spec{Kernel: copyKernel, Params: toyParams{Name: name}, Node: "node", Label: name,
			Inputs:  []action.Input{{Name: "0", Ref: in}},
			Outputs: []action.Output{{Name: "out", Class: durable, Bytes: int64(len(text))}}}), Output: "out"}
	}
	a = add("a", src)
	b = add("b", a)
	copied = map[string]func([]byte){}
	return w, sync.OnceFunc(func() { close(open) }), a, b
}

// What is on its way to a slow disk counts against the budget: nothing begins that
// does not fit beside it, and nothing is spilled for it.
func TestFlyingLeavesCount(t *testing.T) {
	w, gate, a, b := slowDisk(t)
	var opened atomic.Bool
	copied["b"] = func([]byte) {
		if !opened.Load() {
			t.Error("b has begun while a's leaf takes the memory that it needs")
		}
	}
	e := w.executor()
	e.mem.budget = a.Action.Outputs[0].Bytes * 3 / 2
	go func() {
		for !e.mem.flies() {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond) // for b to begin, if it did
		opened.Store(true)
		gate()
	}()
	res, err := e.Run(t.Context(), []action.Ref{b})
	if err != nil {
		t.Fatal(err)
	}
	w.calls("a b")
	if _, reserved, _, spilled := e.mem.usage(); reserved != 0 || e.mem.flies() || spilled+res.Spilled != 0 {
		t.Errorf("%d bytes reserved at the end, %v, %d spilled", reserved, e.mem.flies(), spilled)
	}
}

// scribble writes to a leaf, once.
func scribble() func(put []byte) {
	first := true
	return func(put []byte) {
		if first {
			put[len(put)/2]++
		}
		first = false
	}
}

// wantValue reads an output's leaves and compares them with their digests.
func wantValue(t *testing.T, e *Executor, r action.Ref) {
	t.Helper()
	v, release, err := e.Value(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	for _, l := range v.Tree.Entries {
		if got, err := v.Bytes(l.Name); err != nil || artifact.Sum(got) != l.Digest {
			t.Errorf("leaf %s has other bytes than its digest says, or %v", l.Name, err)
		}
	}
}

// A leaf to which its kernel goes on writing is found damaged by whoever reads
// it first, here or in a later process, and made again.
func TestScribbledLeafIsFoundByItsReader(t *testing.T) {
	for _, later := range []bool{false, true} {
		w, gate, a, _ := slowDisk(t)
		spoil := scribble()
		copied["a"] = func(put []byte) { spoil(put); gate() }
		e := w.executor()
		if _, err := e.Run(t.Context(), []action.Ref{a}); err != nil {
			t.Fatal(err)
		}
		w.calls("a")
		if later {
			w.reopen()
			r, err := w.store.Check(t.Context(), cache.CheckOptions{Full: true})
			if err != nil || len(r.Problems) != 1 {
				t.Errorf("check: %v, %v", r.Problems, err)
			}
			e = w.executor()
			if _, err := e.Run(t.Context(), []action.Ref{a}); err != nil {
				t.Fatal(err)
			}
			w.calls("")
		}
		wantValue(t, e, a)
		w.calls("a")
	}
}

// One that somebody read before it was in the store is found as soon as it is.
// Nothing that was made from it gets on record.
func TestScribbledLeafThatWasReadOnItsWay(t *testing.T) {
	w, gate, a, b := slowDisk(t)
	copied["a"] = scribble()
	copied["b"] = func([]byte) { gate() } // opened by nobody else: it has read
	_, err := w.executor().Run(t.Context(), []action.Ref{b})
	var run *RunError
	if !errors.As(err, &run) || len(run.Failed) != 1 || run.Failed[0].Action != a.Action || run.Skipped != 1 ||
		!strings.Contains(run.Failed[0].Error(), "writes to bytes it has put") {
		t.Fatalf("error %v", err)
	}
	w.calls("a b")
	w.reopen()
	for x, err := range w.store.Entries() {
		t.Errorf("the action %s is on record, or %v", x.Action.Short(), err)
	}
	e := w.executor()
	if _, err := e.Run(t.Context(), []action.Ref{b}); err != nil {
		t.Fatal(err)
	}
	w.calls("a b")
	wantValue(t, e, a)
	wantValue(t, e, b)
	w.calls("")
}

// One that the disk damages is found as soon as it is in the store, too, and
// stored again: whoever read it before had the right bytes.
func TestDamagedLeafThatWasReadOnItsWay(t *testing.T) {
	w, gate, _, b := slowDisk(t)
	leaf := artifact.Sum(slices.Concat([]byte(strings.Repeat("a leaf that no buffer takes ", 20_000)), []byte("a")))
	hold := w.opts.Fault.Pause
	spoil := sync.OnceFunc(func() {
		files, err := filepath.Glob(filepath.Join(w.dir, "tmp", "*"))
		if err != nil {
			t.Error(err)
		}
		for _, f := range files {
			if data, err := os.ReadFile(f); err == nil && artifact.Sum(data) == leaf {
				flip(t, f)
			}
		}
	})
	w.opts.Fault.Pause = func(p fault.Point, name string) {
		hold(p, name)
		if p == fault.Rename && filepath.Base(name) == string(leaf) {
			spoil()
		}
	}
	copied["b"] = func([]byte) { gate() }
	e := w.executor()
	if _, err := e.Run(t.Context(), []action.Ref{b}); err != nil {
		t.Fatal(err)
	}
	w.calls("a b")
	if q, err := os.ReadDir(filepath.Join(w.dir, "quarantine")); err != nil || len(q) != 1 {
		t.Errorf("%d damaged files, %v; expected the one", len(q), err)
	}
	w.reopen()
	if r, err := w.store.Check(t.Context(), cache.CheckOptions{Full: true}); err != nil || !r.Clean() {
		t.Errorf("check: %v, %v", r.Problems, err)
	}
}
