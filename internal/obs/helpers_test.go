package obs

import (
	"math/rand/v2"
	"testing"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
)

// newPool returns a pool that the test closes.
func newPool(t testing.TB, threads int) *linalg.Pool {
	p := linalg.NewPool(threads)
	t.Cleanup(p.Close)
	return p
}

func mustPrepare(t testing.TB, p *linalg.Pool, h []float64, n int, damping float64, order []int) *Factor {
	t.Helper()
	f, err := Prepare(p, h, n, damping, order)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustSweep(t testing.TB, h []float64, n int, damping float64, order []int, w []float32, out int, o Options) *Result {
	t.Helper()
	res, err := Sweep(nil, mustPrepare(t, nil, h, n, damping, order), w, out, o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// layer returns weights and a Hessian of tokens correlated inputs whose scales
// differ.
func layer(seed uint64, out, n, tokens int) (w []float32, h []float64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	w = make([]float32, out*n)
	for i := range w {
		w[i] = float32(rng.NormFloat64())
	}
	x := make([]float64, tokens*n)
	scale := make([]float64, n)
	for i := range scale {
		scale[i] = rng.ExpFloat64() + .05
	}
	for t := range tokens {
		common := rng.NormFloat64()
		for i := range n {
			x[t*n+i] = scale[i] * (common + rng.NormFloat64())
		}
	}
	h = make([]float64, n*n)
	for i := range n {
		for j := range n {
			for t := range tokens {
				h[i*n+j] += x[t*n+i] * x[t*n+j]
			}
		}
	}
	return w, h
}

func pattern(s string) mask.Pattern {
	p, err := mask.ParsePattern(s)
	if err != nil {
		panic(err)
	}
	return p
}

func gridSpec(bits, group int) grid.Spec {
	return grid.Spec{Bits: bits, GroupSize: group, Symmetric: true}
}
