package linalg

import (
	"fmt"
	"math"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// hostile draws values that single out wrong roundings and skipped terms: signed
// zeros, denormals, infinities, NaNs, huge and tiny numbers.
func hostile(t *rapid.T, n int, label string) []float64 {
	special := []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 0x1p-149, -0x1p-140, 0x1p-1074, 0x1.fffffep127, 1e300, -1e-300, 0x1p-64, 1}
	share := rapid.SampledFrom([]int{0, 0, 1, 30}).Draw(t, label+" special per 100")
	x := randn(n, rapid.Uint64().Draw(t, label+" seed"))
	pick := randn(n, 99)
	for i := range x {
		if u := math.Abs(pick[i]) * 1000; int(u)%100 < share {
			x[i] = special[int(u*7)%len(special)]
		}
	}
	return x
}

type product struct {
	part          triangle
	tA, tB        bool
	m, n, k       int
	lda, ldb, ldc int
	alpha, beta   float64
	a, b, c       []float64
}

func drawProduct(t *rapid.T) product {
	// Sizes around tile edges, and K around block edges.
	size := rapid.OneOf(rapid.IntRange(1, 60), rapid.IntRange(1, 200), rapid.Just(1))
	p := product{
		tA: rapid.Bool().Draw(t, "tA"), tB: rapid.Bool().Draw(t, "tB"),
		part: triangle(rapid.IntRange(0, 2).Draw(t, "part")),
		m:    size.Draw(t, "m"), n: size.Draw(t, "n"),
		k:     rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(300, 340)).Draw(t, "k"),
		alpha: rapid.SampledFrom([]float64{1, -1, 0, 1.5}).Draw(t, "alpha"),
		beta:  rapid.SampledFrom([]float64{0, 1, -0.5}).Draw(t, "beta"),
	}
	if p.part != whole {
		p.n = p.m
	}
	r, s := stored(p.tA, p.m, p.k)
	p.lda = s + rapid.IntRange(0, 5).Draw(t, "lda extra")
	p.a = hostile(t, r*p.lda+1, "a")
	r, s = stored(p.tB, p.k, p.n)
	p.ldb = s + rapid.IntRange(0, 5).Draw(t, "ldb extra")
	p.b = hostile(t, r*p.ldb+1, "b")
	p.ldc = p.n + rapid.IntRange(0, 5).Draw(t, "ldc extra")
	p.c = hostile(t, p.m*p.ldc, "c")
	return p
}

// byContract is the numeric contract, literally.
func byContract[T kernel.Float](x product, a, b, c []T, fma func(a, b, c T) T) {
	kc := 0
	if x.k > 0 {
		kc = kBlock(x.k)
	}
	alpha, beta := T(x.alpha), T(x.beta)
	for i := range x.m {
		for j := range x.n {
			if x.part == upperPart && j < i || x.part == lowerPart && j > i {
				continue
			}
			at := &c[i*x.ldc+j]
			switch beta {
			case 0:
				*at = 0
			case 1:
			default:
				*at *= beta
			}
			if alpha == 0 {
				continue
			}
			for k0 := 0; k0 < x.k; k0 += kc {
				var acc T
				for k := k0; k < min(x.k, k0+kc); k++ {
					ia, ib := i*x.lda+k, k*x.ldb+j
					if x.tA {
						ia = k*x.lda + i
					}
					if x.tB {
						ib = j*x.ldb + k
					}
					acc = fma(a[ia], b[ib], acc)
				}
				*at = fma(alpha, acc, *at)
			}
		}
	}
}

// drawVectorProduct is a product with a vector whose matrix has any number of K
// blocks, whole and not.
func drawVectorProduct(t *rapid.T) product {
	p := product{
		tA: rapid.IntRange(0, 3).Draw(t, "tA") == 0, tB: rapid.Bool().Draw(t, "tB"),
		m: rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(60, 150)).Draw(t, "m"), n: 1,
		k:     rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(300, 2200)).Draw(t, "k"),
		alpha: rapid.SampledFrom([]float64{1, -1.5}).Draw(t, "alpha"),
		beta:  rapid.SampledFrom([]float64{0, 1, -0.5}).Draw(t, "beta"),
	}
	r, s := stored(p.tA, p.m, p.k)
	p.lda = s + rapid.IntRange(0, 5).Draw(t, "lda extra")
	p.a = hostile(t, (r-1)*p.lda+s, "a")
	r, s = stored(p.tB, p.k, p.n)
	p.ldb = s + rapid.IntRange(0, 5).Draw(t, "ldb extra")
	p.b = hostile(t, (r-1)*p.ldb+s, "b")
	p.ldc = 1 + rapid.IntRange(0, 2).Draw(t, "ldc extra")
	p.c = hostile(t, p.m*p.ldc, "c")
	return p
}

