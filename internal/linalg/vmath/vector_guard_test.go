//go:build unix

package vmath

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/compressc/compressc/internal/linalg/kernel"
	"github.com/compressc/compressc/internal/linalg/kernel/kerneltest"
)

// The loops over exp37, the reductions and the sums read and write nothing past
// their slices.
func TestLoopsStayInside(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 17))
	for _, path := range kernel.Paths() {
		defer kernel.Use(path)()
		for _, n := range []int{1, 15, 16, 17, 48, 100} {
			x, y, sums := kerneltest.Guarded[float32](t, n), kerneltest.Guarded[float32](t, n), kerneltest.Guarded[float64](t, n)
			copy(x, hostile(r, n, 10))
			Exp(y, x)
			SiLU(y, x)
			GELUTanh(y, x)
			Max(x, 0)
			Softmax(y)
			Dot(x, y)
			AddTo(sums, x)
			AddScaled(x, y, 2)
			words := kerneltest.Guarded[uint32](t, n)
			bits := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 4*n)
			Keep(x, bits[len(bits)-(n+7)/8:])
			const rows = 5
			for columns := 1; columns <= ColumnGroup; columns++ {
				ld := columns + n
				m := kerneltest.Guarded[float64](t, int(unsafe.Sizeof(Columns{}))/8)
				AddColumns((*Columns)(unsafe.Pointer(&m[0])), kerneltest.Guarded[float32](t, (rows-1)*ld+columns), rows, columns, ld)
			}
		}
	}
}

// Max passes over NaNs of either kind, which the minima and maxima of processors
// treat each in its own way, and keeps one that it is given.
func TestMaxOfNaNs(t *testing.T) {
	quiet, signalling := math.Float32frombits(0x7fc00000), math.Float32frombits(0x7f800001)
	for _, path := range kernel.Paths() {
		defer kernel.Use(path)()
		for _, nan := range []float32{quiet, -quiet, signalling, -signalling} {
			x := make([]float32, 48)
			for i := range x {
				x[i] = nan
			}
			if got := Max(x, -3); got != -3 {
				t.Errorf("%s: Max of -3 and NaNs %x is %v", path, math.Float32bits(nan), got)
			}
			for i := range x {
				x[i] = 7
				if got := Max(x, -3); got != 7 {
					t.Errorf("%s: Max of 7 at %d and NaNs %x is %v", path, i, math.Float32bits(nan), got)
				}
				x[i] = nan
			}
			for i := range x {
				x[i] = 7
			}
			if got := Max(x, nan); got == got {
				t.Errorf("%s: Max of NaN %x and 7 is %v", path, math.Float32bits(nan), got)
			}
		}
	}
}
