package linalg

import (
	"runtime"
	"sync/atomic"
	"time"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// Pool runs the tasks of one product or factorization on parked workers. A
// factorization issues thousands of parallel steps of a few microseconds, for
// which starting goroutines is too slow; workers therefore spin for a moment
// after a step and sleep only when no other follows.
//
// A nil *Pool is serial. A Pool is safe for concurrent use: one caller at a
// time has the workers, and a call that finds them taken (by another goroutine,
// or because it runs inside a task) runs its tasks serially. Results do not
// depend on which happens.
type Pool struct {
	threads int
	busy    atomic.Bool
	closed  atomic.Bool
	job     atomic.Pointer[job]
	workers []worker // workers[i] has id i+1; id 0 is the caller
}

type worker struct {
	parked atomic.Bool
	wake   chan struct{}
	_      [40]byte // own cache line
}

// job is one call of For. Workers that see it late find no task left, so it may
// outlive the call harmlessly.
type job struct {
	f        func(worker, task int)
	tasks    int64
	next     atomic.Int64
	finished atomic.Int64
	panicked atomic.Pointer[any]
}

// spinRounds × pausesPerRound pauses last about 30 µs: longer than the serial
// stretches inside a factorization, short enough not to disturb other work.
const (
	spinRounds     = 64
	pausesPerRound = 12
)

// NewPool starts a pool of the given number of threads, the caller of For
// included; 0 or less means GOMAXPROCS. Close it to end its workers.
func NewPool(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads, workers: make([]worker, threads-1)}
	for i := range p.workers {
		p.workers[i].wake = make(chan struct{}, 1)
		go p.loop(i)
	}
	return p
}

// Threads returns the number of threads, at least 1.
func (p *Pool) Threads() int {
	if p == nil {
		return 1
	}
	return p.threads
}

// Close ends the workers; later calls run serially. It must not be called while
// a For is running. It is safe to call more than once.
func (p *Pool) Close() {
	if p == nil || p.closed.Swap(true) {
		return
	}
	for i := range p.workers {
		p.wakeUp(i)
	}
}

func (p *Pool) wakeUp(i int) {
	if w := &p.workers[i]; w.parked.CompareAndSwap(true, false) {
		w.wake <- struct{}{}
	}
}

// For calls f for every task in [0, tasks), each once, and returns when all are
// done. worker is in [0, Threads()) and no two running tasks of one For share
// it. Tasks start in ascending order but run at the same time, so each must
// write to its own place. A panic in a task is raised again in the caller.
func (p *Pool) For(tasks int, f func(worker, task int)) {
	if tasks <= 1 || p.Threads() == 1 || p.closed.Load() || !p.busy.CompareAndSwap(false, true) {
		for t := range tasks {
			f(0, t)
		}
		return
	}
	j := &job{f: f, tasks: int64(tasks)}
	p.job.Store(j)
	for i := range min(len(p.workers), tasks-1) {
		p.wakeUp(i)
	}
	for !j.run(0) {
	}
	for round := 0; j.finished.Load() < j.tasks; round++ {
		switch {
		case round < spinRounds:
			kernel.Pause(pausesPerRound)
		case round < 4*spinRounds:
			runtime.Gosched()
		default:
			// A task on another worker is long, or that worker lost its core.
			time.Sleep(50 * time.Microsecond)
		}
	}
	p.job.Store(nil)
	j.f = nil // workers remember the job, and must not keep its matrices alive
	p.busy.Store(false)
	if r := j.panicked.Load(); r != nil {
		panic(*r)
	}
}

// run takes tasks until none is left, and then returns true. It returns false
// after a task that panicked.
func (j *job) run(id int) (done bool) {
	defer func() {
		if done {
			return
		}
		r := recover()
		if r == nil {
			r = "linalg: a task ended its goroutine"
		}
		j.panicked.CompareAndSwap(nil, &r)
		j.finished.Add(1)
	}()
	for {
		t := j.next.Add(1) - 1
		if t >= j.tasks {
			return true
		}
		if j.panicked.Load() == nil {
			j.f(id, int(t))
		}
		j.finished.Add(1)
	}
}

func (p *Pool) loop(i int) {
	w := &p.workers[i]
	var last *job
	for {
		j := p.await(w, last)
		if j == nil {
			return
		}
		for !j.run(i + 1) {
		}
		last = j
	}
}

// await returns the next job, or nil when the pool is closed.
func (p *Pool) await(w *worker, last *job) *job {
	for {
		for range spinRounds {
			if j := p.job.Load(); j != nil && j != last {
				return j
			}
			kernel.Pause(pausesPerRound)
		}
		w.parked.Store(true)
		// A job published, or a Close, after the last look and before parked was
		// set would not have woken this worker: look again.
		if j := p.job.Load(); j != nil && j != last || p.closed.Load() {
			if !w.parked.CompareAndSwap(true, false) {
				<-w.wake
			}
		} else {
			<-w.wake
		}
		if p.closed.Load() {
			return nil
		}
	}
}
