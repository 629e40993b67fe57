package linalg

import (
	"math"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

const (
	// tridiagonalPanel is the number of columns reduced between two updates of
	// the trailing matrix by matrix products.
	tridiagonalPanel = 32
	// reflectorBlock is the number of reflectors applied at once: a multiple of
	// the float64 kernels' widths.
	reflectorBlock = 72
	// negligibleSquare is a sum of squares, in a matrix scaled to 1, too small to
	// have full precision and far too small to matter.
	negligibleSquare = 0x1p-900
	// rowTaskWork is the number of multiply-adds a task of the symmetric
	// matrix-vector product should have at least: about 1 µs.
	rowTaskWork = 1 << 14
)

// tridiagonal is the reduction Qᵀ·A·Q = T of a symmetric matrix.
type tridiagonal struct {
	n, ld int
	// a is the full symmetric matrix, rows padded with zeros to ld, a multiple of
	// 8. reduce leaves in row i reflector i, zero up to its 1 at column i+1.
	a   []float64
	d   []float64 // diagonal of T
	e   []float64 // off-diagonal of T
	tau []float64 // H_i = I - tau[i]·v_i·v_iᵀ, Q = H_0·H_1⋯
}

// reduce computes T and the reflectors. Both triangles of the trailing matrix are
// kept: its product with a vector, half of the work and bound by memory, then
// streams whole rows, each a result of its own, so that threads need no sums.
func (t *tridiagonal) reduce(p *Pool) {
	n, ld := t.n, t.ld
	t.d, t.e, t.tau = make([]float64, n), make([]float64, max(n-1, 0)), make([]float64, n)
	// Rows 2q and 2q+1 of vw are v and w of the panel's column q, in wv swapped:
	// the update A -= V·Wᵀ + W·Vᵀ is then one product vwᵀ·wv.
	vwBuf, wvBuf := TakeBuffer[float64](2*tridiagonalPanel*ld), TakeBuffer[float64](2*tridiagonalPanel*ld)
	vw, wv := vwBuf.S, wvBuf.S
	var coef, dots [2 * tridiagonalPanel]float64
	for p0 := 0; p0 < n; p0 += tridiagonalPanel {
		p1 := min(n, p0+tridiagonalPanel)
		clear(vw)
		clear(wv)
		for i := p0; i < p1; i++ {
			j := i - p0
			lo := i &^ 7 // vectors start at a whole vector; what is before i is zero in v
			width := ld - lo
			row := t.a[i*ld+lo : (i+1)*ld]
			for q := range j {
				coef[2*q], coef[2*q+1] = -vw[(2*q+1)*ld+i], -vw[2*q*ld+i]
			}
			kernel.GemvCols(2*j, width, vw[lo:], ld, coef[:2*j], row)
			t.d[i] = row[i-lo]
			if i == n-1 {
				clear(row)
				break
			}
			v := vw[2*j*ld+lo:][:width]
			clear(v[:i+1-lo])
			copy(v[i+1-lo:], row[i+1-lo:])
			t.e[i], t.tau[i] = householder(v, i+1-lo)
			tau := t.tau[i]
			clear(t.a[i*ld : i*ld+lo])
			if tau == 0 {
				clear(v)
				clear(row)
				continue // v = w = 0
			}
			copy(row, v)
			w := vw[(2*j+1)*ld+lo:][:width]
			t.symv(p, i+1, lo, v, w)
			kernel.GemvRows(2*j, width, vw[lo:], ld, v, dots[:])
			for q := range j {
				coef[2*q], coef[2*q+1] = -dots[2*q+1], -dots[2*q]
			}
			kernel.GemvCols(2*j, width, vw[lo:], ld, coef[:2*j], w)
			clear(w[:i+1-lo])
			for k := range w {
				w[k] *= tau
			}
			kernel.GemvRows(1, width, w, ld, v, dots[:])
			coef[0] = -0.5 * float64(tau*dots[0])
			kernel.GemvCols(1, width, v, ld, coef[:1], w)
			copy(wv[2*j*ld+lo:], w)
			copy(wv[(2*j+1)*ld+lo:], v)
		}
		if m := n - p1; m > 0 {
			c := t.a[p1*ld+p1:]
			gemm(p, upperPart, true, false, m, m, 2*tridiagonalPanel, -1, vw[p1:], ld, wv[p1:], ld, nil, 1, c, ld)
			mirrorUpper(p, m, c, ld)
		}
	}
	vwBuf.Give()
	wvBuf.Give()
}

// symv sets w[first-lo:] to the trailing matrix, rows from first on, times v;
// v and w start at column lo.
func (t *tridiagonal) symv(p *Pool, first, lo int, v, w []float64) {
	width := len(v)
	rows := t.n - first
	group := max(8, (rowTaskWork/width+7)&^7)
	if th := p.Threads(); rows > group*th {
		group = max(group, (rows/(4*th)+7)&^7)
	}
	p.For((rows+group-1)/group, func(_, task int) {
		r := first + task*group
		m := min(group, t.n-r)
		kernel.GemvRows(m, width, t.a[r*t.ld+lo:], t.ld, v, w[r-lo:])
	})
}

// householder overwrites x, zero before index at, with the reflector v, v[at] = 1,
// for which (I - tau·v·vᵀ)·x = beta·e_at. tau = 0 means that x is beta·e_at
// already, as far as float64 can see beside a matrix scaled to 1.
func householder(x []float64, at int) (beta, tau float64) {
	alpha := x[at]
	x[at] = 0
	var sum [1]float64
	kernel.GemvRows(1, len(x), x, len(x), x, sum[:])
	if sum[0] < negligibleSquare {
		x[at] = 1
		return alpha, 0
	}
	beta = math.Sqrt(float64(alpha*alpha) + sum[0])
	if alpha > 0 {
		beta = -beta
	}
	div := alpha - beta
	kernel.Divide(x, div)
	x[at] = 1
	return beta, (beta - alpha) / beta
}

// applyReflectors multiplies each row of z [rows, n] by Qᵀ from the right, which
// makes eigenvectors of A, as rows, from those of T.
func (t *tridiagonal) applyReflectors(p *Pool, rows int, z []float64, ldz int) {
	last := (t.n - 1 + reflectorBlock - 1) / reflectorBlock
	for b := last - 1; b >= 0; b-- {
		i0 := b * reflectorBlock
		k := min(reflectorBlock, t.n-1-i0)
		col := i0 + 1
		applyBlock(p, rows, t.n-col, k, z[col:], ldz, t.a[i0*t.ld+col:], t.ld, t.tau[i0:i0+k], true)
	}
}

// applyBlock multiplies each row of z [rows, n] from the right by the product
// P = H_0·H_1⋯H_(k-1) of reflectors, or by Pᵀ; vt [k, n] holds them as rows.
func applyBlock(p *Pool, rows, n, k int, z []float64, ldz int, vt []float64, ldv int, tau []float64, transposed bool) {
	tri := TakeBuffer[float64](k * k)
	reflectorTriangle(p, n, k, vt, ldv, tau, tri.S)
	x, y := TakeBuffer[float64](rows*k), TakeBuffer[float64](rows*k)
	p.Dgemm(false, true, rows, k, n, 1, z, ldz, vt, ldv, 0, x.S, k)
	p.Dgemm(false, transposed, rows, k, k, 1, x.S, k, tri.S, k, 0, y.S, k)
	p.Dgemm(false, false, rows, n, k, -1, y.S, k, vt, ldv, 1, z, ldz)
	x.Give()
	y.Give()
	tri.Give()
}

// reflectorTriangle fills the upper triangular tri [k, k] with which the product
// of k reflectors is I - Vᵀᵗ·tri·Vt, and clears the rest of it.
func reflectorTriangle(p *Pool, n, k int, vt []float64, ldv int, tau, tri []float64) {
	gemm(p, lowerPart, false, true, k, k, n, 1, vt, ldv, vt, ldv, nil, 0, tri, k)
	// Row j of the lower triangle has v_j·v_i, i < j: turn it into column j of
	// the upper one, -tau_j·T·(Vᵀ·v_j).
	col := make([]float64, k)
	for j := range k {
		for i := range j {
			var s float64
			for q := i; q < j; q++ {
				s += float64(tri[i*k+q] * tri[j*k+q])
			}
			col[i] = float64(-tau[j] * s)
		}
		for i := range j {
			tri[i*k+j] = col[i]
		}
		tri[j*k+j] = tau[j]
	}
	for i := range k {
		clear(tri[i*k : i*k+i])
	}
}
