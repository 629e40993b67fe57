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
	// ticket is the call of For under way, in one word so that a task is taken
	// only of the call it was looked up in: a count of calls, the number of tasks
	// and the next of them, taskBits each for the latter two.
	ticket atomic.Uint64
	// f, finished and panicked belong to that call. Whoever has taken a task may
	// read f: the call cannot end before the task does.
	f        func(worker, task int)
	finished atomic.Int64
	panicked atomic.Pointer[any]
	workers  []worker // workers[i] has id i+1; id 0 is the caller
}

const (
	taskBits = 20
	tasksMax = 1<<taskBits - 1
)

type worker struct {
	parked atomic.Bool
	wake   chan struct{}
	_      [40]byte // own cache line
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
	var r *any
	for from := 0; from < tasks && r == nil; from += tasksMax {
		g := f
		if from > 0 {
			g = func(worker, task int) { f(worker, from+task) }
		}
		r = p.call(min(tasks-from, tasksMax), g)
	}
	p.busy.Store(false)
	if r != nil {
		panic(*r)
	}
}

// call does the tasks of a call that has the workers, and returns what a task
// panicked with, if any did.
func (p *Pool) call(tasks int, f func(worker, task int)) *any {
	p.f = f
	p.finished.Store(0)
	p.panicked.Store(nil)
	p.ticket.Store((p.ticket.Load()>>(2*taskBits)+1)<<(2*taskBits) | uint64(tasks)<<taskBits)
	for i := range min(len(p.workers), tasks-1) {
		p.wakeUp(i)
	}
	for !p.run(0) {
	}
	for round := 0; p.finished.Load() < int64(tasks); round++ {
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
	p.f = nil // it must not keep its matrices alive
	return p.panicked.Load()
}

// take returns the next task, or -1 when none is left.
func (p *Pool) take() int {
	for {
		t := p.ticket.Load()
		next := t & tasksMax
		if next >= t>>taskBits&tasksMax {
			return -1
		}
		if p.ticket.CompareAndSwap(t, t+1) {
			return int(next)
		}
	}
}

// run takes tasks until none is left, and then returns true. It returns false
// after a task that panicked.
func (p *Pool) run(id int) (done bool) {
	defer func() {
		if done {
			return
		}
		r := recover()
		if r == nil {
			r = "linalg: a task ended its goroutine"
		}
		p.panicked.CompareAndSwap(nil, &r)
		p.finished.Add(1)
	}()
	for {
		t := p.take()
		if t < 0 {
			return true
		}
		if p.panicked.Load() == nil {
			p.f(id, t)
		}
		p.finished.Add(1)
	}
}

func (p *Pool) loop(i int) {
	w := &p.workers[i]
	for p.await(w) {
		for !p.run(i + 1) {
		}
	}
}

// waiting reports whether there is a task to take.
func (p *Pool) waiting() bool {
	t := p.ticket.Load()
	return t&tasksMax < t>>taskBits&tasksMax
}

// await returns true when there may be a task, and false when the pool is closed.
func (p *Pool) await(w *worker) bool {
	for {
		for range spinRounds {
			if p.waiting() {
				return true
			}
			kernel.Pause(pausesPerRound)
		}
		w.parked.Store(true)
		// A call published, or a Close, after the last look and before parked was
		// set would not have woken this worker: look again.
		if p.waiting() || p.closed.Load() {
			if !w.parked.CompareAndSwap(true, false) {
				<-w.wake
			}
		} else {
			<-w.wake
		}
		if p.closed.Load() {
			return false
		}
	}
}