// drawThinProduct is a product whose C is at most about one tile wide.
func drawThinProduct(t *rapid.T) product {
	p := product{
		tA: rapid.IntRange(0, 3).Draw(t, "tA") == 0, tB: rapid.Bool().Draw(t, "tB"),
		m:     rapid.OneOf(rapid.IntRange(1, 30), rapid.IntRange(31, 220)).Draw(t, "m"),
		n:     rapid.OneOf(rapid.SampledFrom([]int{4, 6, 8, 12, 16, 24, 32, 48}), rapid.IntRange(2, 50)).Draw(t, "n"),
		k:     rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(300, 700)).Draw(t, "k"),
		alpha: rapid.SampledFrom([]float64{1, -1.5}).Draw(t, "alpha"),
		beta:  rapid.SampledFrom([]float64{0, 1, -0.5}).Draw(t, "beta"),
	}
	r, s := stored(p.tA, p.m, p.k)
	// Strides of 2 KiB are packed, and others need not be.
	p.lda = rapid.SampledFrom([]int{s, s + 1, (s + 511) / 512 * 512}).Draw(t, "lda")
	p.a = hostile(t, (r-1)*p.lda+s, "a")
	r, s = stored(p.tB, p.k, p.n)
	p.ldb = s + rapid.IntRange(0, 5).Draw(t, "ldb extra")
	p.b = hostile(t, (r-1)*p.ldb+s, "b")
	p.ldc = p.n + rapid.SampledFrom([]int{0, 0, 3, 50}).Draw(t, "ldc extra")
	p.c = hostile(t, p.m*p.ldc, "c")
	return p
}

func TestThinProductsFollowTheContract(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { compareWithContract(t, drawThinProduct(t)) })
	for n := 1; n <= 50; n++ { // what lies beside C stays
		const m, k, extra = 31, 20, 50
		compareWithContract(t, product{tB: true, m: m, n: n, k: k, lda: k, ldb: k, ldc: n + extra, alpha: 1,
			a: randn(m*k, 1), b: randn(n*k, 2), c: randn(m*(n+extra), 3)})
	}
}

func TestVectorProductsFollowTheContract(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { compareWithContract(t, drawVectorProduct(t)) })
}

func TestProductsFollowTheContract(t *testing.T) { rapid.Check(t, checkProduct) }

// FuzzProducts looks for shapes and values on which a path breaks the contract.
func FuzzProducts(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkProduct)) }

func checkProduct(t *rapid.T) { compareWithContract(t, drawProduct(t)) }

func compareWithContract(t rapid.TB, x product) {
	a32, b32, c32 := narrow(x.a), narrow(x.b), narrow(x.c)
	want64 := append([]float64{}, x.c...)
	byContract(x, x.a, x.b, want64, math.FMA)
	want32 := append([]float32{}, c32...)
	byContract(x, a32, b32, want32, kernel.FMA32)
	for _, path := range kernel.Paths() {
		restore := kernel.Use(path)
		for th := 1; th <= 3; th++ {
			p := NewPool(th)
			got64 := append([]float64{}, x.c...)
			gemm(p, x.part, x.tA, x.tB, x.m, x.n, x.k, x.alpha, x.a, x.lda, x.b, x.ldb, nil, x.beta, got64, x.ldc)
			got32 := append([]float32{}, c32...)
			gemm(p, x.part, x.tA, x.tB, x.m, x.n, x.k, float32(x.alpha), a32, x.lda, b32, x.ldb, nil, float32(x.beta), got32, x.ldc)
			p.Close()
			if !sameBits64(got64, want64) {
				t.Errorf("float64 %s %d threads: not what the contract says", path, th)
			}
			if !sameBits32(got32, want32) {
				t.Errorf("float32 %s %d threads: not what the contract says", path, th)
			}
		}
		restore()
	}
}

