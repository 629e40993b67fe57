package reapi

import (
	"context"
	"slices"
	"sync"
)

// window bounds the executions that are followed at once by what the server
// stands. A server serves so many calls at a time, and every execution that is
// followed is one of them while it waits for a worker: too many, and there is
// none left for the workers. As in TCP, being told that it is too much halves
// the bound, and what goes well raises it slowly.
type window struct {
	mu      sync.Mutex
	limit   float64 // 0: nothing is known yet
	open    int
	age     int // raised when the limit falls
	waiting []chan struct{}
}

// enter waits for room.
func (w *window) enter(ctx context.Context) error {
	w.mu.Lock()
	turn := make(chan struct{})
	w.waiting = append(w.waiting, turn)
	w.admit()
	w.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.waiting, turn); i >= 0 {
		w.waiting = slices.Delete(w.waiting, i, i+1)
	} else { // its turn had come
		w.open--
		w.admit()
	}
	return context.Cause(ctx)
}

func (w *window) room() bool { return w.limit == 0 || float64(w.open) < w.limit }

// admit lets in those that there is room for.
func (w *window) admit() {
	for len(w.waiting) > 0 && w.room() {
		close(w.waiting[0])
		w.waiting = w.waiting[1:]
		w.open++
	}
}

// leave ends what enter has begun. served says that the server had room for it.
func (w *window) leave(served bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if served && w.limit > 0 {
		w.limit += 1 / w.limit
	}
	w.open--
	w.admit()
}

// bound returns the age of the bound, for narrow.
func (w *window) bound() (age int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.age
}

// narrow lowers the bound because a call found no room that began under the one
// of this age: all those together lower it once.
func (w *window) narrow(age int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if age == w.age {
		w.limit = float64(max(1, w.open/2))
		w.age++
	}
}
