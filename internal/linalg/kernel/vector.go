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
