package linalg

import (
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// Buffer is scratch memory that is used again and again. Its contents are
// arbitrary when taken. It belongs to its taker until Give.
type Buffer[T kernel.Float] struct{ S []T }

// defaultIdle is what may lie unused unless BoundScratch says otherwise: about
// what a product of a decoder's largest layers, its forward pass and a
// factorization beside them need.
const defaultIdle = 128 << 20

// idle counts the bytes on the shelves against their bound.
var idle = struct{ now, bound atomic.Int64 }{}

func init() { idle.bound.Store(defaultIdle) }

// BoundScratch sets how many bytes of scratch memory may lie unused between two
// uses, instead of being left to the garbage collector, and returns the bound
// that it replaces. What lies unused now goes. It is of the whole process.
func BoundScratch(bytes int64) (was int64) {
	was = idle.bound.Swap(bytes)
	shelf32.clear()
	shelf64.clear()
	return was
}

// A shelf holds the buffers that nobody has, by size, so that a small one does
// not displace a large one. A sync.Pool would lose them at each collection, and
// collections are frequent: see pacing in package executor.
type shelf[T kernel.Float] struct {
	mu   sync.Mutex
	free [4 * bits.UintSize][]*Buffer[T]
}

var (
	shelf32 shelf[float32]
	shelf64 shelf[float64]
)

func shelfOf[T kernel.Float]() *shelf[T] {
	if s, ok := any(&shelf32).(*shelf[T]); ok {
		return s
	}
	return any(&shelf64).(*shelf[T])
}

func (s *shelf[T]) take(class int) *Buffer[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := s.free[class]
	if len(free) == 0 {
		return nil
	}
	b := free[len(free)-1]
	s.free[class] = free[:len(free)-1]
	idle.now.Add(-b.bytes())
	return b
}

func (s *shelf[T]) give(b *Buffer[T]) {
	if n := b.bytes(); idle.now.Add(n) > idle.bound.Load() {
		idle.now.Add(-n)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	class, _ := sizeClass(cap(b.S))
	s.free[class] = append(s.free[class], b)
}

func (s *shelf[T]) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for class, free := range s.free {
		for _, b := range free {
			idle.now.Add(-b.bytes())
		}
		s.free[class] = nil
	}
}

// sizeClass returns the class of buffers for n elements and what they have room
// for: four sizes to each power of two.
func sizeClass(n int) (class, room int) {
	n = max(n, 8)
	e := bits.Len(uint(n-1)) - 1 // 2^e < n <= 2^(e+1)
	quarter := 1 << e / 4
	k := (n - 1<<e + quarter - 1) / quarter
	return 4*e + k, 1<<e + k*quarter
}

// TakeBuffer returns scratch memory of n elements.
func TakeBuffer[T kernel.Float](n int) *Buffer[T] {
	class, room := sizeClass(n)
	if b := shelfOf[T]().take(class); b != nil {
		b.S = b.S[:n]
		return b
	}
	return &Buffer[T]{make([]T, n, room)}
}

// Give hands the buffer back; its elements must not be used any more.
func (b *Buffer[T]) Give() { shelfOf[T]().give(b) }

// Lent is scratch memory of any number of buffers that are given back together. The
// zero value is ready. It serves one goroutine at a time.
type Lent[T kernel.Float] struct{ buffers []*Buffer[T] }

// Take returns n elements with anything in them, which are the taker's until Give.
func (l *Lent[T]) Take(n int) []T {
	b := TakeBuffer[T](n)
	l.buffers = append(l.buffers, b)
	return b.S
}

// Holds reports whether x, which is not empty, begins what Take returned.
func (l *Lent[T]) Holds(x []T) bool {
	return slices.ContainsFunc(l.buffers, func(b *Buffer[T]) bool { return len(b.S) > 0 && &b.S[0] == &x[0] })
}

// Give hands the memory back. More may be taken afterwards.
func (l *Lent[T]) Give() {
	for _, b := range l.buffers {
		b.Give()
	}
	clear(l.buffers)
	l.buffers = l.buffers[:0]
}

func (b *Buffer[T]) bytes() int64 {
	var z T
	return int64(cap(b.S)) * int64(unsafe.Sizeof(z))
}
