package rng

import "testing"

// BenchmarkUint32s draws as many numbers as a chunk of a tensor has elements.
func BenchmarkUint32s(b *testing.B) {
	dst := make([]uint32, 1<<14)
	s := New(1, "bench")
	b.SetBytes(int64(4 * len(dst)))
	for b.Loop() {
		s.Uint32s(dst, 0)
	}
}
