package linalg

import "github.com/compressc/compressc/internal/linalg/kernel"

// qrPanel is the number of columns factored between two block updates.
const qrPanel = 32

// reflectors is the factorization A = H_0·H_1⋯·R of a matrix A [m, n], held
// transposed, so that columns are contiguous.
type reflectors struct {
	m, n, k int // k = min(m, n)
	ld      int
	at      []float64 // [n, ld] Aᵀ in; out, row c holds column c of R in its first c+1 entries
	vt      []float64 // [k, ld] reflectors as rows, row i zero up to its 1 at i
	tau     []float64
}

// factor overwrites at; vt must be zero.
func (f *reflectors) factor(p *Pool) {
	var dots, coef [qrPanel]float64
	for c0 := 0; c0 < f.k; c0 += qrPanel {
		c1 := min(f.k, c0+qrPanel)
		for i := c0; i < c1; i++ {
			lo := i &^ 7
			width := f.ld - lo
			row := f.at[i*f.ld+lo : (i+1)*f.ld]
			v := f.vt[i*f.ld+lo : (i+1)*f.ld]
			copy(v[i-lo:], row[i-lo:])
			row[i-lo], f.tau[i] = householder(v, i-lo)
			if f.tau[i] == 0 {
				clear(v)
				v[i-lo] = 1
				continue
			}
			rest := c1 - i - 1
			kernel.GemvRows(rest, width, f.at[min(i+1, f.n-1)*f.ld+lo:], f.ld, v, dots[:])
			for r := range rest {
				coef[0] = -float64(f.tau[i] * dots[r])
				kernel.GemvCols(1, width, v, f.ld, coef[:1], f.at[(i+1+r)*f.ld+lo:(i+2+r)*f.ld])
			}
		}
		if c1 < f.n {
			applyBlock(p, f.n-c1, f.m-c0, c1-c0, f.at[c1*f.ld+c0:], f.ld, f.vt[c0*f.ld+c0:], f.ld, f.tau[c0:c1], false)
		}
	}
}

// orthogonal sets qt [count, ld] to the first count columns of H_0·H_1⋯, one a
// row, count in [k, m].
func (f *reflectors) orthogonal(p *Pool, count int, qt []float64) {
	clear(qt[:count*f.ld])
	for i := range count {
		qt[i*f.ld+i] = 1
	}
	for b := (f.k - 1) / reflectorBlock; b >= 0; b-- {
		i0 := b * reflectorBlock
		k := min(reflectorBlock, f.k-i0)
		// Rows before i0 have nothing in the columns that this block touches.
		applyBlock(p, count-i0, f.m-i0, k, qt[i0*f.ld+i0:], f.ld, f.vt[i0*f.ld+i0:], f.ld, f.tau[i0:i0+k], true)
	}
}

func newReflectors(m, n int) *reflectors {
	ld, k := paddedStride(m), min(m, n)
	return &reflectors{m: m, n: n, k: k, ld: ld, at: make([]float64, n*ld), vt: make([]float64, k*ld), tau: make([]float64, k)}
}

// QR returns the thin factorization A = Q·R of A [m, n], which it leaves as it is:
// Q [m, k] with orthonormal columns and R [k, n] upper triangular, k = min(m, n).
// The diagonal of R may have any sign. Residual and departure from orthogonality
// are about n·2⁻⁵³·‖A‖. Entries must be finite and their squares must not
// overflow in sum; columns below 1e-135 in norm count as zero.
func (p *Pool) QR(m, n int, a []float64) (q, r []float64) {
	checkMatrix("QR", "A", m, n, n, len(a))
	k := min(m, n)
	q, r = make([]float64, m*k), make([]float64, k*n)
	if k == 0 {
		return q, r
	}
	f := newReflectors(m, n)
	transpose(p, m, n, a, n, f.at, f.ld)
	f.factor(p)
	for c := range n {
		for i := range min(c+1, k) {
			r[i*n+c] = f.at[c*f.ld+i]
		}
	}
	qt := f.at[:k*f.ld]
	f.orthogonal(p, k, qt)
	transpose(p, k, m, qt, f.ld, q, k)
	return q, r
}
