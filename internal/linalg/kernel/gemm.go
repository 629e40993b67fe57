package kernel

import (
	"math"
	"unsafe"
)

// Float is an element type of the kernels.
type Float interface{ float32 | float64 }

// Gemm is one tile kernel. Run computes, for the MR×NR tile at c (row stride
// ldc) and packed panels a and b of kc steps, C = fma(alpha, acc, C), or
// C = fma(alpha, acc, +0) without reading C when add is 0, where acc is the
// chain of fused multiply-adds in ascending k from +0.
type Gemm[T Float] struct {
	MR, NR int
	Run    func(kc int, a, b, c *T, ldc int, alpha T, add int)
}

// MaxTile bounds MR·NR of every kernel, for scratch tiles.
const MaxTile = 24 * 16

// Select returns the active path's tile kernel for a product of n columns.
func Select[T Float](n int) Gemm[T] {
	var z T
	var g any
	switch t := active; {
	case unsafe.Sizeof(z) == 8 && n <= 8:
		g = &t.dgemmNarrow
	case unsafe.Sizeof(z) == 8:
		g = &t.dgemm
	case n <= 16:
		g = &t.sgemmNarrow
	default:
		g = &t.sgemm
	}
	return *g.(*Gemm[T])
}

func sgemm4x16Go(kc int, a, b, c *float32, ldc int, alpha float32, add int) {
	A, B := unsafe.Slice(a, kc*4), unsafe.Slice(b, kc*16)
	C := unsafe.Slice(c, 3*ldc+16)
	var acc [64]float32
	for k := range kc {
		bb := B[k*16 : k*16+16]
		for i, av := range A[k*4 : k*4+4] {
			ac := acc[i*16 : i*16+16]
			for j := range ac {
				ac[j] = FMA32(av, bb[j], ac[j])
			}
		}
	}
	for i := range 4 {
		row := C[i*ldc : i*ldc+16]
		for j := range row {
			var old float32
			if add != 0 {
				old = row[j]
			}
			row[j] = FMA32(alpha, acc[i*16+j], old)
		}
	}
}

func dgemm4x16Go(kc int, a, b, c *float64, ldc int, alpha float64, add int) {
	A, B := unsafe.Slice(a, kc*4), unsafe.Slice(b, kc*16)
	C := unsafe.Slice(c, 3*ldc+16)
	var acc [64]float64
	for k := range kc {
		bb := B[k*16 : k*16+16]
		for i, av := range A[k*4 : k*4+4] {
			ac := acc[i*16 : i*16+16]
			for j := range ac {
				ac[j] = math.FMA(av, bb[j], ac[j])
			}
		}
	}
	for i := range 4 {
		row := C[i*ldc : i*ldc+16]
		for j := range row {
			var old float64
			if add != 0 {
				old = row[j]
			}
			row[j] = math.FMA(alpha, acc[i*16+j], old)
		}
	}
}
