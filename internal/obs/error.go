package obs

import (
	"fmt"

	"github.com/compressc/compressc/internal/linalg"
)

// RelativeOutputError returns tr(ΔHΔᵀ)/tr(WHWᵀ) for Δ = W − Ŵ: the part of the
// layer's output energy on the inputs behind H that an approximation gets wrong.
// w and what are [out, n], h is [n, n], of which it reads the upper triangle. It
// is 0 if both energies are zero.
func RelativeOutputError(p *linalg.Pool, w, what []float32, out, n int, h []float64) float64 {
	if len(what) != len(w) {
		panic(fmt.Sprintf("obs: %d and %d weights", len(w), len(what)))
	}
	all := OutputEnergy(p, w, nil, out, n, h)
	diff := OutputEnergy(p, w, what, out, n, h)
	if diff == 0 {
		return 0
	}
	return diff / all
}

// OutputEnergy returns tr(DHDᵀ) with D = w − minus, or w where minus is nil: the
// summed squares of the layer's outputs. Shapes are those of
// RelativeOutputError.
func OutputEnergy(p *linalg.Pool, w, minus []float32, out, n int, h []float64) float64 {
	if len(w) != out*n || len(h) != n*n || minus != nil && len(minus) != len(w) {
		panic(fmt.Sprintf("obs: %d weights for [%d, %d] and a Hessian of %d", len(w), out, n, len(h)))
	}
	dBuf, gBuf := linalg.TakeBuffer[float64](len(w)), linalg.TakeBuffer[float64](n*n)
	defer dBuf.Give()
	defer gBuf.Give()
	d, g := dBuf.S, gBuf.S
	for i, v := range w {
		d[i] = float64(v)
	}
	for i, v := range minus {
		d[i] -= float64(v)
	}
	// tr(DHDᵀ) = Σ_ij H_ij·(DᵀD)_ij: a quarter of the products that DH needs.
	p.Dsyrk(true, true, n, out, 1, d, n, 0, g, n)
	rows := make([]float64, n)
	p.For(n, func(_, i int) {
		gi, sum := g[i*n:(i+1)*n], 0.0
		for j, v := range h[i*n+i+1 : (i+1)*n] {
			sum += float64(v * gi[i+1+j])
		}
		rows[i] = float64(h[i*n+i]*gi[i]) + float64(2*sum)
	})
	total := 0.0
	for _, v := range rows {
		total += v
	}
	return total
}
