package linalg

import (
	"math"

	"github.com/compressc/compressc/internal/linalg/vmath"
)

// ThinSVD returns the singular value decomposition A = U·diag(s)·Vᵀ of A [m, n],
// which it leaves as it is: u [m, k], s [k] descending, vt [k, n], k = min(m, n).
// The columns of u and the rows of vt are orthonormal also where s is zero. The
// entry of largest magnitude (the first of equals) of each row of vt, or with
// m < n of each column of u, is positive.
//
// Accuracy, as of LAPACK's drivers: singular values, residual and departure from
// orthogonality err by a small multiple of n·2⁻⁵³ times s[0] (1 for the last).
// Singular values far below s[0] have no more digits than that leaves them. A
// matrix with a NaN or an infinity gives NaNs.
//
// The method is A = Q·R, then R = W·H by the dynamically weighted Halley
// iteration for the polar decomposition, then the eigenvectors of H (Nakatsukasa
// and Higham, SIAM J. Sci. Comput. 35, 2013): nearly all of it is products.
func (p *Pool) ThinSVD(m, n int, a []float64) (u, s, vt []float64) {
	checkMatrix("SVD", "A", m, n, n, len(a))
	if m < n {
		at := make([]float64, m*n)
		transpose(p, m, n, a, n, at, m)
		v, s, ut := p.ThinSVD(n, m, at)
		u, vt = make([]float64, m*m), make([]float64, m*n)
		transpose(p, m, m, ut, m, u, m)
		transpose(p, n, m, v, m, vt, n)
		return u, s, vt
	}
	u, s, vt = make([]float64, m*n), make([]float64, n), make([]float64, n*n)
	if n == 0 {
		return u, s, vt
	}
	var top float64
	for _, v := range a[:m*n] {
		top = max(top, math.Abs(v)) // max keeps NaNs
	}
	if top != top || math.IsInf(top, 0) {
		for _, x := range [][]float64{u, s, vt} {
			for i := range x {
				x[i] = math.NaN()
			}
		}
		return u, s, vt
	}
	if top == 0 {
		for i := range n {
			u[i*n+i], vt[i*n+i] = 1, 1
		}
		return u, s, vt
	}
	_, exp := math.Frexp(top)
	scaled := make([]float64, m*n)
	for i := range scaled {
		scaled[i] = math.Ldexp(a[i], -exp)
	}
	q, r := p.QR(m, n, scaled)
	w := p.polarOfUpper(n, r)
	// H = sym(WᵀR) = V·diag(s)·Vᵀ.
	h := make([]float64, n*n)
	p.Dgemm(true, false, n, n, n, 1, w, n, r, n, 0, h, n)
	for i := range n {
		for j := i; j < n; j++ {
			h[i*n+j] = 0.5 * (h[i*n+j] + h[j*n+i])
		}
	}
	lam := p.SymEigen(n, h)
	for i := range n { // ascending to descending
		s[i] = math.Ldexp(max(lam[n-1-i], 0), exp)
		for j := range n {
			vt[i*n+j] = h[j*n+n-1-i]
		}
	}
	wv := make([]float64, n*n)
	p.Dgemm(false, true, n, n, n, 1, w, n, vt, n, 0, wv, n)
	p.Dgemm(false, false, m, n, n, 1, q, n, wv, n, 0, u, n)
	return u, s, vt
}

const (
	// smallestBound is the lower bound assumed for the singular values of a
	// matrix of norm 1 that has none: rounding lifts smaller ones above it.
	smallestBound = 1e-20
	// choleskyWeight is the weight up to which a step may use a Cholesky factor
	// of I + c·XᵀX, whose condition is at most 1 + c; larger ones need a QR.
	choleskyWeight = 100
)

