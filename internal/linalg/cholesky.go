package linalg

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// NotPositiveDefinite is the error of a factorization that needs a symmetric
// positive definite matrix and met a pivot that is not positive and finite.
type NotPositiveDefinite struct {
	// Pivot is the row, from 0, at which the factorization stopped: the leading
	// minor of order Pivot is positive definite, that of order Pivot+1 is not.
	Pivot int
}

func (e *NotPositiveDefinite) Error() string {
	return fmt.Sprintf("matrix is not positive definite (pivot %d); raise the damping, or use more calibration data", e.Pivot)
}

// Cholesky overwrites the lower triangle of A [n, n] with L, A = L·Lᵀ, and
// clears the strict upper triangle. Only the lower triangle is read. The error,
// if any, is a *NotPositiveDefinite, and A is then partly overwritten. The
// residual is bounded by about n·2⁻⁵³·‖A‖.
func (p *Pool) Cholesky(n int, a []float64, lda int) error {
	checkMatrix("Cholesky", "A", n, n, lda, len(a))
	if pivot := p.cholesky(n, a, lda); pivot >= 0 {
		return &NotPositiveDefinite{Pivot: pivot}
	}
	for i := range n {
		clear(a[i*lda+i+1 : i*lda+n])
	}
	return nil
}

// CholeskyUpper overwrites the upper triangle of A [n, n] with U, A = Uᵀ·U, and
// clears the strict lower triangle. Only the upper triangle is read.
func (p *Pool) CholeskyUpper(n int, a []float64) error {
	checkMatrix("Cholesky", "A", n, n, n, len(a))
	mirrorUpper(p, n, a, n)
	if pivot := p.cholesky(n, a, n); pivot >= 0 {
		return &NotPositiveDefinite{Pivot: pivot}
	}
	mirrorLower(p, n, a, n)
	for i := range n {
		clear(a[i*n : i*n+i])
	}
	return nil
}

// cholesky factors the lower triangle and returns the failing pivot, or -1.
func (p *Pool) cholesky(n int, a []float64, lda int) int {
	if n <= triBase {
		return choleskyBase(n, a, lda)
	}
	h := triSplit(n)
	if pivot := p.cholesky(h, a, lda); pivot >= 0 {
		return pivot
	}
	a21, a22 := a[h*lda:], a[h*lda+h:]
	p.triSolve(false, false, true, false, n-h, h, a, lda, a21, lda)
	p.Dsyrk(false, false, n-h, h, -1, a21, lda, 1, a22, lda)
	if pivot := p.cholesky(n-h, a22, lda); pivot >= 0 {
		return pivot + h
	}
	return -1
}

// choleskyBase factors the transpose, U = Lᵀ row by row, in a padded buffer:
// rows of U are contiguous, as the vector kernel wants them.
func choleskyBase(n int, a []float64, lda int) int {
	const ld = triBase
	var u [triBase * ld]float64
	var c [triBase]float64
	for i := range n {
		for j, v := range a[i*lda : i*lda+i+1] {
			u[j*ld+i] = v
		}
	}
	for i := range n {
		lo, hi := i&^7, (n+7)&^7
		row := u[i*ld : i*ld+hi]
		for k := range i {
			c[k] = -u[k*ld+i]
		}
		kernel.GemvCols(i, hi-lo, u[lo:], ld, c[:i], row[lo:])
		d := row[i]
		if !(d > 0) || math.IsInf(d, 0) {
			return i
		}
		d = math.Sqrt(d)
		row[i] = d
		kernel.Divide(row[i+1:n], d)
	}
	for i := range n {
		for j := range i + 1 {
			a[i*lda+j] = u[j*ld+i]
		}
	}
	return -1
}

// InverseSPD overwrites the symmetric positive definite A [n, n] with its
// inverse, both triangles, exactly symmetric. Only the lower triangle is read.
// The error, if any, is a *NotPositiveDefinite.
func (p *Pool) InverseSPD(n int, a []float64) error {
	checkMatrix("inverse", "A", n, n, n, len(a))
	if pivot := p.cholesky(n, a, n); pivot >= 0 {
		return &NotPositiveDefinite{Pivot: pivot}
	}
	p.invertLower(n, a, n)
	p.gramOfLower(n, a, n)
	mirrorLower(p, n, a, n)
	return nil
}

