package nn

import (
	"math"

	"github.com/compressc/compressc/internal/linalg"
)

// rmsRow sets y = gain·x/√(mean x² + eps) and returns the factor on x.
// y may be x.
func rmsRow[T Float](y, x, gain []T, eps float64) T {
	inv := T(1 / math.Sqrt(sumSq(x)/float64(len(x))+eps))
	scaleGain(y, x, gain, inv)
	return inv
}

// rmsRowBackward sets dst = into + d(loss)/dx for one row, where dy is
// d(loss)/dy and inv what rmsRow returned. into may be nil (zero) or dst; dst
// may be dy.
func rmsRowBackward[T Float](dst, into, dy, x, gain []T, inv T) {
	gain, dy, dst = gain[:len(x)], dy[:len(x)], dst[:len(x)]
	var s0, s1 float64
	i := 0
	for ; i+2 <= len(x); i += 2 {
		s0 += float64(T(dy[i]*gain[i]) * x[i])
		s1 += float64(T(dy[i+1]*gain[i+1]) * x[i+1])
	}
	if i < len(x) {
		s0 += float64(T(dy[i]*gain[i]) * x[i])
	}
	r := float64(inv)
	k := T((s0 + s1) * r * r * r / float64(len(x)))
	if into == nil {
		for i, v := range x {
			dst[i] = T(T(dy[i]*gain[i])*inv) - T(v*k)
		}
		return
	}
	into = into[:len(x)]
	for i, v := range x {
		dst[i] = into[i] + (T(T(dy[i]*gain[i])*inv) - T(v*k))
	}
}

// rms normalises every row of x [rows, width] into y and keeps the factors in
// inv, if that is not nil.
func rms[T Float](p *linalg.Pool, y, x, gain []T, rows int, eps float64, inv []T) {
	w := len(gain)
	overRows(p, rows, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			f := rmsRow(y[t*w:(t+1)*w], x[t*w:(t+1)*w], gain, eps)
			if inv != nil {
				inv[t] = f
			}
		}
	})
}

// rmsBackward adds the gradient through rms to dx: dx += dy·dy/dx.
func rmsBackward[T Float](p *linalg.Pool, dx, dy, x, gain []T, rows int, inv []T) {
	w := len(gain)
	overRows(p, rows, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			d := dx[t*w : (t+1)*w]
			rmsRowBackward(d, d, dy[t*w:(t+1)*w], x[t*w:(t+1)*w], gain, inv[t])
		}
	})
}

// addGainGradient is g[j] += Σ_t dy[t, j]·x[t, j]·inv[t], t ascending.
func addGainGradient[T Float](p *linalg.Pool, g, dy, x []T, rows int, inv []T) {
	w := len(g)
	p.For((w+columnChunk-1)/columnChunk, func(_, c int) {
		lo, hi := c*columnChunk, min(c*columnChunk+columnChunk, w)
		for t := range rows {
			for j := lo; j < hi; j++ {
				g[j] += T(dy[t*w+j] * T(x[t*w+j]*inv[t]))
			}
		}
	})
}