// polarOfUpper returns the orthogonal W of the polar decomposition R = W·H of an
// upper triangular R [n, n], which is not zero.
func (p *Pool) polarOfUpper(n int, r []float64) []float64 {
	// ‖R‖₂ <= √(‖R‖₁·‖R‖∞).
	var rowMax float64
	cols := make([]float64, n)
	for i := range n {
		var sum float64
		for j, v := range r[i*n : (i+1)*n] {
			sum += math.Abs(v)
			cols[j] += math.Abs(v)
		}
		rowMax = max(rowMax, sum)
	}
	var colMax float64
	for _, v := range cols {
		colMax = max(colMax, v)
	}
	norm := math.Sqrt(rowMax * colMax)
	x := make([]float64, n*n)
	for i, v := range r {
		x[i] = v / norm
	}
	for i := range n {
		// A diagonal of exact zeros would stay singular for ever. This is a
		// perturbation within the decomposition's error.
		if math.Abs(x[i*n+i]) < unit {
			x[i*n+i] = math.Copysign(unit, x[i*n+i])
		}
	}
	low := p.smallestSingular(n, x)
	for round := 0; math.Abs(1-low) > 8*unit && round < 10; round++ {
		l2 := float64(low * low)
		d := vmath.Pow64(float64(4*(1-l2))/float64(l2*l2), 1.0/3)
		root := math.Sqrt(1 + d)
		a := root + float64(0.5*math.Sqrt(8-float64(4*d)+8*(2-l2)/float64(l2*root)))
		b := float64(0.25 * float64((a-1)*(a-1)))
		c := a + b - 1
		if c > choleskyWeight {
			p.halleyQR(n, x, a, b, c)
		} else {
			p.halleyCholesky(n, x, a, b, c)
		}
		low = min(1, low*(a+float64(b*l2))/(1+float64(c*l2)))
	}
	return x
}

// smallestSingular returns a lower bound of the singular values of an upper
// triangular matrix: 1/‖X⁻¹‖ in the Frobenius norm.
func (p *Pool) smallestSingular(n int, x []float64) float64 {
	inv := make([]float64, n*n)
	transpose(p, n, n, x, n, inv, n)
	p.invertLower(n, inv, n)
	var sum float64
	for i := range n {
		for _, v := range inv[i*n : i*n+i+1] {
			sum += float64(v * v)
		}
	}
	// 0.9 covers the rounding of the inverse wherever it has digits at all.
	low := 0.9 / math.Sqrt(sum)
	if !(low > smallestBound) {
		return smallestBound
	}
	return min(low, 1)
}

// halleyQR takes the step X = (b/c)·X + (a-b/c)/√c·Q₁·Q₂ᵀ with [√c·X; I] = [Q₁; Q₂]·R.
func (p *Pool) halleyQR(n int, x []float64, a, b, c float64) {
	f := newReflectors(2*n, n)
	transpose(p, n, n, x, n, f.at, f.ld)
	root := math.Sqrt(c)
	for i := range n {
		row := f.at[i*f.ld : (i+1)*f.ld]
		for j := range n {
			row[j] *= root
		}
		row[n+i] = 1
	}
	f.factor(p)
	qt := f.at
	f.orthogonal(p, qt)
	p.Dgemm(true, false, n, n, n, (a-b/c)/root, qt, f.ld, qt[n:], f.ld, b/c, x, n)
}

// halleyCholesky takes the same step as X = (b/c)·X + (a-b/c)·X·(I + c·XᵀX)⁻¹.
func (p *Pool) halleyCholesky(n int, x []float64, a, b, c float64) {
	z := make([]float64, n*n)
	p.Dsyrk(false, true, n, n, c, x, n, 0, z, n)
	for i := range n {
		z[i*n+i]++
	}
	if pivot := p.cholesky(n, z, n); pivot >= 0 {
		// The matrix is I plus a Gram matrix of norm at most choleskyWeight.
		panic("linalg: polar iteration met a matrix that is not positive definite")
	}
	y := append([]float64{}, x...)
	p.TriSolve(false, false, true, false, n, n, z, n, y, n)
	p.TriSolve(false, false, false, false, n, n, z, n, y, n)
	for i, v := range x {
		x[i] = float64(b/c*v) + float64((a-b/c)*y[i])
	}
}
