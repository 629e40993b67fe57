package executor

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// Garbage is collected when there is as much of it as a fifth of what lives, and
// not before there are garbageFloor bytes: small heaps are left alone. Nearly all
// bytes are in large slices without pointers, so that a collection costs a few
// milliseconds whatever lives. Near the budget the runtime collects more often.
//
// The runtime looks at its goal after a large allocation, not before it, and what
// has survived counts in full for the next goal. So memory for a new table of
// embeddings is taken while the one before it is garbage already: a leaf as large
// as the floor is collected when it is dropped.
const (
	garbagePercent = 20
	garbageFloor   = 64 << 20
)

// pacing sets the process's garbage collection to a budget until its end.
type pacing struct {
	floor int64
	limit int64 // before

	mu      sync.Mutex
	before  int // the percentage before
	percent int // now
	ended   bool
}

// pace begins.
func pace(memory int64) *pacing {
	p := &pacing{floor: min(garbageFloor, memory/16), limit: debug.SetMemoryLimit(memory - memory/16)}
	p.percent = p.wanted()
	p.before = debug.SetGCPercent(p.percent)
	p.arm()
	return p
}

// end restores what was before.
func (p *pacing) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	debug.SetGCPercent(p.before)
	debug.SetMemoryLimit(p.limit)
}

// arm has the percentage set anew after the next collection.
func (p *pacing) arm() {
	// Nothing refers to it, so the next collection finds it dead. The pointer
	// gives it a place of its own.
	type canary struct{ _ *canary }
	runtime.AddCleanup(new(canary), (*pacing).collected, p)
}

// collected sets the percentage by what has survived.
func (p *pacing) collected() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	if n := p.wanted(); n != p.percent {
		p.percent = n
		debug.SetGCPercent(n)
	}
	p.arm()
}

// dropped takes the news that a leaf of n bytes has become garbage. It may be
// called by several goroutines.
func (p *pacing) dropped(n int64) {
	if n >= p.floor {
		runtime.GC()
	}
}

// wanted returns the percentage that lets the garbage grow to its bound.
func (p *pacing) wanted() int {
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	live := max(1<<20, int64(s[0].Value.Uint64()))
	return max(garbagePercent, int(p.floor*100/live))
}
