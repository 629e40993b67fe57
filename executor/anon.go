package executor

import (
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// fallbackMemory is assumed where the machine's memory cannot be found out.
const fallbackMemory = 8 << 30

// runtimeBytes returns what the Go runtime holds and has not given back.
func runtimeBytes() int64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64()) - int64(s[1].Value.Uint64())
}

// sampleEvery is how often the anonymous memory is looked at during a run. One
// look costs some tens of microseconds.
const sampleEvery = 20 * time.Millisecond

// sampler watches the process's anonymous memory.
type sampler struct {
	peak atomic.Int64

	mu   sync.Mutex
	open map[*atomic.Int64]bool // peaks since their watches began
}

// sample looks once and returns what it saw.
func (s *sampler) sample() int64 {
	n := anonBytes()
	raise(&s.peak, n)
	s.mu.Lock()
	for w := range s.open {
		raise(w, n)
	}
	s.mu.Unlock()
	return n
}

func raise(p *atomic.Int64, n int64) {
	for {
		old := p.Load()
		if n <= old || p.CompareAndSwap(old, n) {
			return
		}
	}
}

// watch begins to look for the peak from now on; the result ends that and
// returns by how much the peak was above the memory at the beginning.
func (s *sampler) watch() func() int64 {
	base := s.sample()
	w := new(atomic.Int64)
	w.Store(base)
	s.mu.Lock()
	if s.open == nil {
		s.open = map[*atomic.Int64]bool{}
	}
	s.open[w] = true
	s.mu.Unlock()
	return func() int64 {
		s.sample()
		s.mu.Lock()
		delete(s.open, w)
		s.mu.Unlock()
		return w.Load() - base
	}
}

// run samples until the result is called.
func (s *sampler) run() (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(sampleEvery)
		defer t.Stop()
		for {
			s.sample()
			select {
			case <-done:
				return
			case <-t.C:
			}
		}
	}()
	return func() { close(done); <-ended }
}
