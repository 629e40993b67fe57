package linalg

import (
	"errors"
	"math"
	"testing"
)

// factorTol bounds residuals relative to the size of the matrix: n·2⁻⁵³ for
// n ≤ 700, with a factor of 10 to spare.
const factorTol = 1e-12

func TestCholeskyResidualAndBits(t *testing.T) {
	for _, n := range []int{1, 2, 7, 63, 64, 65, 200, 333} {
		a := spd(n, uint64(n))
		var first []float64
		everywhere(t, func(label string, p *Pool) {
			l := append([]float64{}, a...)
			if err := p.Cholesky(n, l, n); err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = l
				back := make([]float64, n*n)
				p.Dgemm(false, true, n, n, n, 1, l, n, l, n, 0, back, n)
				if d := maxAbsDiff(a, back); d > factorTol*10 {
					t.Errorf("n=%d: |A - LLᵀ| = %g", n, d)
				}
				u := append([]float64{}, a...)
				if err := p.CholeskyUpper(n, u); err != nil {
					t.Fatal(err)
				}
				for i := range n {
					for j := range n {
						if u[i*n+j] != l[j*n+i] {
							t.Fatalf("n=%d: upper factor is not the transposed lower one at %d,%d", n, i, j)
						}
					}
				}
			} else if !sameBits64(l, first) {
				t.Errorf("n=%d %s: other bits", n, label)
			}
		})
	}
}

func TestInverseSPD(t *testing.T) {
	for _, n := range []int{1, 5, 64, 130, 300} {
		a := spd(n, uint64(n))
		var first []float64
		everywhere(t, func(label string, p *Pool) {
			inv := append([]float64{}, a...)
			if err := p.InverseSPD(n, inv); err != nil {
				t.Fatal(err)
			}
			if first != nil {
				if !sameBits64(inv, first) {
					t.Errorf("n=%d %s: other bits", n, label)
				}
				return
			}
			first = inv
			id := make([]float64, n*n)
			p.Dgemm(false, false, n, n, n, 1, a, n, inv, n, 0, id, n)
			for i := range n {
				id[i*n+i]--
				for j := range n {
					if inv[i*n+j] != inv[j*n+i] {
						t.Fatalf("n=%d: inverse is not symmetric at %d,%d", n, i, j)
					}
				}
			}
			if d := maxAbsDiff(id, make([]float64, n*n)); d > 100*factorTol {
				t.Errorf("n=%d: |A·A⁻¹ - I| = %g", n, d)
			}
		})
	}
}

func TestNotPositiveDefinite(t *testing.T) {
	for _, pivot := range []int{0, 3, 64, 100} {
		n := 120
		a := spd(n, 9)
		a[pivot*n+pivot] = -1
		err := NewPool(1).Cholesky(n, a, n)
		var npd *NotPositiveDefinite
		if !errors.As(err, &npd) || npd.Pivot != pivot {
			t.Errorf("pivot %d: got %v", pivot, err)
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1)} {
		if err := (*Pool)(nil).InverseSPD(1, []float64{v}); err == nil {
			t.Errorf("inverse of [%g] did not fail", v)
		}
	}
}

func TestTriSolve(t *testing.T) {
	for _, dim := range [][2]int{{1, 1}, {9, 70}, {70, 9}, {230, 170}} {
		m, n := dim[0], dim[1]
		for mask := range 16 {
			left, upper, trans, unit := mask&1 != 0, mask&2 != 0, mask&4 != 0, mask&8 != 0
			order := n
			if left {
				order = m
			}
			lda, ldb := order+3, n+2
			a := randn(order*lda, 4)
			for i := range a {
				a[i] /= float64(order)
			}
			tri := make([]float64, order*order) // op(A), clean
			for i := range order {
				a[i*lda+i] += 2
				for j := range order {
					v := a[i*lda+j]
					switch {
					case i == j && unit:
						v = 1
					case i != j && (j > i) != upper:
						v = 0
					}
					if trans {
						tri[j*order+i] = v
					} else {
						tri[i*order+j] = v
					}
				}
			}
			b := randn(m*ldb, 5)
			var first []float64
			everywhere(t, func(label string, p *Pool) {
				x := append([]float64{}, b...)
				p.TriSolve(left, upper, trans, unit, m, n, a, lda, x, ldb)
				if first != nil {
					if !sameBits64(x, first) {
						t.Errorf("%dx%d %04b %s: other bits", m, n, mask, label)
					}
					return
				}
				first = x
				back := append([]float64{}, b...)
				if left {
					p.Dgemm(false, false, m, n, m, 1, tri, m, x, ldb, 0, back, ldb)
				} else {
					p.Dgemm(false, false, m, n, n, 1, x, ldb, tri, n, 0, back, ldb)
				}
				if d := maxAbsDiff(b, back); d > 10*factorTol {
					t.Errorf("%dx%d left=%v upper=%v trans=%v unit=%v: residual %g", m, n, left, upper, trans, unit, d)
				}
			})
		}
	}
}
