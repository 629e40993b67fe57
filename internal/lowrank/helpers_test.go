package lowrank

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/compressc/compressc/internal/linalg"
)

func newPool(t testing.TB, threads int) *linalg.Pool {
	p := linalg.NewPool(threads)
	t.Cleanup(p.Close)
	return p
}

func mustDecompose(t interface {
	Helper()
	Fatal(...any)
}, p *linalg.Pool, dw []float64, out, in int, c []float64, keep int) *Factors {
	t.Helper()
	f, err := Decompose(p, dw, out, in, c, keep)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// truncate returns Truncate's side path with B [out, k] itself.
func truncate(f *Factors, k int) (b, a []float64) {
	bt, a := Truncate[float64](f, k)
	k = len(a) / f.In
	b = make([]float64, len(bt))
	for j := range k {
		for i := range f.Out {
			b[i*k+j] = bt[j*f.Out+i]
		}
	}
	return b, a
}

// product returns b·a.
func product(b, a []float64, out, k, in int) []float64 {
	c := make([]float64, out*in)
	(*linalg.Pool)(nil).Dgemm(false, false, out, in, k, 1, b, k, a, in, 0, c, in)
	return c
}

// outputError returns tr(D·C·Dᵀ) for D = dw − ba; c nil is the identity.
func outputError(dw, ba []float64, out, in int, c []float64) float64 {
	total := 0.0
	for r := range out {
		d := make([]float64, in)
		for j := range d {
			d[j] = dw[r*in+j] - ba[r*in+j]
		}
		for i, v := range d {
			if c == nil {
				total += v * v
				continue
			}
			for j, w := range d {
				total += v * w * c[i*in+j]
			}
		}
	}
	return total
}

// normal returns n standard normal deviates.
func normal(seed uint64, n int) []float64 {
	rng := rand.New(rand.NewPCG(seed, 2))
	a := make([]float64, n)
	for i := range a {
		a[i] = rng.NormFloat64()
	}
	return a
}

// moments returns XᵀX of tokens correlated inputs of different scales.
func moments(seed uint64, n, tokens int) []float64 {
	x := normal(seed, n*(tokens+1))
	scale, x := x[:n], x[n:]
	c := make([]float64, n*n)
	for t := range tokens {
		row := x[t*n : (t+1)*n]
		for i := range row {
			row[i] = (row[i] + row[0]) * (math.Abs(scale[i]) + .01)
		}
		for i := range n {
			for j := range n {
				c[i*n+j] += row[i] * row[j]
			}
		}
	}
	return c
}

// readLayer reads the synthetic layer of the sweep's tests, see its README.
func readLayer(t testing.TB) (w []float32, c []float64, out, in int) {
	t.Helper()
	out, in = 96, 128
	b, err := os.ReadFile("../obs/testdata/layer96x128.bin")
	if err != nil {
		t.Fatal(err)
	}
	w, c = make([]float32, out*in), make([]float64, in*in)
	for i := range w {
		w[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	b = b[4*len(w):]
	for i := range in {
		for j := i; j < in; j++ {
			v := math.Float64frombits(binary.LittleEndian.Uint64(b))
			c[i*in+j], c[j*in+i], b = v, v, b[8:]
		}
	}
	return w, c, out, in
}
