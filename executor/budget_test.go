package executor

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
)

// memoryEnv, next to childEnv, makes the child run a calibrated pass in
// miniature under the memory budget it names, in bytes, and say "ok PEAK
// SPILLED".
const memoryEnv = "EXECUTOR_TEST_MEMORY"

// Sizes of the pass: hidden states, statistics of a block, and what a kernel
// allocates and drops.
const (
	hiddenBytes  = 64 * mib
	lateBytes    = 48 * mib
	gramBytes    = 24 * mib
	scratchBytes = 16 * mib
)

func memoryChild(dir string) error {
	budget, err := strconv.ParseInt(os.Getenv(memoryEnv), 10, 64)
	if err != nil {
		return err
	}
	resetToys()
	act("scratch", func(*action.Context) error {
		for i := range 3 {
			b := make([]byte, scratchBytes)
			for k := 0; k < len(b); k += 4096 {
				b[k] = byte(i)
			}
			runtime.KeepAlive(b)
		}
		return nil
	})
	s, err := cache.Open(dir, cache.Options{})
	if err != nil {
		return err
	}
	if _, err := s.Put([]byte("windows")); err != nil {
		return err
	}
	w := &world{g: action.NewGraph(), store: s}
	var targets []action.Ref
	h := w.g.AddLeaf("data", textTree("windows"))
	big := func(name string, size int, in ...action.Ref) action.Ref {
		r := w.toy(toyParams{Name: name, Size: size, Do: "scratch"}, transient, in...)
		r.Action.Peak = 2 * scratchBytes
		return r
	}
	late := big("late", lateBytes, h) // needed at the very end
	for b := range 4 {
		gram := big(fmt.Sprint("gram", b), gramBytes, h)
		for l := range 3 {
			r := w.toy(toyParams{Name: fmt.Sprintf("q%d.%d", b, l), Size: 4 * mib, Do: "scratch"}, durable, gram)
			r.Action.Peak = 2 * scratchBytes
			targets = append(targets, r)
		}
		h = big(fmt.Sprint("h", b), hiddenBytes, h)
	}
	targets = append(targets, w.toy(toyParams{Name: "end"}, durable, h, late))
	e, err := New(w.g, Options{Store: s, Threads: 2, Memory: budget})
	if err != nil {
		return err
	}
	res, err := e.Run(context.Background(), targets)
	if err != nil {
		return err
	}
	fmt.Println("ok", res.PeakAnon, res.Spilled)
	e.Close()
	return s.Close()
}

// The anonymous memory of the whole process stays within the budget, and does
// not grow to a generous one.
func TestAnonymousMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("RssAnon is known on Linux only")
	}
	if testing.Short() {
		t.Skip("moves a gigabyte")
	}
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
	for _, c := range []struct {
		budget, limit int64
		spills        bool
	}{
		{200 * mib, 200 * mib, true},
		{350 * mib, 350 * mib, false},
		{8192 * mib, 450 * mib, false},
	} {
		p := startChild(t, memoryDir(t), fmt.Sprintf("%s=%d", memoryEnv, c.budget))
		if err := <-p.ended; err != nil {
			t.Fatalf("budget %d MiB: %v", c.budget/mib, err)
		}
		var peak, spilled int64
		if _, err := fmt.Sscan(p.said("ok")[0], &peak, &spilled); err != nil {
			t.Fatal(err)
		}
		t.Logf("budget %d MiB: %d MiB at the peak, %d MiB spilled", c.budget/mib, peak/mib, spilled/mib)
		if peak > c.limit {
			t.Errorf("budget %d MiB: %d MiB of anonymous memory, want at most %d", c.budget/mib, peak/mib, c.limit/mib)
		}
		if c.spills && spilled == 0 {
			t.Errorf("budget %d MiB: nothing was spilled", c.budget/mib)
		}
	}
}
