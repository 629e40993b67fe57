package linalg

import (
	"fmt"
	"math"
	"testing"

	"gonum.org/v1/gonum/mat"
)

func departure(p *Pool, rows, cols int, a []float64) float64 {
	g := make([]float64, cols*cols)
	p.Dgemm(true, false, cols, cols, rows, 1, a, cols, a, cols, 0, g, cols)
	var d float64
	for i := range cols {
		for j := range cols {
			want := 0.0
			if i == j {
				want = 1
			}
			if e := math.Abs(g[i*cols+j] - want); !(e <= d) {
				d = e
			}
		}
	}
	return d
}

func TestQR(t *testing.T) {
	for _, dim := range [][2]int{{1, 1}, {5, 3}, {3, 5}, {40, 40}, {100, 33}, {33, 100}, {200, 150}, {300, 75}} {
		m, n := dim[0], dim[1]
		k := min(m, n)
		for _, name := range []string{"random", "rank 2", "zero column"} {
			a := randn(m*n, uint64(m*n))
			for i := range m {
				switch {
				case name == "zero column":
					a[i*n+n/2] = 0
				case name == "rank 2" && i >= 2:
					for j := range n {
						a[i*n+j] = a[j]*float64(i) - a[n*min(1, m-1)+j]
					}
				}
			}
			var first []float64
			everywhere(t, func(label string, p *Pool) {
				q, r := p.QR(m, n, a)
				all := append(append([]float64{}, q...), r...)
				if first != nil {
					if !sameBits64(all, first) {
						t.Errorf("%v %s %s: other bits", dim, name, label)
					}
					return
				}
				first = all
				back := make([]float64, m*n)
				p.Dgemm(false, false, m, n, k, 1, q, k, r, n, 0, back, n)
				size := 1.0
				for _, v := range a {
					size = max(size, math.Abs(v))
				}
				if d := maxAbsDiff(a, back) / size; d > 10*factorTol {
					t.Errorf("%v %s: |A - QR| = %g", dim, name, d)
				}
				if d := departure(p, m, k, q); d > factorTol {
					t.Errorf("%v %s: |QᵀQ - I| = %g", dim, name, d)
				}
				for i := range k {
					for j := range min(i, n) {
						if r[i*n+j] != 0 {
							t.Fatalf("%v %s: R is not upper triangular", dim, name)
						}
					}
				}
			})
		}
	}
}

func svdCases(m, n int) map[string][]float64 {
	cases := map[string][]float64{}
	random := randn(m*n, uint64(m+n))
	cases["random"] = random
	low := make([]float64, m*n)
	r := max(1, min(m, n)/4)
	(*Pool)(nil).Dgemm(false, false, m, n, r, 1, randn(m*r, 1), r, randn(r*n, 2), n, 0, low, n)
	cases["rank k/4"] = low
	graded := make([]float64, m*n)
	zeroCols := append([]float64{}, random...)
	same := make([]float64, m*n)
	ident := make([]float64, m*n)
	huge := append([]float64{}, random...)
	// Matrices on which iterations without rank revealing lose orthogonality.
	hilbert, rowGraded, kahan := make([]float64, m*n), make([]float64, m*n), make([]float64, m*n)
	for i := range m {
		for j := range n {
			graded[i*n+j] = random[i*n+j] * math.Pow(10, -20*float64(j)/float64(n))
			if j%3 == 0 {
				zeroCols[i*n+j] = 0
			}
			same[i*n+j] = 1
			if i == j {
				ident[i*n+j] = 2
			}
			huge[i*n+j] *= 1e280
			hilbert[i*n+j] = 1 / float64(i+j+1)
			rowGraded[i*n+j] = random[i*n+j] * math.Pow(10, -18*float64(i)/float64(m))
			if j >= i {
				kahan[i*n+j] = math.Pow(0.95852, float64(i))
				if j > i {
					kahan[i*n+j] *= -0.285
				}
			}
		}
	}
	cases["graded"], cases["zero columns"], cases["all ones"], cases["identity"], cases["huge"] = graded, zeroCols, same, ident, huge
	cases["hilbert"], cases["row graded"], cases["kahan"] = hilbert, rowGraded, kahan
	cases["zero"] = make([]float64, m*n)
	return cases
}

func TestThinSVD(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for _, dim := range [][2]int{{1, 1}, {7, 4}, {4, 7}, {60, 60}, {150, 70}, {70, 150}, {200, 200}} {
		m, n := dim[0], dim[1]
		k := min(m, n)
		for name, a := range svdCases(m, n) {
			u, s, vt := p.ThinSVD(m, n, a)
			var oracle mat.SVD
			if !oracle.Factorize(mat.NewDense(m, n, append([]float64{}, a...)), mat.SVDThin) {
				t.Fatal("oracle failed")
			}
			want := oracle.Values(nil)
			scale := 1.0
			if want[0] > 0 {
				scale = want[0]
			}
			limit := 20 * float64(k+10) * 0x1p-53
			for i := range s {
				if d := math.Abs(s[i]-want[i]) / scale; !(d < limit) {
					t.Errorf("%v %s: s[%d] = %g, oracle %g", dim, name, i, s[i], want[i])
					break
				}
				if i > 0 && s[i] > s[i-1] {
					t.Errorf("%v %s: singular values not descending", dim, name)
				}
			}
			us := make([]float64, m*k)
			for i := range us {
				us[i] = u[i] * (s[i%k] / scale)
			}
			back := make([]float64, m*n)
			p.Dgemm(false, false, m, n, k, 1, us, k, vt, n, 0, back, n)
			as := make([]float64, m*n)
			for i := range as {
				as[i] = a[i] / scale
			}
			v := make([]float64, n*k)
			transpose(p, k, n, vt, n, v, k)
			r, du, dv := maxAbsDiff(as, back), departure(p, m, k, u), departure(p, n, k, v)
			if !(r < limit && du < limit && dv < limit) {
				t.Errorf("%v %s: residual %.2g, U %.2g, V %.2g, limit %.2g", dim, name, r, du, dv, limit)
			}
		}
	}
}

func TestThinSVDBits(t *testing.T) {
	for name, a := range svdCases(90, 50) {
		var first []float64
		everywhere(t, func(label string, p *Pool) {
			u, s, vt := p.ThinSVD(90, 50, a)
			all := append(append(u, s...), vt...)
			if first == nil {
				first = all
			} else if !sameBits64(all, first) {
				t.Errorf("%s %s: other bits", name, label)
			}
		})
	}
}

func BenchmarkThinSVD(b *testing.B) {
	for _, dim := range [][2]int{{576, 576}, {1536, 576}, {1536, 1536}} {
		b.Run(fmt.Sprintf("%dx%d", dim[0], dim[1]), func(b *testing.B) {
			p := NewPool(2)
			defer p.Close()
			a := randn(dim[0]*dim[1], 1)
			for b.Loop() {
				p.ThinSVD(dim[0], dim[1], a)
			}
		})
	}
}
