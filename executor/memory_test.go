package executor

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/compressc/compressc/cache/fault"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

const mib = 1 << 20

// walk builds what calibration does: a chain of hidden states, each with
// statistics that several actions read.
func walk(w *world, blocks int) []action.Ref {
	h := w.source("x")
	var targets []action.Ref
	for b := range blocks {
		gram := w.toy(toyParams{Name: fmt.Sprint("gram", b), Size: 4 * mib}, transient, h)
		for l := range 3 {
			targets = append(targets, w.toy(toyParams{Name: fmt.Sprintf("q%d.%d", b, l)}, durable, gram))
		}
		h = w.toy(toyParams{Name: fmt.Sprint("h", b), Size: 4 * mib}, transient, h)
	}
	return append(targets, w.toy(toyParams{Name: "end"}, durable, h))
}

// Without pressure the live bytes stay those of a few blocks, not of all: what
// frees memory goes first. That holds whatever the timing. Of the chain, one
// thread needs two hidden states and a Gram matrix, 12 MiB; each further one
// can be stuck in a kernel with one of each, its input and its output.
func TestLiveBytesStayLow(t *testing.T) {
	for _, threads := range []int{1, 2, 3, 8} {
		for _, slow := range []bool{false, true} {
			w := newWorldOn(t, memoryDir(t))
			if slow {
				w.close()
				w.opts.Fault = &fault.Set{Pause: dawdle}
				w.open()
			}
			targets := walk(w, 7)
			e := w.executor(func(o *Options) { o.Threads = threads })
			res, err := e.Run(t.Context(), targets)
			if err != nil {
				t.Fatal(err)
			}
			w.check(e, targets...)
			if most := int64(12+8*(threads-1)) * mib; res.PeakLive > most || res.Spilled > 0 {
				t.Errorf("%d threads: %.1f MiB live at the peak, want at most %d, and %d spilled", threads, float64(res.PeakLive)/mib, most/mib, res.Spilled)
			}
			if !e.mem.empty() || res.MemoryReserved != 0 {
				t.Errorf("%d threads: %+v left", threads, res.Totals)
			}
		}
	}
}

// dawdle is a disk that takes its time with some files.
func dawdle(p fault.Point, name string) {
	if p == fault.Sync || p == fault.SyncDir {
		h := artifact.Sum([]byte(name))
		time.Sleep(time.Duration(h[0]%4) * 5 * time.Millisecond)
	}
}

// What does not fit is spilled, and read back.
func TestSpill(t *testing.T) {
	w := newWorld(t)
	s := w.source("x")
	var all []action.Ref
	for i := range 8 {
		all = append(all, w.toy(toyParams{Name: fmt.Sprint("t", i), Size: mib}, transient, s))
	}
	end := w.toy(toyParams{Name: "end"}, durable, all...) // all live at once
	e := w.executor()
	e.mem.budget = 3 * mib
	res, err := e.Run(t.Context(), []action.Ref{end})
	if err != nil {
		t.Fatal(err)
	}
	w.check(e, end)
	if res.PeakLive > e.mem.budget+mib {
		t.Errorf("%.1f MiB live at the peak", float64(res.PeakLive)/mib)
	}
	if res.Spilled < 5*mib {
		t.Errorf("%d bytes spilled", res.Spilled)
	}
	if left, err := filepath.Glob(filepath.Join(w.dir, "tmp", "spill-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if !e.mem.empty() {
		t.Error("leaves are left in memory")
	}
}

// Where spilling fails the run goes on above the budget.
func TestSpillFails(t *testing.T) {
	w := newWorld(t)
	s := w.source("x")
	var all []action.Ref
	for i := range 4 {
		all = append(all, w.toy(toyParams{Name: fmt.Sprint("t", i), Size: mib}, transient, s))
	}
	end := w.toy(toyParams{Name: "end"}, durable, all...)
	e := w.executor()
	e.mem.budget, e.mem.dir = 2*mib, filepath.Join(w.dir, "no", "such")
	res, err := e.Run(t.Context(), []action.Ref{end})
	if err != nil {
		t.Fatal(err)
	}
	w.check(e, end)
	if res.Spilled > 0 || res.PeakLive < 4*mib {
		t.Errorf("%+v", res)
	}
}

// The leaf that is needed latest goes first.
func TestSpillOrder(t *testing.T) {
	m := newMemory(100*mib, t.TempDir(), t.Logf, func(int64) {})
	var none int64
	var ls []*memLeaf
	for i := range 4 {
		data := make([]byte, mib)
		data[0] = byte(i)
		ls = append(ls, m.add(artifact.Sum(data), data, float64(10-i), &none))
	}
	m.budget = 3 * mib
	keep := func(d artifact.Digest) bool { return d == ls[3].digest }
	m.makeRoom(mib, keep)
	for i, l := range ls {
		spilled := l.file != nil
		if want := i == 1 || i == 2; spilled != want {
			t.Errorf("leaf %d is spilled: %v", i, spilled)
		}
		if b := m.bytes(l); len(b) != mib || b[0] != byte(i) {
			t.Errorf("leaf %d has other bytes", i)
		}
	}
	if live, _, _, spilled := m.usage(); live != 2*mib || spilled != 2*mib {
		t.Errorf("live %d, spilled %d", live, spilled)
	}
	m.release(ls...)
	if live, _, _, _ := m.usage(); live != 0 || !m.empty() {
		t.Errorf("live %d after all is released", live)
	}
}

func TestMemoryIsShared(t *testing.T) {
	m := newMemory(100*mib, t.TempDir(), t.Logf, func(int64) {})
	reserved := int64(3 * mib)
	m.force(reserved)
	data := make([]byte, 2*mib)
	a := m.add("d", data, 1, &reserved)
	b := m.add("d", append([]byte(nil), data...), 2, &reserved)
	if a != b || reserved != mib {
		t.Errorf("equal leaves are two, or %d reserved", reserved)
	}
	m.release(a)
	if m.empty() {
		t.Error("gone while in use")
	}
	m.release(b)
	if !m.empty() || m.get("d") != nil {
		t.Error("still there")
	}
	m.unreserve(&reserved)
	if live, res, peak, _ := m.usage(); live != 0 || res != 0 || peak != 2*mib {
		t.Errorf("live %d, reserved %d, peak %d", live, res, peak)
	}
}

// Spilling, reading and releasing at once, for the race detector.
func TestMemoryConcurrently(t *testing.T) {
	m := newMemory(mib, t.TempDir(), t.Logf, func(int64) {})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			var none int64
			for i := range 10 {
				data := make([]byte, 256<<10)
				data[0], data[1] = byte(g), byte(i)
				d := artifact.Sum(data)
				l := m.add(d, data, float64(i), &none)
				m.makeRoom(mib/2, nil)
				if b := m.bytes(l); b[0] != byte(g) || b[1] != byte(i) {
					t.Error("other bytes")
				}
				m.release(l)
			}
		})
	}
	wg.Wait()
	if !m.empty() {
		t.Error("not empty")
	}
}

