package nn

import (
	"fmt"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// What decoders such as GPT-2 and OPT have apart from Llama's: LayerNorm,
// learned positions, an MLP without a gate.

// AddPositions adds the learned positions of windows of n rows each to x
// [windows·n, hidden]. table is [arch.Config.PositionRows, hidden]. It panics
// where a window is longer than the table.
func (r *RunnerOf[T]) AddPositions(table []T, x []T, n int) {
	d, rows := r.c.Hidden, r.c.PositionRows()
	mustLen("table", len(table), rows*d)
	if n > r.c.MaxPosition {
		panic(fmt.Sprintf("nn: a window of %d tokens in a model of %d positions", n, r.c.MaxPosition))
	}
	for t := range len(x) / d {
		at := t%n + r.c.PositionOffset
		add(x[t*d:(t+1)*d], table[at*d:(at+1)*d])
	}
}

// AddPositionGradient adds the gradient dx [n, hidden] at one window's rows to g,
// that of the table of AddPositions.
func (r *RunnerOf[T]) AddPositionGradient(g, dx []T) {
	d := r.c.Hidden
	mustLen("g", len(g), r.c.PositionRows()*d)
	at := r.c.PositionOffset * d
	add(g[at:at+len(dx)], dx)
}

// activate sets y to the activation of x, a chunk of rows at a time. y may be x.
func (r *RunnerOf[T]) activate(kind string, y, x []T) {
	overElements(r.pool, len(x), func(lo, hi int) { activation(kind, y[lo:hi], x[lo:hi]) })
}

func activation[T Float](kind string, y, x []T) {
	switch kind {
	case arch.ActReLU:
		for i, v := range x {
			y[i] = max(v, 0)
		}
	case arch.ActGELUTanh:
		switch x := any(x).(type) {
		case []float32:
			vmath.GELUTanh(any(y).([]float32), x)
		case []float64:
			y := any(y).([]float64)
			for i, v := range x {
				s, _ := geluTanhParts(v)
				y[i] = float64(v * s)
			}
		}
	default:
		silu(y, x)
	}
}

// geluTanhParts returns s = (1 + tanh(√(2/π)·(v + 0.044715·v³)))/2 and the
// derivative of v·s.
func geluTanhParts(v float64) (s, slope float64) {
	const c1, c3 = 1.59576912160573071176, 0.07135481627260025
	z := float64(v * v)
	s = 1 / (1 + vmath.Exp64(-float64(v*(float64(z*c3)+c1))))
	return s, s + float64(float64(v*s)*float64((1-s)*(float64(3*c3*z)+c1)))
}

// activateBack multiplies d, the gradient at the activations of x, by their
// slopes. ReLU's is 0 at 0, as torch has it.
func (r *RunnerOf[T]) activateBack(kind string, d, x []T) {
	overElements(r.pool, len(x), func(lo, hi int) {
		d, x := d[lo:hi], x[lo:hi]
		switch kind {
		case arch.ActReLU:
			for i, v := range x {
				if !(v > 0) {
					d[i] = 0
				}
			}
		case arch.ActGELUTanh:
			for i, v := range x {
				switch v := any(v).(type) {
				case float32:
					d[i] *= T(vmath.GELUTanhSlope32(v))
				case float64:
					_, slope := geluTanhParts(v)
					d[i] *= T(slope)
				}
			}
		default:
			s := make([]T, len(x))
			sigmoid(s, x)
			for i, v := range x {
				d[i] *= T(s[i] * (1 + T(v*(1-s[i]))))
			}
		}
	})
}
