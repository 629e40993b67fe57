package linalg

import (
	"math/bits"
	"sync"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// buffer is pooled scratch memory; its contents are arbitrary when taken.
type buffer[T kernel.Float] struct{ s []T }

// Buffers are kept by size, so that a small one does not displace a large one:
// class c holds capacities of 2^c elements.
var (
	buffers32 [bits.UintSize]sync.Pool
	buffers64 [bits.UintSize]sync.Pool
)

func bufferPool[T kernel.Float](class int) *sync.Pool {
	var z T
	if any(z) == any(float32(0)) {
		return &buffers32[class]
	}
	return &buffers64[class]
}

func takeBuffer[T kernel.Float](n int) *buffer[T] {
	class := bits.Len(uint(max(n, 1) - 1))
	if v := bufferPool[T](class).Get(); v != nil {
		b := v.(*buffer[T])
		b.s = b.s[:n]
		return b
	}
	return &buffer[T]{make([]T, n, 1<<class)}
}

func (b *buffer[T]) give() { bufferPool[T](bits.Len(uint(cap(b.s)) - 1)).Put(b) }
