package nn

import (
	"math"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
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
	k := rmsAlong(s0+s1, inv, len(x))
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

// rmsAlong is what a row of width elements, of which s is Σ dy·gain·x, is taken off
// its gradient times.
func rmsAlong[T Float](s float64, inv T, width int) T {
	r := float64(inv)
	return T(s * r * r * r / float64(width))
}

// rmsRowsBackward is rmsRowBackward for rows of a matrix [rows, width], to the same
// bits.
func rmsRowsBackward[T Float](p *linalg.Pool, dst, into, dy, x, gain []T, rows int, inv []T) {
	w := len(gain)
	row := func(m []T, t int) []T {
		if m == nil {
			return nil
		}
		return m[t*w : (t+1)*w]
	}
	g, ok := any(gain).([]float32)
	if !ok {
		overRows(p, rows, func(lo, hi int) {
			for t := lo; t < hi; t++ {
				rmsRowBackward(row(dst, t), row(into, t), row(dy, t), row(x, t), gain, inv[t])
			}
		})
		return
	}
	scratch := linalg.TakeBuffer[float32](p.Threads() * 4 * w)
	defer scratch.Give()
	of := func(m []T, t int) []float32 { return any(row(m, t)).([]float32) }
	p.For((rows+rowChunk-1)/rowChunk, func(worker, task int) {
		lo, hi := task*rowChunk, min(task*rowChunk+rowChunk, rows)
		s := scratch.S[worker*4*w : (worker+1)*4*w]
		// Two rows at a time: the sum over one is a chain of additions that wait for
		// each other.
		for t := lo; t < hi; t += 2 {
			n := min(2, hi-t)
			for i := range n {
				outer, inner := s[2*i*w:(2*i+1)*w], s[(2*i+1)*w:(2*i+2)*w]
				copy(outer, of(dy, t+i))
				vmath.Multiply(outer, g)
				copy(inner, outer)
				vmath.Multiply(inner, of(x, t+i))
			}
			sums := [2]float64{}
			if n == 2 {
				sums[0], sums[1] = sumPairs(s[w:2*w], s[3*w:4*w])
			} else {
				sums[0], _ = sumPairs(s[w:2*w], s[w:2*w])
			}
			for i := range n {
				outer, along := s[2*i*w:(2*i+1)*w], s[(2*i+1)*w:(2*i+2)*w]
				f := float32(inv[t+i])
				fill(along, -rmsAlong(sums[i], f, w))
				vmath.Multiply(along, of(x, t+i))
				vmath.AddScaled(outer, along, f)
				if into != nil {
					add(outer, of(into, t+i))
				}
				copy(of(dst, t+i), outer)
			}
		}
	})
}

// sumPairs returns the sums of a and of b, which are as long, each in two lanes.
func sumPairs(a, b []float32) (sumA, sumB float64) {
	var a0, a1, b0, b1 float64
	for ; len(a) >= 2 && len(b) >= 2; a, b = a[2:], b[2:] {
		a0 += float64(a[0])
		a1 += float64(a[1])
		b0 += float64(b[0])
		b1 += float64(b[1])
	}
	if len(a) > 0 {
		a0 += float64(a[0])
		b0 += float64(b[0])
	}
	return a0 + a1, b0 + b1
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
