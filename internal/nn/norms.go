package nn

import (
	"math"

	"github.com/compressc/compressc/internal/arch"
)

// normStats is how many numbers the way back through a norm needs of a row: its
// factor and, where the norm takes one, its mean.
func normStats(c *arch.Config) int {
	if c.Norm == arch.NormLayer {
		return 2
	}
	return 1
}

// affine returns gain and bias [hidden] of a norm; bias is nil where it has none.
func (r *RunnerOf[T]) affine(norm []T) (gain, bias []T) {
	if d := r.c.Hidden; r.c.NormBias {
		return norm[:d], norm[d:]
	}
	return norm, nil
}

// norm normalises rows of the residual stream x [rows, hidden] into y. What the
// way back needs goes to stats [normStats·rows], if that is not nil: the rows'
// factors, then their means.
func (r *RunnerOf[T]) norm(y, x, norm []T, rows int, stats []T) {
	gain, bias := r.affine(norm)
	if r.c.Norm == arch.NormLayer {
		var mean, inv []T
		if stats != nil {
			inv, mean = stats[:rows], stats[rows:2*rows]
		}
		LayerNorm(r.pool, y, x, gain, bias, rows, r.c.RMSEps, mean, inv)
		return
	}
	if r.c.Norm == arch.NormCompressed {
		d := r.c.Hidden
		overRows(r.pool, rows, func(lo, hi int) {
			for t := lo; t < hi; t++ {
				f := compressedRow(y[t*d:(t+1)*d], x[t*d:(t+1)*d], gain, r.c.RMSEps)
				if stats != nil {
					stats[t] = f
				}
			}
		})
	} else {
		rms(r.pool, y, x, gain, rows, r.c.RMSEps, stats)
	}
	if bias != nil {
		d := r.c.Hidden
		overRows(r.pool, rows, func(lo, hi int) {
			for t := lo; t < hi; t++ {
				add(y[t*d:(t+1)*d], bias)
			}
		})
	}
}

// normBackward adds the gradient through norm to dx [rows, hidden], and the
// norm's own to g, laid out as the norm is, if that is not nil. dy is read only.
func (r *RunnerOf[T]) normBackward(dx, dy, x, norm []T, rows int, stats, g []T) {
	d := r.c.Hidden
	gain, _ := r.affine(norm)
	var dGain, dBias []T
	if g != nil {
		dGain, dBias = r.affine(g)
	}
	if r.c.Norm == arch.NormLayer {
		LayerNormBackward(r.pool, dx, dy, x, gain, rows, stats[rows:2*rows], stats[:rows], dGain, dBias, true)
		return
	}
	if dGain != nil {
		addGainGradient(r.pool, dGain, dy, x, rows, stats)
	}
	if dBias != nil {
		addColumnSums(r.pool, dBias, dy, rows, d)
	}
	if r.c.Norm != arch.NormCompressed {
		rmsRowsBackward(r.pool, dx, dx, dy, x, gain, rows, stats)
		return
	}
	overRows(r.pool, rows, func(lo, hi int) {
		for t := lo; t < hi; t++ {
			compressedRowBackward(dx[t*d:(t+1)*d], dy[t*d:(t+1)*d], x[t*d:(t+1)*d], gain, stats[t])
		}
	})
}

// compressedRow sets y to gain·x·f with the factor f of arch.NormCompressed,
// which it returns. y may be x.
func compressedRow[T Float](y, x, gain []T, eps float64) T {
	s := Sum(x)
	inv := T(1 / math.Sqrt((sumSq(x)+float64(s*s))/float64(len(x)+1)+eps))
	scaleGain(y, x, gain, inv)
	return inv
}

// compressedRowBackward adds d(loss)/dx for one row, where dy is d(loss)/dy and
// inv what compressedRow returned: with g = dy·gain it is g·inv less
// (x + Σx)·(Σ g·x)·inv³/(len + 1).
func compressedRowBackward[T Float](dx, dy, x, gain []T, inv T) {
	gain, dy, dx = gain[:len(x)], dy[:len(x)], dx[:len(x)]
	along := 0.0
	for i, v := range x {
		along += float64(T(T(dy[i]*gain[i]) * v))
	}
	r, total := float64(inv), T(Sum(x))
	k := T(float64(along*r) * float64(r*r) / float64(len(x)+1))
	for i, v := range x {
		dx[i] += T(T(dy[i]*gain[i])*inv) - T((v+total)*k)
	}
}
