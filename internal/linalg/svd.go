package linalg

import (
	"math"
	"sort"

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
// and Higham, SIAM J. Sci. Comput. 35, 2013): nearly all of it is products. A
// nearly singular R is first reduced to its numerical rank.
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
	norm := spectralBound(n, r)
	var ur []float64
	if low := p.smallestSingular(n, r) / norm; low > illConditioned {
		ur, s, vt = p.polarSVD(n, r, norm, low)
	} else {
		ur, s, vt = p.rankRevealingSVD(n, r, norm)
	}
	p.Dgemm(false, false, m, n, n, 1, q, n, ur, n, 0, u, n)
	for i := range n {
		s[i] = math.Ldexp(s[i], exp)
		row := vt[i*n : (i+1)*n]
		var top float64
		neg := false
		for _, v := range row {
			if a := math.Abs(v); a > top {
				top, neg = a, v < 0
			}
		}
		if neg {
			for j := range row {
				row[j] = -row[j]
			}
			for j := range m {
				u[j*n+i] = -u[j*n+i]
			}
		}
	}
	return u, s, vt
}

// polarSVD decomposes an upper triangular R [n, n] of norm at most norm whose
// singular values are at least low·norm: R = W·H, H = V·diag(s)·Vᵀ, U = W·V.
func (p *Pool) polarSVD(n int, r []float64, norm, low float64) (u, s, vt []float64) {
	w := p.polarOfUpper(n, r, norm, low)
	h := make([]float64, n*n)
	p.Dgemm(true, false, n, n, n, 1, w, n, r, n, 0, h, n)
	for i := range n {
		for j := i; j < n; j++ {
			h[i*n+j] = float64(0.5 * (h[i*n+j] + h[j*n+i]))
		}
	}
	lam := p.SymEigen(n, h)
	u, s, vt = make([]float64, n*n), make([]float64, n), make([]float64, n*n)
	for i := range n { // ascending to descending
		s[i] = max(lam[n-1-i], 0)
		for j := range n {
			vt[i*n+j] = h[j*n+n-1-i]
		}
	}
	p.Dgemm(false, true, n, n, n, 1, w, n, vt, n, 0, u, n)
	return u, s, vt
}

const (
	// illConditioned is the ratio of singular values from which on the polar
	// iteration is not trusted with the matrix as it is.
	illConditioned = 0x1p-40
	// choleskyWeight is the weight up to which a step may use a Cholesky factor
	// of I + c·XᵀX, whose condition is at most 1 + c; larger ones need a QR.
	choleskyWeight = 100
)

// spectralBound returns √(‖R‖₁·‖R‖∞), which bounds the largest singular value.
func spectralBound(n int, r []float64) float64 {
	var rowMax, colMax float64
	cols := make([]float64, n)
	for i := range n {
		var sum float64
		for j, v := range r[i*n : (i+1)*n] {
			sum += math.Abs(v)
			cols[j] += math.Abs(v)
		}
		rowMax = max(rowMax, sum)
	}
	for _, v := range cols {
		colMax = max(colMax, v)
	}
	return math.Sqrt(float64(rowMax * colMax))
}

// polarOfUpper returns the orthogonal W of the polar decomposition R = W·H of an
// upper triangular R [n, n] with singular values in [low·norm, norm].
func (p *Pool) polarOfUpper(n int, r []float64, norm, low float64) []float64 {
	x := make([]float64, n*n)
	for i, v := range r {
		x[i] = v / norm
	}
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
	// 0.9 covers the rounding of the inverse wherever it has digits at all; where
	// it has none, the sum is huge, infinite or NaN.
	low := 0.9 / math.Sqrt(sum)
	if low != low {
		return 0
	}
	return low
}

// halleyQR takes the step X = (b/c)·X + (a-b/c)/√c·Q₁·Q₂ᵀ with [√c·X; I] = [Q₁; Q₂]·R.
func (p *Pool) halleyQR(n int, x []float64, a, b, c float64) {
	f := newReflectors(2*n, n)
	root := math.Sqrt(c)
	// Householder's QR errs relative to each row only if large rows come first.
	size := make([]float64, 2*n)
	order := make([]int, 2*n)
	for i := range order {
		order[i], size[i] = i, 1
		if i < n {
			size[i] = 0
			for _, v := range x[i*n : (i+1)*n] {
				size[i] = max(size[i], root*math.Abs(v))
			}
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return size[order[i]] > size[order[j]] })
	for r, i := range order {
		if i >= n {
			f.at[(i-n)*f.ld+r] = 1
			continue
		}
		for j, v := range x[i*n : (i+1)*n] {
			f.at[j*f.ld+r] = float64(root * v)
		}
	}
	f.factor(p)
	qt := f.at
	f.orthogonal(p, n, qt)
	q := make([]float64, 2*n*n)
	for j := range n {
		row := qt[j*f.ld : (j+1)*f.ld]
		for r, i := range order {
			q[j*2*n+i] = row[r]
		}
	}
	p.Dgemm(true, false, n, n, n, (a-b/c)/root, q, 2*n, q[n:], 2*n, b/c, x, n)
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
