package executor

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/compressc/compressc/internal/action"
)

// ladder is a graph of about n actions: chains side by side with cross links,
// every third output transient, each tree with a few leaves.
func ladder(w *world, n int) []action.Ref {
	const width = 5
	row := make([]action.Ref, width)
	for i := range row {
		row[i] = w.source(fmt.Sprint("column ", i))
	}
	for r := range n / width {
		next := make([]action.Ref, width)
		for i := range next {
			class := durable
			if i%3 == 0 {
				class = transient
			}
			next[i] = w.toy(toyParams{Name: fmt.Sprintf("%d.%d", r, i)}, class, row[i], row[(i+1)%width])
		}
		row = next
	}
	return row
}

// A warm run needs no kernels and no bytes: it does not even notice that every
// blob is damaged.
func TestWarmRunReadsOnlyTheIndex(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a store with 1,000 actions")
	}
	w := newWorldOn(t, memoryDir(t))
	w.run(ladder(w, 1000)...)
	if n := totalCalls(); n != 1000 {
		t.Fatalf("%d actions", n)
	}
	blobs, err := filepath.Glob(filepath.Join(w.dir, "blobs", "*", "*"))
	if err != nil || len(blobs) < 1000 {
		t.Fatalf("%d blobs, %v", len(blobs), err)
	}
	w.reopen()
	w.rebuild()
	targets := ladder(w, 1000)
	for _, path := range blobs {
		flip(t, path)
	}
	res, err := w.executor().Run(t.Context(), targets)
	if err != nil || res.Cached != 1000 || res.Rewound != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	w.calls("")
}

func BenchmarkWarmRun(b *testing.B) {
	w := newWorldOn(b, memoryDir(b))
	w.run(ladder(w, 1000)...)
	for b.Loop() {
		b.StopTimer()
		w.reopen()
		w.rebuild()
		targets := ladder(w, 1000)
		e := w.executor()
		b.StartTimer()
		res, err := e.Run(b.Context(), targets)
		if err != nil || res.Cached != 1000 {
			b.Fatalf("%+v, %v", res, err)
		}
		e.Close()
	}
}

func BenchmarkColdAction(b *testing.B) {
	w := newWorldOn(b, memoryDir(b))
	r := w.source("x")
	for i := range b.N {
		r = w.toy(toyParams{Name: fmt.Sprint(i)}, durable, r)
	}
	e := w.executor()
	b.ResetTimer()
	if _, err := e.Run(b.Context(), []action.Ref{r}); err != nil {
		b.Fatal(err)
	}
}
