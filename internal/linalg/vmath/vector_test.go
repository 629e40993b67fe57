package vmath

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// hostile draws ordinary activations, and now and then something else.
func hostile(r *rand.Rand, n int, share int) []float32 {
	special := []float32{0, float32(math.Copysign(0, -1)), float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0x1p-149, -0x1p-130, math.MaxFloat32, -math.MaxFloat32, 88.73, -103.98, -87.5, 708.5, -709}
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64() * 20)
		if r.IntN(100) < share {
			x[i] = special[r.IntN(len(special))]
		}
	}
	return x
}

func bits32(x []float32) []uint32 {
	u := make([]uint32, len(x))
	for i, v := range x {
		u[i] = math.Float32bits(v)
		if v != v {
			u[i] = 0x7fc00000
		}
	}
	return u
}

func equal(t *testing.T, path kernel.Path, what string, n int, got, want []float32) {
	t.Helper()
	g, w := bits32(got), bits32(want)
	for i := range w {
		if g[i] != w[i] {
			t.Fatalf("%s %s of %d: element %d is %x, want %x", path, what, n, i, got[i], want[i])
		}
	}
}

// Every path against the scalar functions, every length around the vector step,
// nothing written past the end.
func TestPathsAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for n := range 100 {
		for _, share := range []int{0, 3, 40} {
			x, y := hostile(r, n+1, share), hostile(r, n+1, share)
			exp, silu, gelu, soft := append([]float32{}, x...), append([]float32{}, x...), append([]float32{}, x...), append([]float32{}, x...)
			for i := range n {
				exp[i], silu[i], gelu[i] = Exp32(x[i]), SiLU32(x[i]), GELUTanh32(x[i])
			}
			var dots [8]float64
			for i := range n {
				dots[i%8] += float64(x[i]) * float64(y[i])
			}
			restore := kernel.Use(kernel.Go)
			Softmax(soft[:n])
			restore()
			for _, path := range kernel.Paths() {
				restore := kernel.Use(path)
				got := append([]float32{}, x...)
				Exp(got[:n], x[:n])
				equal(t, path, "Exp", n, got, exp)
				copy(got, x)
				SiLU(got[:n], got[:n])
				equal(t, path, "SiLU", n, got, silu)
				copy(got, x)
				GELUTanh(got[:n], got[:n])
				equal(t, path, "GELUTanh", n, got, gelu)
				low := float32(math.Inf(-1))
				if n%3 == 0 {
					low = x[n]
				}
				if got, want := Max(x[:n], low), maximumGo(n, &x[0], low); got != want && (got == got || want == want) {
					t.Fatalf("%s Max of %d is %v, want %v", path, n, got, want)
				}
				copy(got, x)
				Softmax(got[:n])
				equal(t, path, "Softmax", n, got, soft)
				if d, want := Dot(x[:n], y[:n]), total(&dots); d != want && (d == d || want == want) {
					t.Fatalf("%s Dot of %d = %x, want %x", path, n, d, want)
				}
				restore()
			}
		}
	}
}

// All float32 exponents, so that clamping and scaling agree everywhere.
func TestPathsAgreeOnEveryMagnitude(t *testing.T) {
	var x []float32
	for u := uint64(0); u < 1<<32; u += 104729 {
		x = append(x, math.Float32frombits(uint32(u)))
	}
	for len(x)%vectorStep != 0 {
		x = append(x, 1)
	}
	exp, silu, gelu := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
	for i, v := range x {
		exp[i], silu[i], gelu[i] = Exp32(v), SiLU32(v), GELUTanh32(v)
	}
	for _, path := range kernel.Paths() {
		restore := kernel.Use(path)
		got := make([]float32, len(x))
		Exp(got, x)
		equal(t, path, "Exp", len(x), got, exp)
		SiLU(got, x)
		equal(t, path, "SiLU", len(x), got, silu)
		GELUTanh(got, x)
		equal(t, path, "GELUTanh", len(x), got, gelu)
		restore()
	}
}