// Large enough for several tasks, K blocks and column stretches.
func TestLargeProductsAgree(t *testing.T) {
	for _, s := range [][3]int{{257, 300, 700}, {90, 4700, 330}, {600, 16, 576}, {500, 8, 90}} {
		m, n, k := s[0], s[1], s[2]
		a, b := randn(m*k, 1), randn(k*n, 2)
		a32, b32 := narrow(a), narrow(b)
		want := make([]float64, m*n)
		gonum.Implementation{}.Dgemm(blas.NoTrans, blas.NoTrans, m, n, k, 1, a, k, b, n, 0, want, n)
		var first []float64
		var first32 []float32
		everywhere(t, func(label string, p *Pool) {
			if testing.Short() && label[:2] == "go" {
				return
			}
			c, c32 := make([]float64, m*n), make([]float32, m*n)
			p.Dgemm(false, false, m, n, k, 1, a, k, b, n, 0, c, n)
			if label[:2] != "go" { // software float32 FMA is slow, and small shapes cover it
				p.Sgemm(false, false, m, n, k, 1, a32, k, b32, n, 0, c32, n)
			}
			if first == nil {
				first, first32 = c, c32
				if d := maxAbsDiff(c, want); d > 1e-11 {
					t.Errorf("%v: differs from the oracle by %g", s, d)
				}
				return
			}
			if !sameBits64(c, first) || label[:2] != "go" && !sameBits32(c32, first32) {
				t.Errorf("%v %s: other bits", s, label)
			}
		})
	}
}

func TestSyrk(t *testing.T) {
	p := NewPool(2)
	defer p.Close()
	n, k := 130, 70
	x := randn(n*k, 1)
	for _, trans := range []bool{false, true} {
		lda := k
		if trans {
			lda = n
		}
		full := make([]float64, n*n)
		p.Dgemm(trans, !trans, n, n, k, 2, x, lda, x, lda, 0, full, n)
		for _, upper := range []bool{false, true} {
			c := randn(n*n, 5)
			old := append([]float64{}, c...)
			p.Dsyrk(upper, trans, n, k, 2, x, lda, 0, c, n)
			c32 := narrow(old)
			p.Ssyrk(upper, trans, n, k, 2, narrow(x), lda, 0, c32, n)
			for i := range n {
				for j := range n {
					want := old[i*n+j]
					if i == j || (j > i) == upper {
						want = full[i*n+j]
					}
					if got := c[i*n+j]; got != want {
						t.Fatalf("trans=%v upper=%v (%d,%d): %g, want %g", trans, upper, i, j, got, want)
					}
					if math.Abs(float64(c32[i*n+j])-want) > 1e-3 {
						t.Fatalf("float32 trans=%v upper=%v (%d,%d): %g, want %g", trans, upper, i, j, c32[i*n+j], want)
					}
				}
			}
		}
	}
}

func TestGramAdd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 130).Draw(t, "n")
		windows := rapid.SliceOfN(rapid.IntRange(0, 90), 1, 3).Draw(t, "windows")
		var xs [][]float32
		want := make([]float64, n*n)
		for w, rows := range windows {
			x := narrow(randn(rows*n, uint64(w)))
			xs = append(xs, x)
			if rows == 0 {
				continue
			}
			for i := range n {
				for j := i; j < n; j++ {
					var acc float32
					for r := range rows {
						acc = kernel.FMA32(x[r*n+i], x[r*n+j], acc)
					}
					want[i*n+j] += float64(acc)
				}
			}
		}
		GramMirror(nil, want, n)
		for _, path := range kernel.Paths() {
			restore := kernel.Use(path)
			for th := 1; th <= 3; th++ {
				p := NewPool(th)
				c := make([]float64, n*n)
				for w, rows := range windows {
					p.GramAdd(c, xs[w], rows, n)
				}
				GramMirror(nil, c, n)
				p.Close()
				if !sameBits64(c, want) {
					t.Errorf("%s %d threads: Gram matrix is not one chain a window", path, th)
				}
			}
			restore()
		}
	})
}

