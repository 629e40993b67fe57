package linalg

import (
	"runtime"
	"testing"

	"pgregory.net/rapid"
)

func TestSizeClass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 1<<40).Draw(t, "n")
		class, room := sizeClass(n)
		if room < n || room > max(8, n+n/4+1) {
			t.Fatalf("room for %d of %d", room, n)
		}
		if again, same := sizeClass(room); again != class || same != room {
			t.Fatalf("a buffer of class %d with room for %d is taken for class %d, %d", class, room, again, same)
		}
		if smaller, _ := sizeClass(n - 1); n > 0 && smaller > class {
			t.Fatalf("class %d of %d, %d of less", class, n, smaller)
		}
	})
}

// Buffers outlive collections, up to the bound.
func TestScratchIsBounded(t *testing.T) {
	defer BoundScratch(BoundScratch(1 << 20))
	a := TakeBuffer[float64](1000)
	first := &a.S[0]
	a.Give()
	runtime.GC()
	runtime.GC()
	b := TakeBuffer[float64](999)
	if &b.S[0] != first {
		t.Error("a buffer was not found again")
	}
	large := TakeBuffer[float32](1 << 20)
	at := &large.S[0]
	large.Give()
	if again := TakeBuffer[float32](1 << 20); &again.S[0] == at {
		t.Error("more than the bound was kept")
	}
	b.Give()
	if n := idle.now.Load(); n < 8000 || n > 1<<20 {
		t.Errorf("%d bytes lie unused", n)
	}
	BoundScratch(0)
	if n := idle.now.Load(); n != 0 {
		t.Errorf("%d bytes lie unused after all went", n)
	}
}

// What was lent is given back together, and taken again.
func TestLent(t *testing.T) {
	defer BoundScratch(BoundScratch(1 << 20))
	var l Lent[float32]
	a, b := l.Take(100), l.Take(1000)
	if len(a) != 100 || len(b) != 1000 || !l.Holds(a[:1]) || !l.Holds(b) || l.Holds(b[1:]) || l.Holds(make([]float32, 100)) {
		t.Fatal("other memory than was taken")
	}
	l.Give()
	if l.Holds(a) {
		t.Error("what was given back is held")
	}
	if again := l.Take(999); &again[0] != &b[0] {
		t.Error("a buffer was not found again")
	}
	l.Give()
}
