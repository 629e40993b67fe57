package obs

import (
	"fmt"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
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
	if minus == nil {
		vmath.Widen(d, w)
	} else {
		vmath.Difference(d, w, minus)
	}
	// tr(DHDᵀ) = Σ_ij H_ij·(DᵀD)_ij: a quarter of the products that DH needs.
	p.Dsyrk(true, true, n, out, 1, d, n, 0, g, n)
	rowsBuf := linalg.TakeBuffer[float64](n)
	defer rowsBuf.Give()
	rows := rowsBuf.S
	p.For((n+traceRows-1)/traceRows, func(_, task int) {
		i := task * traceRows
		traceOf(rows[i:min(i+traceRows, n)], h, g, i, n)
	})
	total := 0.0
	for _, v := range rows {
		total += v
	}
	return total
}

// traceRows is how many rows of a trace are added up at once: sums that hide each
// other's latency.
const traceRows = 8

// traceOf sets dst to what the rows from first on of the symmetric a and b [n, n], of
// which the upper triangles are read, contribute to the trace of their product: a row's
// diagonal, and twice the sum of what is behind it, in the order of columns.
func traceOf(dst, a, b []float64, first, n int) {
	var sums [traceRows]float64
	end := first + len(dst) // of the rows' own triangle
	for i := range dst {
		row := (first + i) * n
		for j := first + i + 1; j < end; j++ {
			sums[i] += float64(a[row+j] * b[row+j])
		}
	}
	if len(dst) < traceRows {
		for i := range dst {
			for k := (first+i)*n + end; k < (first+i+1)*n; k++ {
				sums[i] += float64(a[k] * b[k])
			}
		}
	} else {
		fourRows((*[4]float64)(sums[:4]), a, b, first*n+end, n-end, n)
		fourRows((*[4]float64)(sums[4:]), a, b, (first+4)*n+end, n-end, n)
	}
	for i := range dst {
		at := (first+i)*n + first + i
		dst[i] = float64(a[at]*b[at]) + float64(2*sums[i])
	}
}

// fourRows adds to sums the products of the elements of four rows, ld apart, of a and
// b, from the element at on.
func fourRows(sums *[4]float64, a, b []float64, at, count, ld int) {
	s0, s1, s2, s3 := sums[0], sums[1], sums[2], sums[3]
	row := func(x []float64, i int) []float64 { return x[at+i*ld:][:count] }
	a0, a1, a2, a3 := row(a, 0), row(a, 1), row(a, 2), row(a, 3)
	b0, b1, b2, b3 := row(b, 0), row(b, 1), row(b, 2), row(b, 3)
	for j, v := range a0 {
		s0 += float64(v * b0[j])
		s1 += float64(a1[j] * b1[j])
		s2 += float64(a2[j] * b2[j])
		s3 += float64(a3[j] * b3[j])
	}
	*sums = [4]float64{s0, s1, s2, s3}
}
