package linalg

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestForRunsEachTaskOnce(t *testing.T) {
	for th := 1; th <= 4; th++ {
		p := NewPool(th)
		for _, tasks := range []int{0, 1, 2, 3, 17, 1000} {
			count := make([]atomic.Int32, tasks)
			running := make([]atomic.Int32, th)
			p.For(tasks, func(w, task int) {
				if running[w].Add(1) != 1 {
					t.Errorf("worker %d runs two tasks at once", w)
				}
				count[task].Add(1)
				running[w].Add(-1)
			})
			for i := range count {
				if c := count[i].Load(); c != 1 {
					t.Errorf("%d threads, %d tasks: task %d ran %d times", th, tasks, i, c)
				}
			}
		}
		p.Close()
		p.Close()
		sum := 0
		p.For(5, func(_, task int) { sum += task }) // serial after Close
		if sum != 10 {
			t.Errorf("a closed pool did not run its tasks")
		}
	}
}

func TestNestedForDoesNotDeadlock(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	var n atomic.Int64
	p.For(20, func(_, _ int) {
		p.For(10, func(_, _ int) {
			p.For(3, func(_, _ int) { n.Add(1) })
		})
	})
	if n.Load() != 600 {
		t.Errorf("%d inner tasks ran, want 600", n.Load())
	}
}

func TestConcurrentFor(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				var n atomic.Int64
				p.For(7, func(_, _ int) { n.Add(1) })
				if n.Load() != 7 {
					t.Errorf("%d tasks ran, want 7", n.Load())
				}
			}
		})
	}
	wg.Wait()
}

// Workers that went to sleep must wake: the second For starts long after the
// first, and its two tasks wait for each other.
func TestParkedWorkersWake(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for range 20 {
		time.Sleep(2 * time.Millisecond)
		var in atomic.Int32
		deadline := time.Now().Add(10 * time.Second)
		p.For(2, func(_, _ int) {
			in.Add(1)
			for in.Load() < 2 {
				if time.Now().After(deadline) {
					t.Error("the second task never started")
					return
				}
				runtime.Gosched()
			}
		})
	}
}

func TestPanicReachesTheCaller(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	for _, bad := range []int{0, 5, 99} {
		func() {
			defer func() {
				if r := recover(); r != "bad task" {
					t.Errorf("recovered %v", r)
				}
			}()
			p.For(100, func(_, task int) {
				if task == bad {
					panic("bad task")
				}
			})
		}()
	}
	var n atomic.Int64
	p.For(50, func(_, _ int) { n.Add(1) })
	if n.Load() != 50 {
		t.Errorf("after a panic %d tasks ran, want 50", n.Load())
	}
}

func TestCloseEndsWorkers(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 10 {
		p := NewPool(4)
		p.For(8, func(_, _ int) {})
		p.Close()
	}
	for range 200 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before the pools", runtime.NumGoroutine(), before)
}

func BenchmarkForOverhead(b *testing.B) {
	p := NewPool(2)
	defer p.Close()
	for b.Loop() {
		p.For(2, func(_, _ int) {})
	}
}

// More tasks than one ticket counts.
func TestForManyTasks(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	const n = 2*tasksMax + 5
	seen := make([]uint8, n)
	p.For(n, func(_, task int) { seen[task]++ })
	for i, c := range seen {
		if c != 1 {
			t.Fatalf("task %d ran %d times", i, c)
		}
	}
}

// Products and statistics allocate nothing once their buffers are there.
func TestProductsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	p := NewPool(2)
	defer p.Close()
	const m, n, k = 200, 150, 330
	a, b, c, s := make([]float32, m*k), make([]float32, n*k), make([]float32, m*k), make([]float64, k*k)
	a64, c64 := make([]float64, m*k), make([]float64, m*m)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties sync.Pool
	for name, f := range map[string]func(){
		"Sgemm":   func() { p.Sgemm(false, true, m, n, k, 1, a, k, b, k, 0, c, n) },
		"thin":    func() { p.Sgemm(false, true, m, 16, k, 1, a, k, b, k, 0, c, 16) },
		"thin Aᵀ": func() { p.Sgemm(true, true, k, 32, m, 1, a, k, b, m, 0, c, 32) },
		"Dsyrk":   func() { p.Dsyrk(true, false, m, k, 1, a64, k, 0, c64, m) },
		"GramAdd": func() { p.GramAdd(s, a, m, k) },
	} {
		f()
		if got := testing.AllocsPerRun(50, f); got >= 1 {
			t.Errorf("%s allocates %v times", name, got)
		}
	}
}