func TestMisusePanics(t *testing.T) {
	for name, f := range map[string]func(){
		"short A": func() {
			(*Pool)(nil).Dgemm(false, false, 2, 2, 2, 1, make([]float64, 3), 2, make([]float64, 4), 2, 0, make([]float64, 4), 2)
		},
		"small ldc": func() {
			(*Pool)(nil).Sgemm(false, false, 2, 2, 2, 1, make([]float32, 4), 2, make([]float32, 4), 2, 0, make([]float32, 4), 1)
		},
		"short gram": func() { (*Pool)(nil).GramAdd(make([]float64, 3), make([]float32, 4), 2, 2) },
		"short solve": func() {
			(*Pool)(nil).TriSolve(true, true, false, false, 3, 1, make([]float64, 8), 3, make([]float64, 3), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("did not panic")
				}
			}()
			f()
		})
	}
}

func BenchmarkSgemm(b *testing.B) {
	for _, s := range []struct {
		m, n, k int
		tA, tB  bool
	}{{512, 1536, 576, false, true}, {512, 576, 1536, false, true}, {2048, 4096, 4096, false, false}, {512, 16, 576, false, true}, {512, 576, 16, false, false}, {576, 16, 512, true, false}} {
		for _, th := range []int{1, 2} {
			b.Run(fmt.Sprintf("%dx%dx%d/%dthreads", s.m, s.n, s.k, th), func(b *testing.B) {
				p := NewPool(th)
				defer p.Close()
				x, y, c := narrow(randn(s.m*s.k, 1)), narrow(randn(s.n*s.k, 2)), make([]float32, s.m*s.n)
				_, lda := stored(s.tA, s.m, s.k)
				_, ldb := stored(s.tB, s.k, s.n)
				for b.Loop() {
					p.Sgemm(s.tA, s.tB, s.m, s.n, s.k, 1, x, lda, y, ldb, 0, c, s.n)
				}
				b.ReportMetric(2*float64(s.m)*float64(s.n)*float64(s.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
			})
		}
	}
}

func BenchmarkGemv(b *testing.B) {
	for _, s := range [][2]int{{2048, 2048}, {576, 576}, {1536, 576}, {576, 1536}, {4096, 4096}} {
		m, k := s[0], s[1]
		a, x, y := randn(m*k, 1), randn(k, 2), make([]float64, m)
		a32, x32, y32 := narrow(a), narrow(x), make([]float32, m)
		run := func(bits int, f func()) {
			b.Run(fmt.Sprintf("%dx%d/float%d", m, k, bits), func(b *testing.B) {
				b.SetBytes(int64(m * k * bits / 8))
				for b.Loop() {
					f()
				}
			})
		}
		run(32, func() { (*Pool)(nil).Sgemm(false, false, m, 1, k, 1, a32, k, x32, 1, 0, y32, 1) })
		run(64, func() { (*Pool)(nil).Dgemm(false, false, m, 1, k, 1, a, k, x, 1, 0, y, 1) })
	}
}

func BenchmarkGramAdd(b *testing.B) {
	for _, s := range [][2]int{{512, 576}, {512, 1536}, {2048, 4096}} {
		b.Run(fmt.Sprintf("%dx%d", s[0], s[1]), func(b *testing.B) {
			p := NewPool(2)
			defer p.Close()
			x, c := narrow(randn(s[0]*s[1], 1)), make([]float64, s[1]*s[1])
			for b.Loop() {
				p.GramAdd(c, x, s[0], s[1])
			}
			b.ReportMetric(2*float64(s[0])*float64(s[1])*float64(s[1])*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s-full")
		})
	}
}

func BenchmarkFactor(b *testing.B) {
	for _, n := range []int{576, 1536} {
		a := spd(n, 1)
		v := make([]float64, n*n)
		p := NewPool(2)
		b.Run(fmt.Sprintf("Cholesky/%d", n), func(b *testing.B) {
			for b.Loop() {
				copy(v, a)
				if err := p.Cholesky(n, v, n); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("InverseSPD/%d", n), func(b *testing.B) {
			for b.Loop() {
				copy(v, a)
				if err := p.InverseSPD(n, v); err != nil {
					b.Fatal(err)
				}
			}
		})
		p.Close()
	}
}
