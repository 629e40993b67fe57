// Package rng gives random numbers as a pure function of a seed, the name of a
// stream and a position: any element of a stream can be had without those before
// it, so that parallel work draws the same numbers in any order and on any
// machine.
//
// The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). It is not for cryptography. Streams of
// different names are independent for every practical purpose. The package knows
// nothing of what is drawn for what: callers choose stream names and keep them,
// because the numbers are part of results.
package rng

import "math/bits"

// Stream is a random sequence. The …At methods are pure and safe for concurrent
// use; Next advances a position and is not.
type Stream struct {
	key uint64
	pos uint64
}

// New returns the stream called name under seed, at position 0. The 64-bit key
// is a FNV-1a hash of the name, mixed with the seed by SplitMix64's finalizer.
func New(seed uint64, name string) *Stream {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return &Stream{key: mix(mix(seed+0x9e3779b97f4a7c15) ^ h)}
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

const (
	mul0, mul1   = 0xd2511f53, 0xcd9e8d57
	weyl0, weyl1 = 0x9e3779b9, 0xbb67ae85
)

// philox is Philox4x32-10.
func philox(c [4]uint32, k [2]uint32) [4]uint32 {
	a, b, d, e := uint64(c[0]), c[1], uint64(c[2]), c[3]
	k0, k1 := k[0], k[1]
	for range 10 {
		p, q := mul0*a, mul1*d
		a, b = uint64(uint32(q>>32)^b^k0), uint32(q)
		d, e = uint64(uint32(p>>32)^e^k1), uint32(p)
		k0 += weyl0
		k1 += weyl1
	}
	return [4]uint32{uint32(a), b, uint32(d), e}
}

// Uint64At returns element i, uniform over all 64-bit values.
func (s *Stream) Uint64At(i uint64) uint64 {
	b := i >> 1
	out := philox([4]uint32{uint32(b), uint32(b >> 32)}, [2]uint32{uint32(s.key), uint32(s.key >> 32)})
	if i&1 != 0 {
		return uint64(out[2]) | uint64(out[3])<<32
	}
	return uint64(out[0]) | uint64(out[1])<<32
}

// Uint32s fills dst with 32-bit values: those at 2i and 2i+1 are the lower and
// the upper half of element i. from, the position of the first, is even.
func (s *Stream) Uint32s(dst []uint32, from uint64) {
	if from&1 != 0 {
		panic("rng: Uint32s starts at an even position")
	}
	for len(dst) > 0 {
		b := from >> 2
		if n := len(dst) / (4 * vectorBlocks) * vectorBlocks; n > 0 && from&3 == 0 {
			blocks(n, &dst[0], b, s.key)
			dst, from = dst[4*n:], from+uint64(4*n)
			continue
		}
		out := philox([4]uint32{uint32(b), uint32(b >> 32)}, [2]uint32{uint32(s.key), uint32(s.key >> 32)})
		n := copy(dst, out[from&3:])
		dst, from = dst[n:], from+uint64(n)
	}
}

// Float64At returns element i as a multiple of 2⁻⁵³ in [0, 1).
func (s *Stream) Float64At(i uint64) float64 {
	return float64(float64(s.Uint64At(i)>>11) * 0x1p-53) // never fused where this is inlined
}

// IntNAt returns element i as an integer in [0, n). Its bias is below n·2⁻⁶⁴.
// It panics if n <= 0.
func (s *Stream) IntNAt(i uint64, n int) int {
	if n <= 0 {
		panic("rng: IntNAt needs a positive bound")
	}
	hi, _ := bits.Mul64(s.Uint64At(i), uint64(n))
	return int(hi)
}

// Perm returns a uniform permutation of [0, n), a function of the stream and n
// alone (Fisher-Yates over elements 0 to n-1).
func (s *Stream) Perm(n int) []int {
	p := make([]int, n)
	for i := range p {
		j := s.IntNAt(uint64(i), i+1)
		p[i] = p[j]
		p[j] = i
	}
	return p
}

// Next returns the element at the stream's position and advances it.
func (s *Stream) Next() uint64 {
	v := s.Uint64At(s.pos)
	s.pos++
	return v
}
