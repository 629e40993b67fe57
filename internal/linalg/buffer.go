package linalg

import (
	"math/bits"
	"sync"
	"unsafe"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// Buffer is scratch memory that is used again and again. Its contents are
// arbitrary when taken. It belongs to its taker until Give.
type Buffer[T kernel.Float] struct{ S []T }

// shelfBytes bounds what lies on a shelf unused. It is about what a product of
// a decoder's largest layers and a factorization beside it need; more is left
// to the garbage collector.
const shelfBytes = 64 << 20

// A shelf holds the buffers that nobody has, by size, so that a small one does
// not displace a large one: class c holds capacities of 2^c elements. A
// sync.Pool would lose them at each collection, and collections are frequent:
// see executor's gcPercent.
type shelf[T kernel.Float] struct {
	mu    sync.Mutex
	bytes int
	free  [bits.UintSize][]*Buffer[T]
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
	s.bytes -= b.bytes()
	return b
}

func (s *shelf[T]) give(b *Buffer[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+b.bytes() > shelfBytes {
		return
	}
	class := b.class()
	s.free[class] = append(s.free[class], b)
	s.bytes += b.bytes()
}

func (s *shelf[T]) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes, s.free = 0, [bits.UintSize][]*Buffer[T]{}
}

// TakeBuffer returns scratch memory of n elements.
func TakeBuffer[T kernel.Float](n int) *Buffer[T] {
	class := bits.Len(uint(max(n, 1) - 1))
	if b := shelfOf[T]().take(class); b != nil {
		b.S = b.S[:n]
		return b
	}
	return &Buffer[T]{make([]T, n, 1<<class)}
}

// Give hands the buffer back; its elements must not be used any more.
func (b *Buffer[T]) Give() { shelfOf[T]().give(b) }

func (b *Buffer[T]) class() int { return bits.Len(uint(cap(b.S)) - 1) }

func (b *Buffer[T]) bytes() int {
	var z T
	return cap(b.S) * int(unsafe.Sizeof(z))
}
