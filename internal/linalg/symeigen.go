package linalg

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// SymEigen overwrites the symmetric A [n, n], of which only the upper triangle is
// read, with its eigenvectors, one a column, and returns their eigenvalues in
// ascending order. The entry of largest magnitude of each eigenvector (the first
// of equals) is positive.
//
// The error of eigenvalues, the residual |A·v - λ·v| and the departure of the
// eigenvectors from orthogonality are about n·2⁻⁵³ times ‖A‖ (1 for the last);
// eigenvalues much smaller than ‖A‖ have no more digits than that leaves them.
// A matrix with a NaN or an infinity gives NaNs.
//
// The method is Householder's tridiagonalisation (blocked as in Dongarra,
// Hammarling and Sorensen, JCAM 27, 1989), Cuppen's divide and conquer with Gu
// and Eisenstat's eigenvectors (SIAM J. Matrix Anal. Appl. 16, 1995), and blocked
// reflectors to come back (Schreiber and Van Loan, SIAM J. Sci. Stat. Comput. 10,
// 1989).
func (p *Pool) SymEigen(n int, a []float64) (w []float64) {
	checkMatrix("eigenvectors", "A", n, n, n, len(a))
	w, rows, ld := p.symEigen(n, a, n)
	if n > 0 {
		transpose(p, n, n, rows.S, ld, a, n)
		rows.Give()
	}
	return w
}

// LeadingEigen returns all eigenvalues of the symmetric A [n, n], ascending, and
// v [n, k], whose column j is the eigenvector of w[n-1-j]: the k largest,
// k <= n. Only the upper triangle of A is read. Values and vectors are bit for bit
// those of SymEigen, whose time it saves where vectors are not asked for: the
// last merge and the way back from the tridiagonal form, about half of the work.
func (p *Pool) LeadingEigen(n int, a []float64, k int) (w, v []float64) {
	checkMatrix("eigenvectors", "A", n, n, n, len(a))
	if k < 0 || k > n {
		panic(fmt.Sprintf("linalg: eigenvectors: %d of %d", k, n))
	}
	w, rows, ld := p.symEigen(n, a, k)
	v = make([]float64, n*k)
	for j := range k {
		for i, x := range rows.S[(n-1-j)*ld:][:n] {
			v[i*k+j] = x
		}
	}
	if n > 0 {
		rows.Give()
	}
	return w, v
}

// symEigen returns the eigenvalues and, in the last k of n rows of stride ld, the
// eigenvectors of the k largest, signs fixed. rows is nil for n = 0.
func (p *Pool) symEigen(n int, a []float64, k int) (w []float64, rows *Buffer[float64], ld int) {
	if n == 0 {
		return nil, nil, 0
	}
	ld = paddedStride(n)
	vecs := TakeBuffer[float64](n * ld)
	exp, ok := scaleExponent(n, a)
	if !ok {
		w = make([]float64, n)
		for _, x := range [][]float64{w, vecs.S} {
			for i := range x {
				x[i] = math.NaN()
			}
		}
		return w, vecs, ld
	}
	buf := TakeBuffer[float64](n * ld)
	t := tridiagonal{n: n, ld: ld, a: buf.S}
	for i := range n {
		row := t.a[i*ld : (i+1)*ld]
		for j := i; j < n; j++ {
			row[j] = math.Ldexp(a[i*n+j], -exp)
		}
		clear(row[n:])
	}
	mirrorUpper(p, n, t.a, ld)
	t.reduce(p)
	clear(vecs.S)
	d := divide{n: n, ld: ld, d: t.d, e: t.e, q: vecs.S, keep: k}
	d.solve(p)
	if k > 0 {
		wanted := vecs.S[(n-k)*ld:]
		t.applyReflectors(p, k, wanted, ld)
		fixSigns(p, k, wanted, n, ld)
	}
	for i := range t.d {
		t.d[i] = math.Ldexp(t.d[i], exp)
	}
	buf.Give()
	return t.d, vecs, ld
}

// scaleExponent returns the exponent of the largest magnitude in the upper
// triangle: dividing by that power of two keeps squares in range and rounds
// nothing that matters. ok is false when there is a NaN or an infinity.
func scaleExponent(n int, a []float64) (exp int, ok bool) {
	var top float64
	for i := range n {
		for _, v := range a[i*n+i : (i+1)*n] {
			top = max(top, math.Abs(v)) // max keeps NaNs
		}
	}
	if top != top || math.IsInf(top, 0) {
		return 0, false
	}
	if top == 0 {
		return 0, true
	}
	_, exp = math.Frexp(top)
	return exp, true
}

// paddedStride returns a row stride of whole vectors that is no multiple of
// 2 KiB, at which rows would share cache sets.
func paddedStride(n int) int {
	ld := (n + 7) &^ 7
	if ld%256 == 0 {
		ld += 8
	}
	return ld
}

// fixSigns makes the first entry of largest magnitude of each of k rows positive.
func fixSigns(p *Pool, k int, rows []float64, n, ld int) {
	const group = 16
	p.For((k+group-1)/group, func(_, task int) {
		for i := task * group; i < min(k, (task+1)*group); i++ {
			row := rows[i*ld : i*ld+n]
			var top float64
			neg := false
			for _, v := range row {
				if m := math.Abs(v); m > top {
					top, neg = m, v < 0
				}
			}
			if neg {
				for j := range row {
					row[j] = -row[j]
				}
			}
		}
	})
}

// transpose sets dst [cols, rows] to the transpose of src [rows, cols].
func transpose(p *Pool, rows, cols int, src []float64, lds int, dst []float64, ldd int) {
	p.For((rows+mirrorBlock-1)/mirrorBlock, func(_, task int) {
		i0, i1 := task*mirrorBlock, min(rows, (task+1)*mirrorBlock)
		for j0 := 0; j0 < cols; j0 += mirrorBlock {
			kernel.Transpose(i1-i0, min(mirrorBlock, cols-j0), src[i0*lds+j0:], lds, dst[j0*ldd+i0:], ldd)
		}
	})
}
