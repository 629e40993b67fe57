package linalg

import (
	"fmt"
	"math"
	"testing"
)

// symmetricCases are matrices that stress different parts of the eigensolver.
func symmetricCases(n int) map[string][]float64 {
	cases := map[string][]float64{}
	gram := func(rank int) []float64 {
		x := randn(n*n, uint64(n))
		a := make([]float64, n*n)
		(*Pool)(nil).Dgemm(true, false, n, n, rank, 1, x, n, x, n, 0, a, n)
		GramMirror(nil, a, n)
		return a
	}
	cases["gram"] = gram(n)
	cases["rank n/5"] = gram(max(1, n/5))
	indefinite := randn(n*n, 3)
	GramMirror(nil, indefinite, n)
	cases["indefinite"] = indefinite
	lap := make([]float64, n*n)
	wilkinson := make([]float64, n*n)
	graded := make([]float64, n*n)
	clusters := make([]float64, n*n)
	for i := range n {
		lap[i*n+i] = 2
		wilkinson[i*n+i] = math.Abs(float64(n-1)/2 - float64(i))
		graded[i*n+i] = math.Pow(10, -18*float64(i)/float64(n))
		clusters[i*n+i] = float64(i % 3)
		if i+1 < n {
			lap[i*n+i+1], lap[(i+1)*n+i] = -1, -1
			wilkinson[i*n+i+1], wilkinson[(i+1)*n+i] = 1, 1
			graded[i*n+i+1] = graded[i*n+i] * 0.3
			graded[(i+1)*n+i] = graded[i*n+i+1]
			clusters[i*n+i+1], clusters[(i+1)*n+i] = 1e-14, 1e-14
		}
	}
	cases["laplacian"], cases["wilkinson"], cases["graded"], cases["clusters"] = lap, wilkinson, graded, clusters
	ident := make([]float64, n*n)
	for i := range n {
		ident[i*n+i] = -3
	}
	cases["scalar"] = ident
	cases["zero"] = make([]float64, n*n)
	huge, tiny := gram(n), gram(n)
	for i := range huge {
		huge[i] *= 1e300
		tiny[i] *= 1e-290
	}
	cases["huge"], cases["tiny"] = huge, tiny
	return cases
}

func TestSymEigenResiduals(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	for _, n := range []int{1, 2, 3, 17, 32, 33, 64, 100, 131, 257, 400} {
		for name, a := range symmetricCases(n) {
			v := append([]float64{}, a...)
			w := p.SymEigen(n, v)
			norm := 0.0
			for i, x := range w {
				norm = max(norm, math.Abs(x))
				if i > 0 && w[i-1] > x {
					t.Fatalf("n=%d %s: eigenvalues not ascending at %d", n, name, i)
				}
			}
			scale := 1.0
			if norm > 0 {
				scale = 1 / norm
			}
			as := make([]float64, n*n)
			for i := range as {
				as[i] = a[i] * scale
			}
			res := make([]float64, n*n)
			p.Dgemm(false, false, n, n, n, 1, as, n, v, n, 0, res, n)
			orth := make([]float64, n*n)
			p.Dgemm(true, false, n, n, n, 1, v, n, v, n, 0, orth, n)
			var r, o float64
			for i := range n {
				for j := range n {
					r = max(r, math.Abs(res[i*n+j]-v[i*n+j]*(w[j]*scale)))
					id := 0.0
					if i == j {
						id = 1
					}
					o = max(o, math.Abs(orth[i*n+j]-id))
				}
			}
			limit := 4 * float64(n+10) * 0x1p-53
			if !(r < limit && o < limit) {
				t.Errorf("n=%d %s: residual %.2g, orthogonality %.2g, limit %.2g", n, name, r, o, limit)
			}
			for j := range n {
				var top float64
				sign := false
				for i := range n {
					if m := math.Abs(v[i*n+j]); m > top {
						top, sign = m, v[i*n+j] < 0
					}
				}
				if sign {
					t.Errorf("n=%d %s: vector %d has a negative largest entry", n, name, j)
				}
			}
		}
	}
}

func TestSymEigenBits(t *testing.T) {
	for _, n := range []int{5, 40, 150, 300} {
		for name, a := range symmetricCases(n) {
			if n == 300 && name != "gram" && name != "wilkinson" {
				continue
			}
			var first []float64
			everywhere(t, func(label string, p *Pool) {
				v := append([]float64{}, a...)
				w := p.SymEigen(n, v)
				all := append(v, w...)
				if first == nil {
					first = all
				} else if !sameBits64(all, first) {
					t.Errorf("n=%d %s %s: other bits", n, name, label)
				}
			})
		}
	}
}

func TestSymEigenNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(-1)} {
		a := spd(20, 1)
		a[5*20+9] = bad
		for _, x := range append((*Pool)(nil).SymEigen(20, a), a...) {
			if x == x {
				t.Fatalf("a matrix with %g gives %g", bad, x)
			}
		}
	}
}

// The leading eigenvectors are SymEigen's, bit for bit: across leaves and merges,
// with clusters of values that deflate, on any path and number of threads.
func TestLeadingEigen(t *testing.T) {
	for _, n := range []int{0, 1, 2, 30, 70, 150, 201} {
		for _, clustered := range []bool{false, true} {
			a := spd(n, uint64(n+1))
			if clustered {
				for i := range a {
					a[i] = math.Round(a[i] / 40)
				}
			}
			everywhere(t, func(label string, p *Pool) {
				all := append([]float64{}, a...)
				w := p.SymEigen(n, all)
				for _, k := range []int{0, 1, n / 3, n} {
					got, v := p.LeadingEigen(n, a, min(k, n))
					k = min(k, n)
					if !sameBits64(got, w) {
						t.Fatalf("%s n=%d k=%d: other eigenvalues", label, n, k)
					}
					for j := range k {
						for i := range n {
							if v[i*k+j] != all[i*n+n-1-j] {
								t.Fatalf("%s n=%d k=%d: vector %d is %v at %d, want %v", label, n, k, j, v[i*k+j], i, all[i*n+n-1-j])
							}
						}
					}
				}
			})
		}
	}
	w, v := (*Pool)(nil).LeadingEigen(2, []float64{1, math.NaN(), 0, 1}, 1)
	for _, x := range append(w, v...) {
		if x == x {
			t.Errorf("eigenvectors of a NaN are %v, %v", w, v)
		}
	}
}

func BenchmarkSymEigen(b *testing.B) {
	for _, n := range []int{576, 1536} {
		for _, th := range []int{1, 2} {
			b.Run(fmt.Sprintf("%d/%dthreads", n, th), func(b *testing.B) {
				p := NewPool(th)
				defer p.Close()
				a := spd(n, 1)
				v := make([]float64, n*n)
				for b.Loop() {
					copy(v, a)
					p.SymEigen(n, v)
				}
			})
		}
	}
}
