package linalg

import (
	"sync"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// buffer is pooled scratch memory; its contents are arbitrary when taken.
type buffer[T kernel.Float] struct{ s []T }

var (
	buffers32 sync.Pool
	buffers64 sync.Pool
)

func bufferPool[T kernel.Float]() *sync.Pool {
	var z T
	if any(z) == any(float32(0)) {
		return &buffers32
	}
	return &buffers64
}

func takeBuffer[T kernel.Float](n int) *buffer[T] {
	if v := bufferPool[T]().Get(); v != nil {
		b := v.(*buffer[T])
		if cap(b.s) >= n {
			b.s = b.s[:n]
			return b
		}
	}
	return &buffer[T]{make([]T, n)}
}

func (b *buffer[T]) give() { bufferPool[T]().Put(b) }
