package lowrank

import (
	"fmt"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/rng"
)

// What Leading spends beyond the directions asked for: the published
// recommendations for matrices whose singular values fall slowly.
const (
	oversampling = 16
	powerSteps   = 3
)

// Leading returns the first k singular triplets of a [m, n], nearly: u [m, k]
// and vt [k, n] have orthonormal columns and rows, s [k] descends, and
// u·diag(s)·vt is within a few per cent of the best approximation of that rank.
// The work is products with k+16 columns instead of a whole decomposition; where
// that would not be less, the decomposition is exact. Where a has fewer than k
// rows or columns there are that many triplets. a is only read and must be
// finite. random is the stream that the test directions come from: equal
// streams give equal bits, on any number of threads.
//
// The randomised range finder with power iterations of Halko, Martinsson and
// Tropp 2011, arXiv:0909.4061, algorithms 4.4 and 5.1.
func Leading(p *linalg.Pool, a []float64, m, n, k int, random *rng.Stream) (u, s, vt []float64) {
	if len(a) != m*n || k < 1 {
		panic(fmt.Sprintf("lowrank: %d directions of %d entries for [%d, %d]", k, len(a), m, n))
	}
	k = min(k, m, n)
	l := k + oversampling
	if 2*l >= min(m, n) {
		r := min(m, n)
		fu, fs, fvt := p.ThinSVD(m, n, a)
		return leadingColumns(fu, m, r, k), fs[:k], fvt[:k*n]
	}
	omega := make([]float64, n*l)
	for i := range omega {
		omega[i] = random.NormAt(uint64(i))
	}
	y, z := make([]float64, m*l), make([]float64, n*l)
	p.Dgemm(false, false, m, l, n, 1, a, n, omega, l, 0, y, l)
	q, _ := p.QR(m, l, y)
	for range powerSteps {
		p.Dgemm(true, false, n, l, m, 1, a, n, q, l, 0, z, l)
		zq, _ := p.QR(n, l, z)
		p.Dgemm(false, false, m, l, n, 1, a, n, zq, l, 0, y, l)
		q, _ = p.QR(m, l, y)
	}
	b := make([]float64, l*n)
	p.Dgemm(true, false, l, n, m, 1, q, l, a, n, 0, b, n)
	ub, s, vt := p.ThinSVD(l, n, b)
	u = make([]float64, m*k)
	p.Dgemm(false, false, m, k, l, 1, q, l, ub, l, 0, u, k)
	return u, s[:k], vt[:k*n]
}

// leadingColumns returns the first k columns of a [rows, cols].
func leadingColumns(a []float64, rows, cols, k int) []float64 {
	c := make([]float64, rows*k)
	for i := range rows {
		copy(c[i*k:(i+1)*k], a[i*cols:])
	}
	return c
}