// Actions do not run side by side when together they would not fit.
func TestAdmission(t *testing.T) {
	w := newWorld(t)
	s := w.source("x")
	var mu sync.Mutex
	running, most := 0, 0
	act("count", func(c *action.Context) error {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		for range 50 {
			c.Pool.For(100, func(_, _ int) {})
		}
		mu.Lock()
		running--
		mu.Unlock()
		return nil
	})
	var targets []action.Ref
	for i := range 12 {
		r := w.toy(toyParams{Name: fmt.Sprint("a", i), Do: "count"}, durable, s)
		r.Action.Peak = 10 * mib
		targets = append(targets, r)
	}
	for _, c := range []struct{ budget, most int }{{15, 1}, {25, 2}, {100, 3}} {
		w.reopen()
		most = 0
		e := w.executor(func(o *Options) { o.Threads = 3 })
		e.mem.budget = int64(c.budget) * mib
		if _, err := e.Run(t.Context(), targets); err != nil {
			t.Fatal(err)
		}
		if most > c.most {
			t.Errorf("budget of %d MiB: %d at a time", c.budget, most)
		}
		for _, r := range targets {
			forget(t, w, e, r)
		}
	}
}

func TestFits(t *testing.T) {
	w := newWorld(t)
	a := w.toy(toyParams{Name: "a"}, durable, w.source("x"))
	a.Action.Peak = 500 * mib
	small := w.toy(toyParams{Name: "small"}, durable, a)
	limit := func(n int64) func(*Options) { return func(o *Options) { o.Memory = n } }
	e := w.executor(limit(100 * mib))
	_, err := e.Run(t.Context(), []action.Ref{small})
	var fit *FitError
	if !errors.As(err, &fit) || fit.Action != a.Action {
		t.Fatalf("error %v", err)
	}
	w.calls("")
	// The number it names does, and is not much too high.
	if err := w.executor(limit(fit.Enough)).Fits([]action.Ref{small}); err != nil {
		t.Errorf("%d bytes do not do: %v", fit.Enough, err)
	}
	if err := w.executor(limit(fit.Enough - mib)).Fits([]action.Ref{small}); err == nil {
		t.Errorf("less than %d bytes do as well", fit.Enough)
	}
	// What is cached needs no memory.
	if _, err := w.executor().Run(t.Context(), []action.Ref{a}); err != nil {
		t.Fatal(err)
	}
	w.calls("a")
	e = w.executor(limit(100 * mib))
	if _, err := e.Run(t.Context(), []action.Ref{small}); err != nil {
		t.Error(err)
	}
	w.calls("small")
}

// forget removes an action's entry.
func forget(t testing.TB, w *world, e *Executor, r action.Ref) {
	t.Helper()
	key := string(e.nodes[r.Action].key)
	removeFile(t, filepath.Join(w.dir, "act", key[:2], key))
}