// invertLower overwrites a lower triangular matrix with its inverse.
func (p *Pool) invertLower(n int, a []float64, lda int) {
	if n <= triBase {
		const ld = triBase
		var inv [triBase * ld]float64
		var c [triBase]float64
		for i := range n {
			d := a[i*lda+i]
			row := inv[i*ld : i*ld+(i+8)&^7]
			for k := range i {
				c[k] = -a[i*lda+k]
			}
			row[i] = 1
			kernel.GemvCols(i, len(row), inv[:], ld, c[:i], row)
			kernel.Divide(row[:i+1], d)
		}
		for i := range n {
			copy(a[i*lda:i*lda+i+1], inv[i*ld:])
		}
		return
	}
	h := triSplit(n)
	a21, a22 := a[h*lda:], a[h*lda+h:]
	for i := range n - h {
		row := a21[i*lda : i*lda+h]
		for j := range row {
			row[j] = -row[j]
		}
	}
	p.triSolve(false, false, false, false, n-h, h, a, lda, a21, lda)
	p.triSolve(true, false, false, false, n-h, h, a22, lda, a21, lda)
	p.invertLower(h, a, lda)
	p.invertLower(n-h, a22, lda)
}

// gramOfLower overwrites the lower triangle W with the lower triangle of WᵀW.
func (p *Pool) gramOfLower(n int, a []float64, lda int) {
	if n <= triBase {
		const ld = triBase
		var w, c [triBase * ld]float64
		for i := range n {
			copy(w[i*ld:i*ld+i+1], a[i*lda:])
		}
		gemm(nil, lowerPart, true, false, n, n, n, 1, w[:], ld, w[:], ld, nil, 0, c[:], ld)
		for i := range n {
			copy(a[i*lda:i*lda+i+1], c[i*ld:])
		}
		return
	}
	h := triSplit(n)
	a21, a22 := a[h*lda:], a[h*lda+h:]
	p.gramOfLower(h, a, lda)
	p.Dsyrk(false, true, h, n-h, 1, a21, lda, 1, a, lda)
	p.mulLowerTransposed(n-h, h, a22, lda, a21, lda)
	p.gramOfLower(n-h, a22, lda)
}

// mulLowerTransposed overwrites B [m, n] with WᵀB, W lower triangular [m, m].
func (p *Pool) mulLowerTransposed(m, n int, w []float64, ldw int, b []float64, ldb int) {
	if m <= triBase {
		const ld = triBase
		var tri [triBase * ld]float64
		for i := range m {
			copy(tri[i*ld:i*ld+i+1], w[i*ldw:])
		}
		out := TakeBuffer[float64](m * n)
		p.Dgemm(true, false, m, n, m, 1, tri[:], ld, b, ldb, 0, out.S, n)
		for i := range m {
			copy(b[i*ldb:i*ldb+n], out.S[i*n:])
		}
		out.Give()
		return
	}
	h := triSplit(m)
	b2 := b[h*ldb:]
	p.mulLowerTransposed(h, n, w, ldw, b, ldb)
	p.Dgemm(true, false, h, n, m-h, 1, w[h*ldw:], ldw, b2, ldb, 1, b, ldb)
	p.mulLowerTransposed(m-h, n, w[h*ldw+h:], ldw, b2, ldb)
}

// mirrorLower makes a symmetric by copying its lower triangle to the upper.
func mirrorLower(p *Pool, n int, a []float64, lda int) {
	blocks := (n + mirrorBlock - 1) / mirrorBlock
	p.For(blocks, func(_, b int) {
		i0, i1 := b*mirrorBlock, min(n, (b+1)*mirrorBlock)
		if b > 0 {
			kernel.Transpose(i1-i0, i0, a[i0*lda:], lda, a[i0:], lda)
		}
		mirrorTriangle(i0, i1, a, lda, false)
	})
}
