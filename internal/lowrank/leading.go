package lowrank

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// What Leading spends beyond the directions asked for: the published
// recommendations for matrices whose singular values fall slowly.
const (
	oversampling = 16
	powerSteps   = 3
)

// LeadingError is how far from the best approximation of its rank that of
// Leading may be, as a ratio of Frobenius norms.
const LeadingError = 1.15

// Leading returns the first k singular triplets of a [m, n], nearly: u [m, k]
// and vt [k, n] have orthonormal columns and rows, s [k] descends, and
//
//	‖A − U·diag(s)·Vᵀ‖ ≤ LeadingError·‖A − A_k‖
//
// in Frobenius norms, A_k the best approximation of rank k, or the left side is
// 4·max(m, n)·2⁻⁵²·‖A‖ at most: rounding. The bound is checked, not hoped for; the
// check errs with a probability of 10⁻⁶ over the test vectors (see excess). What
// it cannot vouch for is tried again with twice the columns, and in the end
// decomposed exactly. It is cautious: usually the squares differ by less than 1 %.
//
// The work is products with k+16 columns, and with 10 for the check, instead of a
// whole decomposition; where that would not be less, the decomposition is exact.
// Where a has fewer than k rows or columns there are that many triplets. a is only
// read and must be finite, with squares that neither overflow in sum nor vanish.
// random is the stream that test directions come from: equal streams give equal
// bits, on any number of threads.
//
// The randomised range finder with power iterations of Halko, Martinsson and
// Tropp 2011, arXiv:0909.4061, algorithms 4.4 and 5.1.
func Leading(p *linalg.Pool, a []float64, m, n, k int, random *rng.Stream) (u, s, vt []float64) {
	if len(a) != m*n || k < 1 {
		panic(fmt.Sprintf("lowrank: %d directions of %d entries for [%d, %d]", k, len(a), m, n))
	}
	k = min(k, m, n)
	for l := k + oversampling; 2*l < min(m, n); l *= 2 {
		f := findRange(p, a, m, n, l, random)
		if f.meetsBound(p, a, k, random) {
			u = make([]float64, m*k)
			p.Dgemm(false, false, m, k, l, 1, f.q, l, f.ub, l, 0, u, k)
			return u, f.s[:k], f.vt[:k*n]
		}
	}
	r := min(m, n)
	fu, fs, fvt := p.ThinSVD(m, n, a)
	return leadingColumns(fu, m, r, k), fs[:k], fvt[:k*n]
}

// projection is Q·(ub·diag(s)·vt), the part of A [m, n] in the range of Q [m, l].
type projection struct {
	m, n, l      int
	q, ub, s, vt []float64
}

func findRange(p *linalg.Pool, a []float64, m, n, l int, random *rng.Stream) *projection {
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
	f := &projection{m: m, n: n, l: l, q: q}
	f.ub, f.s, f.vt = p.ThinSVD(l, n, b)
	return f
}

// meetsBound reports whether the first k directions of f are known to be as good
// as Leading says.
//
// With E = A − Q·QᵀA, the squared error is ‖A‖² − Σ_{i≤k} s_i², or ‖E‖² +
// Σ_{i>k} s_i². The best is lower by no more than the excess, and it is
// Σ_{i>k} s_i² at least, since no singular value of a projection is larger than
// that of A. The first serves where the spectrum is flat, the second where it
// falls so fast that the difference of squares is lost to rounding.
func (f *projection) meetsBound(p *linalg.Pool, a []float64, k int, random *rng.Stream) bool {
	total := 0.0
	for i := range f.m {
		total += sumOfSquares(a[i*f.n : (i+1)*f.n])
	}
	tail := sumOfSquares(f.s[k:])
	excess, outside := f.excess(p, a, k, random)
	const worse = LeadingError * LeadingError
	size := float64(max(f.m, f.n)) * 0x1p-52
	if outside <= (worse-1)*tail || outside+tail <= float64(float64(float64(4*size)*float64(4*size))*total) {
		return true
	}
	// Less what rounding may have added to the difference.
	remains := total - sumOfSquares(f.s[:k]) - float64(float64(4*size)*total)
	return float64(worse*excess) <= float64((worse-1)*remains)
}

// How sure the check is: the mean of residualTests samples of ωᵀMω, ω standard
// normal and M positive semi-definite, is under tr(M)/residualFactor with a
// probability of (e^{1−1/43}/43)^{10/2} < 10⁻⁶ at most (Chernoff's bound; a matrix
// of rank one is the worst case).
const (
	residualTests  = 10
	residualFactor = 43
	residualPower  = 7 // of EᵀE: odd
)

// excess returns upper bounds of Σ_{i≤k} σ_i(A)² − s_i² and of ‖E‖².
//
// AᵀA is BᵀB + EᵀE with B = QᵀA, so the first is at most Σ_{i≤k} σ_i(E)² (Ky
// Fan), and that at most k^{1−1/7}·tr((EᵀE)⁷)^{1/7} (Hölder). The trace is bounded
// by products of E with random vectors, like the norm in Halko, Martinsson and
// Tropp, section 4.3; the power is there since a flat spectrum has a Frobenius
// norm far above what k directions can hold of it.
func (f *projection) excess(p *linalg.Pool, a []float64, k int, random *rng.Stream) (excess, outside float64) {
	const r = residualTests
	m, n, l := f.m, f.n, f.l
	x, y, c := make([]float64, n*r), make([]float64, m*r), make([]float64, l*r)
	for i := range x {
		x[i] = random.NormAt(uint64(n*l + i)) // after those of the range
	}
	exp := 0 // y and x are to be multiplied by 2^exp
	for step := 0; ; step++ {
		p.Dgemm(false, false, m, r, n, 1, a, n, x, r, 0, y, r)
		for range 2 { // twice: what the first leaves in the range of Q is rounding of A·x
			p.Dgemm(true, false, l, r, m, 1, f.q, l, y, r, 0, c, r)
			p.Dgemm(false, false, m, r, l, -1, f.q, l, c, r, 1, y, r)
		}
		trace := float64(residualFactor*sumOfSquares(y)) / r
		if step == 0 {
			outside = trace
		}
		if trace == 0 {
			return 0, outside
		}
		if 2*step+1 == residualPower {
			// The root of trace·2^(2·exp).
			turns := 2 * exp / residualPower
			rest := math.Ldexp(trace, 2*exp-turns*residualPower)
			root := math.Ldexp(vmath.Pow64(rest, 1.0/residualPower), turns)
			return min(outside, float64(vmath.Pow64(float64(k), 1-1.0/residualPower)*root)), outside
		}
		exp += normalize2(y)
		p.Dgemm(true, false, n, r, m, 1, a, n, y, r, 0, x, r)
		exp += normalize2(x)
	}
}

// normalize2 divides x by a power of two near its norm and returns the exponent.
func normalize2(x []float64) int {
	_, e := math.Frexp(sumOfSquares(x))
	for i, v := range x {
		x[i] = math.Ldexp(v, -e/2)
	}
	return e / 2
}

// sumOfSquares adds up in one order.
func sumOfSquares(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v * v)
	}
	return sum
}

// leadingColumns returns the first k columns of a [rows, cols].
func leadingColumns(a []float64, rows, cols, k int) []float64 {
	c := make([]float64, rows*k)
	for i := range rows {
		copy(c[i*k:(i+1)*k], a[i*cols:])
	}
	return c
}
