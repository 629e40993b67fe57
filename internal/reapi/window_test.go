package reapi

import (
	"context"
	"testing"

	"pgregory.net/rapid"
)

// Whatever comes and goes, no more are in than the bound allows, nobody waits
// where there is room, and those that give up leave nothing behind.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &window{}
		type visitor struct {
			entered chan error
			cancel  context.CancelFunc
		}
		var in, queued []*visitor
		// settle moves those whose turn has come; the window says how many these are.
		settle := func() {
			for {
				w.mu.Lock()
				n := w.open - len(in)
				w.mu.Unlock()
				if n <= 0 {
					return
				}
				if err := <-queued[0].entered; err != nil {
					t.Fatal(err)
				}
				in, queued = append(in, queued[0]), queued[1:]
			}
		}
		waiting := func() int {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(w.waiting)
		}
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(*rapid.T) {
				ctx, cancel := context.WithCancel(context.Background())
				v := &visitor{make(chan error, 1), cancel}
				before := waiting() + w.open
				queued = append(queued, v)
				go func() { v.entered <- w.enter(ctx) }()
				for {
					w.mu.Lock()
					n := len(w.waiting) + w.open
					w.mu.Unlock()
					if n > before {
						break
					}
				}
				settle()
			},
			"leave": func(t *rapid.T) {
				if len(in) == 0 {
					t.Skip()
				}
				in = in[1:]
				w.leave(rapid.Bool().Draw(t, "served"))
				settle()
			},
			"narrow": func(t *rapid.T) {
				late := rapid.IntRange(0, 1).Draw(t, "late")
				before := w.limit
				w.narrow(w.bound() - late)
				want := before
				if late == 0 {
					want = float64(max(1, w.open/2))
				}
				if w.limit != want {
					t.Fatalf("bound %v after %v with %d in, late by %d", w.limit, before, w.open, late)
				}
			},
			"give up": func(t *rapid.T) {
				if len(queued) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(queued)-1).Draw(t, "who")
				queued[i].cancel()
				if err := <-queued[i].entered; err == nil {
					t.Fatal("it entered")
				}
				queued = append(queued[:i:i], queued[i+1:]...)
				settle()
			},
			"": func(t *rapid.T) {
				if n := waiting(); n != len(queued) {
					t.Fatalf("%d wait, expected %d", n, len(queued))
				}
				if len(queued) > 0 && w.room() {
					t.Fatalf("%d wait though %d of %v are in", len(queued), w.open, w.limit)
				}
			},
		})
		for _, v := range queued {
			v.cancel()
			<-v.entered
		}
	})
}
