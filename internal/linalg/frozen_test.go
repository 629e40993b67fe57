package linalg

import (
	"fmt"
	"hash/fnv"
	"math"
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel"
	"github.com/compressc/compressc/internal/linalg/rng"
)

// TestFrozenBits fails when any result changes on any machine, on any kernel
// path, with any number of threads or under any GOAMD64: results are part of
// action keys, so a change needs a new NumericsVersion, and then new hashes here.
func TestFrozenBits(t *testing.T) {
	for _, path := range kernel.Paths() {
		for _, threads := range []int{1, 2, 3, 8} {
			t.Run(fmt.Sprint(path, " ", threads), func(t *testing.T) {
				defer kernel.Use(path)()
				p := NewPool(threads)
				defer p.Close()
				checkFrozenBits(t, p)
			})
		}
	}
}

func checkFrozenBits(t *testing.T, p *Pool) {
	const n = 150
	s := rng.New(1, "frozen")
	x := make([]float64, n*n)
	for i := range x {
		x[i] = s.NormAt(uint64(i))
	}
	x32 := narrow(x)
	a := make([]float64, n*n)
	p.GramAdd(a, x32, n, n)
	GramMirror(nil, a, n)
	for i := range n {
		a[i*n+i]++
	}
	copyOf := func(a []float64) []float64 { return append([]float64{}, a...) }
	for _, c := range []struct {
		name string
		run  func() []float64
		want uint64
	}{
		{"GramAdd", func() []float64 { return a }, 0x8012bd8892cf2503},
		{"Sgemm", func() []float64 {
			c := make([]float32, n*n)
			p.Sgemm(false, true, n, n, n, 0.5, x32, n, x32, n, 0, c, n)
			return widen(c)
		}, 0xe733ccc664db8db2},
		{"Dgemm", func() []float64 {
			c := copyOf(a)
			p.Dgemm(true, false, n, n, n, 0.3, x, n, a, n, 0.7, c, n)
			return c
		}, 0x58e4f1f5ec1e5ce4},
		{"Cholesky", func() []float64 {
			c := copyOf(a)
			if err := p.Cholesky(n, c, n); err != nil {
				t.Fatal(err)
			}
			return c
		}, 0xc2767b176a2f3aa1},
		{"InverseSPD", func() []float64 {
			c := copyOf(a)
			if err := p.InverseSPD(n, c); err != nil {
				t.Fatal(err)
			}
			return c
		}, 0x6e4a55da0f6e59fb},
		{"SymEigen", func() []float64 {
			c := copyOf(a)
			return append(p.SymEigen(n, c), c...)
		}, 0x3bf4289fc53d5017},
		{"QR", func() []float64 {
			q, r := p.QR(n, n, x)
			return append(q, r...)
		}, 0x42be809c24800683},
		{"ThinSVD", func() []float64 {
			u, s, vt := p.ThinSVD(n, n, x)
			return append(append(u, s...), vt...)
		}, 0xcbfd6d44c1d997e4},
		{"Sgemv", func() []float64 {
			const m = 9000 // enough for several threads
			v, c := make([]float32, m), make([]float32, 1)
			for i := range v {
				v[i] = x32[i]
			}
			y := make([]float32, 150)
			p.Sgemm(false, false, 150, 1, 150, 1, x32, 150, v, 1, 0, y, 1)
			p.Sgemm(false, true, 1, 1, m, 2, v, m, x32, m, 0, c, 1)
			wide := make([]float32, m)
			p.Sgemm(true, false, 1, m, 1, 1, y, 1, v, m, 0, wide, m)
			return widen(append(append(y, c...), wide...))
		}, 0xb9511ed95bf73b67},
		{"Dsyrk", func() []float64 {
			c := copyOf(x)
			p.Dsyrk(true, true, n, n, 1.5, x, n, 0.5, c, n)
			p.Dsyrk(false, false, n, n, 1, x, n, 1, c, n)
			return c
		}, 0x15f6f7df620bde0f},
		{"TriSolve", func() []float64 {
			l, c := copyOf(a), copyOf(x)
			if err := p.Cholesky(n, l, n); err != nil {
				t.Fatal(err)
			}
			p.TriSolve(true, false, false, false, n, n, l, n, c, n)
			p.TriSolve(false, false, true, true, n, n, l, n, c, n)
			return c
		}, 0xc31170048dfa29dd},
		{"LeadingEigen", func() []float64 {
			w, v := p.LeadingEigen(n, copyOf(a), 20)
			return append(w, v...)
		}, 0xbb42decadbba6ea8},
		{"ThinSVD of low rank", func() []float64 {
			c := make([]float64, n*n)
			p.Dgemm(false, true, n, n, 40, 1, x, n, a, n, 0, c, n)
			u, s, vt := p.ThinSVD(n, n, c)
			return append(append(u, s...), vt...)
		}, 0x1c09d43a9a809a2f},
	} {
		h := fnv.New64a()
		for _, v := range c.run() {
			var b [8]byte
			u := math.Float64bits(v)
			for i := range b {
				b[i] = byte(u >> (8 * i))
			}
			h.Write(b[:])
		}
		if got := h.Sum64(); got != c.want {
			t.Errorf("%s: hash of results is %#x, was %#x", c.name, got, c.want)
		}
	}
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}
