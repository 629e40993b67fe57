package kernel

import (
	"math"
	"unsafe"
)

// Vector is a tile kernel of one row: Run computes the Width elements of C at y,
// C = fma(alpha, acc, C), or C = fma(alpha, acc, +0) without reading C when add
// is 0, where acc is the chain of fused multiply-adds of x[k] and b[k·ldb+j] in
// ascending k < kc from +0; kc > 0. Rows of b need not be packed.
type Vector[T Float] struct {
	Width int
	Run   func(kc int, x, b *T, ldb int, y *T, alpha T, add int)
}

// MaxVector bounds every Vector's Width.
const MaxVector = 128

// SelectVector returns the active path's kernel for products with a vector.
func SelectVector[T Float]() Vector[T] {
	var z T
	var v any = &active.svector
	if unsafe.Sizeof(z) == 8 {
		v = &active.dvector
	}
	return *v.(*Vector[T])
}

func vectorGo[T Float](kc int, x, b *T, ldb int, y *T, alpha T, add int) {
	const width = 16
	X, B, Y := unsafe.Slice(x, kc), unsafe.Slice(b, (kc-1)*ldb+width), unsafe.Slice(y, width)
	var acc [width]T
	for k, v := range X {
		for j, w := range B[k*ldb : k*ldb+width] {
			acc[j] = fma(v, w, acc[j])
		}
	}
	for j, v := range acc {
		var old T
		if add != 0 {
			old = Y[j]
		}
		Y[j] = fma(alpha, v, old)
	}
}

func fma[T Float](a, b, c T) T {
	if unsafe.Sizeof(a) == 4 {
		return T(FMA32(float32(a), float32(b), float32(c)))
	}
	return T(math.FMA(float64(a), float64(b), float64(c)))
}

// Rows is a kernel for products of a vector with the rows of a matrix as they
// lie, which it transposes in registers. It has Vectors accumulators of Lanes
// lanes of Lane elements.
//
// Run adds to elements of C at y: C = fma(alpha, acc, C), where acc is the chain
// of fused multiply-adds of x[k] and a row's element k in ascending k < kc from
// +0; kc > 0. A lane takes Lane rows that are ld apart, the lanes those from a,
// a+l1, a+l2 and a+l1+l2 on (those of them that there are), and each further
// accumulator those rg·ld after. Lane q goes to y[q·Lane mod rg], with rg further
// for each accumulator; sums that go to the same element are added in the order of
// the lanes. So lanes are further rows, other K blocks of the same rows, or both:
// see Strides. Blocks are the numbers of K blocks that it is the best kernel for,
// the largest first.
//
// x holds what Pack makes of the lanes' vectors.
type Rows[T Float] struct {
	Vectors, Lanes, Lane int
	Blocks               []int
	Run                  func(kc int, x, a *T, l1, l2, ld, rg int, y *T, alpha T)
}

// Strides returns Run's l1, l2 and rg for blocks K blocks of kc columns that follow
// one another, a divisor of Lanes.
func (r Rows[T]) Strides(kc, blocks, ld int) (l1, l2, rg int) {
	rg = r.Lanes / blocks * r.Lane
	switch {
	case blocks == r.Lanes:
		return kc, 2 * kc, rg
	case blocks > 1:
		return r.Lane * ld, kc, rg
	}
	return r.Lane * ld, 2 * r.Lane * ld, rg
}

// SelectRows returns the active path's kernels for rows as they lie, that for most
// K blocks first and that for one last; there may be none.
func SelectRows[T Float]() []Rows[T] {
	var z T
	var v any = active.srows
	if unsafe.Sizeof(z) == 8 {
		v = active.drows
	}
	return v.([]Rows[T])
}

// Packed returns the number of elements that Pack writes.
func (r Rows[T]) Packed(kc int) int {
	unit := max(1, r.Lanes/2) * r.Lane // columns that a kernel takes at once, at least
	return (kc + unit - 1) / unit * unit * r.Lanes
}

// Pack writes the vectors x[0:kc], x[kc:2kc], … of blocks different K blocks as
// Run reads them, each for Lanes/blocks lanes. Beyond kc they are −0: the elements
// of A are taken for +0 there, and adding their product changes nothing, not even
// −0.
func (r Rows[T]) Pack(dst, x []T, kc, blocks int) {
	negativeZero := T(math.Copysign(0, -1))
	for q := range r.Lanes {
		src := x[q*blocks/r.Lanes*kc:][:kc]
		for k := 0; k < r.Packed(kc)/r.Lanes; k += r.Lane {
			d := dst[k*r.Lanes+q*r.Lane:][:r.Lane]
			for n := copy(d, src[min(k, kc):]); n < r.Lane; n++ {
				d[n] = negativeZero
			}
		}
	}
}
