package linalg

import (
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"
	"gonum.org/v1/gonum/blas/gonum"
	"gonum.org/v1/gonum/blas/testblas"
	lapack "gonum.org/v1/gonum/lapack/gonum"
	"gonum.org/v1/gonum/lapack/testlapack"
)

// gonumBLAS puts the pool's products behind gonum's BLAS interfaces, so that
// gonum's suites and algorithms can be run on them. What it does not override is
// gonum's own.
type gonumBLAS struct {
	gonum.Implementation
	p *Pool
}

var (
	_ blas.Float64 = gonumBLAS{}
	_ blas.Float32 = gonumBLAS{}
)

// plain reports arguments that gonum's own code answers: empty shapes, and those
// that it must panic on.
func plain(ts []blas.Transpose, dims, lds []int) bool {
	for _, t := range ts {
		if t != blas.NoTrans && t != blas.Trans && t != blas.ConjTrans {
			return false
		}
	}
	for _, d := range dims {
		if d <= 0 {
			return false
		}
	}
	for _, d := range lds {
		if d < 0 {
			return false
		}
	}
	return true
}

// fits reports whether a rows×cols matrix fits its slice.
func fits(rows, cols, ld, size int) int {
	if ld < cols || size < (rows-1)*ld+cols {
		return -1
	}
	return 0
}

func (g gonumBLAS) Dgemm(tA, tB blas.Transpose, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
	r, s := stored(tA != blas.NoTrans, m, k)
	u, v := stored(tB != blas.NoTrans, k, n)
	if !plain([]blas.Transpose{tA, tB}, []int{m, n, k}, []int{fits(r, s, lda, len(a)), fits(u, v, ldb, len(b)), fits(m, n, ldc, len(c))}) {
		g.Implementation.Dgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	g.p.Dgemm(tA != blas.NoTrans, tB != blas.NoTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func (g gonumBLAS) Sgemm(tA, tB blas.Transpose, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	r, s := stored(tA != blas.NoTrans, m, k)
	u, v := stored(tB != blas.NoTrans, k, n)
	if !plain([]blas.Transpose{tA, tB}, []int{m, n, k}, []int{fits(r, s, lda, len(a)), fits(u, v, ldb, len(b)), fits(m, n, ldc, len(c))}) {
		g.Implementation.Sgemm(tA, tB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	g.p.Sgemm(tA != blas.NoTrans, tB != blas.NoTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func (g gonumBLAS) Dsyrk(ul blas.Uplo, t blas.Transpose, n, k int, alpha float64, a []float64, lda int, beta float64, c []float64, ldc int) {
	r, s := stored(t != blas.NoTrans, n, k)
	if ul != blas.Upper && ul != blas.Lower || !plain([]blas.Transpose{t}, []int{n, k}, []int{fits(r, s, lda, len(a)), fits(n, n, ldc, len(c))}) {
		g.Implementation.Dsyrk(ul, t, n, k, alpha, a, lda, beta, c, ldc)
		return
	}
	g.p.Dsyrk(ul == blas.Upper, t != blas.NoTrans, n, k, alpha, a, lda, beta, c, ldc)
}

func (g gonumBLAS) Dtrsm(s blas.Side, ul blas.Uplo, t blas.Transpose, d blas.Diag, m, n int, alpha float64, a []float64, lda int, b []float64, ldb int) {
	order := n
	if s == blas.Left {
		order = m
	}
	if s != blas.Left && s != blas.Right || ul != blas.Upper && ul != blas.Lower || d != blas.Unit && d != blas.NonUnit || alpha != 1 ||
		!plain([]blas.Transpose{t}, []int{m, n}, []int{fits(order, order, lda, len(a)), fits(m, n, ldb, len(b))}) {
		g.Implementation.Dtrsm(s, ul, t, d, m, n, alpha, a, lda, b, ldb)
		return
	}
	g.p.TriSolve(s == blas.Left, ul == blas.Upper, t != blas.NoTrans, d == blas.Unit, m, n, a, lda, b, ldb)
}

func (g gonumBLAS) Dgemv(t blas.Transpose, m, n int, alpha float64, a []float64, lda int, x []float64, incX int, beta float64, y []float64, incY int) {
	rows, k := m, n
	if t != blas.NoTrans {
		rows, k = n, m
	}
	if incX <= 0 || incY <= 0 || !plain([]blas.Transpose{t}, []int{m, n}, []int{fits(m, n, lda, len(a)), fits(k, 1, max(incX, 1), len(x)), fits(rows, 1, max(incY, 1), len(y))}) {
		g.Implementation.Dgemv(t, m, n, alpha, a, lda, x, incX, beta, y, incY)
		return
	}
	g.p.Dgemm(t != blas.NoTrans, false, rows, 1, k, alpha, a, lda, x, incX, beta, y, incY)
}

// gonum's own suites, on our products.
func TestGonumBLAS(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	g := gonumBLAS{p: p}
	t.Run("Dgemm", func(t *testing.T) { testblas.TestDgemm(t, g) })
	t.Run("Dsyrk", func(t *testing.T) { testblas.DsyrkTest(t, g) })
	t.Run("Dtrsm", func(t *testing.T) { testblas.DtrsmTest(t, g) })
	t.Run("Dgemv", func(t *testing.T) { testblas.DgemvTest(t, g) })
}

// gonum's factorizations, which are built on BLAS, pass their suites on ours.
func TestGonumLAPACK(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	defer blas64.Use(gonum.Implementation{})
	blas64.Use(gonumBLAS{p: p})
	testlapack.DpotrfTest(t, lapack.Implementation{})
	testlapack.DgetrfTest(t, lapack.Implementation{})
}
