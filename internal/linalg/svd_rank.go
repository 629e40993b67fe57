package linalg

import (
	"github.com/compressc/compressc/internal/linalg/kernel"
)

// rankRevealingSVD decomposes an upper triangular R [n, n], not zero, of any
// condition. A QR with column pivoting finds the numerical rank k; what is left
// after k steps is within the decomposition's error and dropped. The k rows kept
// are factored once more from the other side, which leaves a triangle graded from
// large to small, as the polar iteration needs it. Singular vectors of what was
// dropped are any that complete the bases.
func (p *Pool) rankRevealingSVD(n int, r []float64, norm float64) (u, s, vt []float64) {
	q1, r1, k := p.pivotedQR(n, r)
	r1t := make([]float64, n*k)
	transpose(p, k, n, r1, n, r1t, k)
	q2, r2 := p.QR(n, k, r1t)
	low := min(1, max(p.smallestSingular(k, r2)/norm, unit))
	// R₂ = u₂·s·v₂ᵀ, R₁ = R₂ᵀ·Q₂ᵀ: U = Q₁·v₂, V = Q₂·u₂.
	u2, s2, v2t := p.polarSVD(k, r2, norm, low)
	// Pivoting need not reveal the last of the rank (Kahan's matrix), and below
	// low the polar iteration has not converged: what is left there is dropped too.
	kept := 0
	for kept < k && s2[kept] > float64(float64(k)*unit)*s2[0] {
		kept++
	}
	uk, vk := make([]float64, n*kept), make([]float64, n*kept)
	p.Dgemm(false, true, n, kept, k, 1, q1, k, v2t, k, 0, uk, kept)
	p.Dgemm(false, false, n, kept, k, 1, q2, k, u2, k, 0, vk, kept)
	s = make([]float64, n)
	copy(s, s2[:kept])
	ut := p.completeBasis(n, kept, uk)
	u = make([]float64, n*n)
	transpose(p, n, n, ut, n, u, n)
	return u, s, p.completeBasis(n, kept, vk)
}

// completeBasis returns an orthogonal matrix [n, n] whose first k rows are the
// orthonormal columns of a [n, k].
func (p *Pool) completeBasis(n, k int, a []float64) []float64 {
	out := make([]float64, n*n)
	transpose(p, n, k, a, k, out, n)
	if k == n {
		return out
	}
	f := newReflectors(n, k)
	transpose(p, n, k, a, k, f.at, f.ld)
	f.factor(p)
	qt := make([]float64, n*f.ld)
	f.orthogonal(p, n, qt)
	for i := k; i < n; i++ {
		copy(out[i*n:(i+1)*n], qt[i*f.ld:])
	}
	return out
}

// pivotedQR returns A = Q·R, A [n, n], with Q [n, k] orthonormal and R [k, n]
// triangular but for the order of its columns. It stops at the step k at which no
// remaining column is larger than rounding leaves of the largest at the start.
func (p *Pool) pivotedQR(n int, a []float64) (q, r []float64, k int) {
	f := newReflectors(n, n)
	transpose(p, n, n, a, n, f.at, f.ld)
	row := func(c, lo int) []float64 { return f.at[c*f.ld+lo : (c+1)*f.ld] }
	norms, dots := make([]float64, n), make([]float64, n)
	column := make([]int, n) // column[c] of A is in row c
	for c := range n {
		column[c] = c
		x := row(c, 0)
		kernel.GemvRows(1, f.ld, x, f.ld, x, norms[c:])
	}
	var stop float64
	for ; k < n; k++ {
		best := k
		for c := k + 1; c < n; c++ {
			if norms[c] > norms[best] {
				best = c
			}
		}
		if k == 0 {
			stop = float64(16 * float64(float64(n)*norms[best]) * (unit * unit))
		}
		if norms[best] <= stop {
			break
		}
		if best != k {
			x, y := row(k, 0), row(best, 0)
			for j := range x {
				x[j], y[j] = y[j], x[j]
			}
			norms[k], norms[best] = norms[best], norms[k]
			column[k], column[best] = column[best], column[k]
		}
		lo := k &^ 7
		width := f.ld - lo
		v := f.vt[k*f.ld+lo : (k+1)*f.ld]
		copy(v[k-lo:], row(k, lo)[k-lo:])
		row(k, lo)[k-lo], f.tau[k] = householder(v, k-lo)
		if f.tau[k] == 0 {
			clear(v)
			v[k-lo] = 1
		}
		next := (k + 1) &^ 7
		p.For((n-k-1+pivotGroup-1)/pivotGroup, func(_, task int) {
			c0 := k + 1 + task*pivotGroup
			count := min(pivotGroup, n-c0)
			kernel.GemvRows(count, width, f.at[c0*f.ld+lo:], f.ld, v, dots[c0:])
			for c := c0; c < c0+count; c++ {
				coef := [1]float64{-float64(f.tau[k] * dots[c])}
				kernel.GemvCols(1, width, v, f.ld, coef[:], row(c, lo))
				// The norm below row k: what is above in the same vector is
				// part of R and taken out.
				x := row(c, next)
				var head [8]float64
				copy(head[:], x)
				clear(x[:k+1-next])
				kernel.GemvRows(1, len(x), x, f.ld, x, norms[c:])
				copy(x, head[:k+1-next])
			}
		})
	}
	f.k = k
	r = make([]float64, k*n)
	for c := range n {
		for i := range min(c+1, k) {
			r[i*n+column[c]] = f.at[c*f.ld+i]
		}
	}
	qt := make([]float64, k*f.ld)
	f.orthogonal(p, k, qt)
	q = make([]float64, n*k)
	transpose(p, k, n, qt, f.ld, q, k)
	return q, r, k
}

// pivotGroup is the number of columns a task of pivotedQR updates.
const pivotGroup = 32
