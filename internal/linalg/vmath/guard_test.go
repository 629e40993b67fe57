//go:build unix

package vmath

import (
	"math/rand/v2"
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel"
	"github.com/compressc/compressc/internal/linalg/kernel/kerneltest"
)

// The loops over differences read and write nothing past their slices.
func TestDeltasStayInside(t *testing.T) {
	r := rand.New(rand.NewPCG(14, 14))
	for _, path := range kernel.Paths() {
		defer kernel.Use(path)()
		for _, n := range []int{1, 15, 16, 17, 48, 100} {
			d := drawDeltaCase(r, n, 10)
			x, y := kerneltest.Guarded[float32](t, n), kerneltest.Guarded[float32](t, n)
			a, b, c, e := kerneltest.Guarded[float64](t, n), kerneltest.Guarded[float64](t, n), kerneltest.Guarded[float64](t, n), kerneltest.Guarded[float64](t, n)
			u, found := kerneltest.Guarded[uint32](t, n), kerneltest.Guarded[uint32](t, n+BetweenSlack)
			copy(x, d.x)
			copy(y, d.y)
			copy(a, d.a)
			copy(b, d.b)
			copy(c, d.c)
			Difference(e, x, y)
			Magnitudes(u, x, y)
			if k, _ := Between(found, u, 0, magnitudeMask); k != n {
				t.Fatalf("%s: %d of %d magnitudes are between the least and the largest", path, k, n)
			}
			KeepLarge(a, d.least)
			KeepBelow(a, u, d.limit)
			AddProduct(a, d.by, b)
			AddAgreeing(c, e, b, a, d.by, d.weight)
			DivideBy(c, e)
			RoundSum(x, y, d.by, a)
			RoundSumWhere(x, y, d.by, a, c, 1)
			CountLarger(c, a, b, d.by)
			CountEqual(c, 1)
		}
	}
}

// The loops over elements read and write nothing past their slices.
func TestElementsStayInside(t *testing.T) {
	for _, path := range kernel.Paths() {
		defer kernel.Use(path)()
		for _, n := range []int{1, 15, 16, 17, 48, 100} {
			a, b, c := kerneltest.Guarded[float32](t, n), kerneltest.Guarded[float32](t, n), kerneltest.Guarded[float32](t, n)
			d, e := kerneltest.Guarded[float32](t, n), kerneltest.Guarded[float32](t, n)
			Multiply(a, b)
			ScaleGain(a, b, c, 2)
			Rotate(a, b, c, d, false)
			Rotate(a, b, c, d, true)
			GateGradient(a, b, c, d, e)
		}
	}
}
