package linalg

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// randn returns n deviates from a fixed seed; tests only need them repeatable.
func randn(n int, seed uint64) []float64 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64()
	}
	return x
}

func narrow(x []float64) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = float32(v)
	}
	return y
}

// spd returns a well-conditioned symmetric positive definite matrix.
func spd(n int, seed uint64) []float64 {
	x := randn(n*n, seed)
	a := make([]float64, n*n)
	(*Pool)(nil).Dgemm(true, false, n, n, n, 1/float64(n), x, n, x, n, 0, a, n)
	for i := range n {
		a[i*n+i] += 0.1
	}
	GramMirror(nil, a, n)
	return a
}

func maxAbsDiff(a, b []float64) float64 {
	var d float64
	for i := range a {
		if e := math.Abs(a[i] - b[i]); !(e <= d) {
			d = e
		}
	}
	return d
}

func sameBits64(a, b []float64) bool {
	for i := range a {
		if math.Float64bits(a[i]) != math.Float64bits(b[i]) && !(math.IsNaN(a[i]) && math.IsNaN(b[i])) {
			return false
		}
	}
	return len(a) == len(b)
}

func sameBits32(a, b []float32) bool {
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && (a[i] == a[i] || b[i] == b[i]) {
			return false
		}
	}
	return len(a) == len(b)
}

// everywhere runs f on every kernel path with 1, 2 and 3 threads.
func everywhere(t testing.TB, f func(label string, p *Pool)) {
	t.Helper()
	for _, path := range kernel.Paths() {
		restore := kernel.Use(path)
		for th := 1; th <= 3; th++ {
			p := NewPool(th)
			f(string(path)+"/"+string(rune('0'+th)), p)
			p.Close()
		}
		restore()
	}
}
