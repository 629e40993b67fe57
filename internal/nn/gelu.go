package nn

import (
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// GELU is an activation function (Hendrycks and Gimpel 2016, arXiv:1606.08415).
type GELU int

const (
	GELUExact GELU = iota // x·Φ(x)
	GELUTanh              // its approximation by tanh, as in GPT-2
)

// elementChunk is how many elements one task of an activation takes.
const elementChunk = 1 << 13

func overElements(p *linalg.Pool, n int, f func(lo, hi int)) {
	p.For((n+elementChunk-1)/elementChunk, func(_, t int) { f(t*elementChunk, min((t+1)*elementChunk, n)) })
}

// Forward sets y to the activations of x. y may be x.
func (g GELU) Forward(p *linalg.Pool, y, x []float32) {
	mustLen("y", len(y), len(x))
	overElements(p, len(x), func(lo, hi int) {
		if g == GELUTanh {
			vmath.GELUTanh(y[lo:hi], x[lo:hi])
		} else {
			vmath.GELU(y[lo:hi], x[lo:hi])
		}
	})
}

// Backward multiplies d, the gradient at the activations of x, by their slopes.
func (g GELU) Backward(p *linalg.Pool, d, x []float32) {
	mustLen("d", len(d), len(x))
	slope := vmath.GELUSlope32
	if g == GELUTanh {
		slope = vmath.GELUTanhSlope32
	}
	overElements(p, len(x), func(lo, hi int) {
		for i := lo; i < hi; i++ {
			d[i] *= slope(x[i])
		}
	})
}
