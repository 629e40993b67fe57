package kernel

import (
	"math"
	"unsafe"
)

// Float is an element type of the kernels.
type Float interface{ float32 | float64 }

// Tile computes, for the tile at c (row stride ldc) and packed panels a and b of
// kc steps, C = fma(alpha, acc, C), or C = fma(alpha, acc, +0) without reading C
// when add is 0, where acc is the chain of fused multiply-adds in ascending k
// from +0.
type Tile[T Float] func(kc int, a, b, c *T, ldc int, alpha T, add int)

// Gemm is the kernels of one size of tile. Run computes MR×NR elements. Some, if
// any, compute fewer columns of a tile, for those at an edge or on a diagonal:
// Some[v-1] the MR×v·Lane() elements at c, with b at the first of these columns
// in its panel of NR. Rows, if any, are for rows of A as they lie, that of most
// rows first.
type Gemm[T Float] struct {
	MR, NR int
	Run    Tile[T]
	Some   []Tile[T]
	Rows   []RowsTile[T]
}

// RowsTile is a Tile of MR×NR elements whose rows of A are not packed but lda
// apart.
type RowsTile[T Float] struct {
	MR  int
	Run func(kc int, a *T, lda int, b, c *T, ldc int, alpha T, add int)
}

// Lane returns the number of columns of a tile that are computed or left out
// together.
func (g *Gemm[T]) Lane() int { return g.NR / (len(g.Some) + 1) }

// Whole returns the number of columns of a tile that Columns writes with its
// first n > 0.
func (g *Gemm[T]) Whole(n int) int {
	if n == g.NR {
		return n
	}
	lane := g.Lane()
	return (n + lane - 1) / lane * lane
}

// Columns computes columns [lo, hi) of the tile at c, and those that share a lane
// with one of them.
func (g *Gemm[T]) Columns(lo, hi, kc int, a, b *T, c []T, ldc int, alpha T, add int) {
	if lo == 0 && hi == g.NR {
		g.Run(kc, a, b, &c[0], ldc, alpha, add)
		return
	}
	lane := g.Lane()
	first, end := lo/lane, (hi+lane-1)/lane
	run := g.Run
	if n := end - first; n <= len(g.Some) {
		run = g.Some[n-1]
	}
	b = (*T)(unsafe.Add(unsafe.Pointer(b), uintptr(first*lane)*unsafe.Sizeof(*b)))
	run(kc, a, b, &c[first*lane], ldc, alpha, add)
}

// MaxTile bounds MR·NR of every kernel, for scratch tiles.
const MaxTile = 24 * 16

// Select returns the active path's kernels for a product of n columns: those of
// the narrowest tile that has as many, or of the widest.
func Select[T Float](n int) Gemm[T] {
	var z T
	var v any = active.sgemm
	if unsafe.Sizeof(z) == 8 {
		v = active.dgemm
	}
	gs := v.([]Gemm[T])
	for _, g := range gs[:len(gs)-1] {
		if n <= g.NR {
			return g
		}
	}
	return gs[len(gs)-1]
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
