package executor

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// percentNow is what the runtime goes by.
func percentNow() int {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(s)
	return int(s[0].Value.Uint64())
}

// A small heap may grow by the floor, a large one by a fifth; the end of the
// pacing restores what was before.
func TestPacing(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(77))
	limit := debug.SetMemoryLimit(-1)
	const memory = 1 << 40
	p := pace(memory)
	if got := debug.SetMemoryLimit(-1); got != memory-memory/16 {
		t.Errorf("limit %d", got)
	}
	// until collects until the percentage, which follows each collection, is one of
	// those.
	until := func(lo, hi int) {
		for {
			runtime.GC()
			if n := percentNow(); lo <= n && n <= hi {
				return
			}
			runtime.Gosched()
		}
	}
	const large = garbageFloor * 100 / garbagePercent
	until(garbagePercent+1, garbageFloor*100>>20)
	live := make([]byte, large)
	until(garbagePercent, garbagePercent)
	runtime.KeepAlive(live)
	until(garbagePercent+1, garbageFloor*100>>20)
	p.end()
	runtime.GC()
	if n, l := percentNow(), debug.SetMemoryLimit(-1); n != 77 || l != limit {
		t.Errorf("after the end %d %%, and a limit of %d; before it was %d", n, l, limit)
	}
	// A small budget has a small floor.
	p = pace(64 << 20)
	defer p.end()
	if p.floor != 4<<20 {
		t.Errorf("floor %d", p.floor)
	}
}

// A dropped leaf as large as the floor is gone when dropped returns, a smaller one
// is left to the runtime.
func TestDroppedLeaf(t *testing.T) {
	p := pace(1 << 40)
	defer p.end()
	forced := func() uint32 {
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.NumForcedGC
	}
	before := forced()
	p.dropped(garbageFloor - 1)
	if n := forced() - before; n != 0 {
		t.Errorf("%d collections for a small leaf", n)
	}
	gone := make(chan struct{})
	leaf := make([]byte, garbageFloor)
	runtime.AddCleanup(&leaf[0], func(gone chan struct{}) { close(gone) }, gone)
	leaf = nil
	p.dropped(garbageFloor)
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Error("the leaf is still there")
	}
}
