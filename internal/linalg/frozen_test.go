package linalg

import (
	"hash/fnv"
	"math"
	"testing"

	"github.com/compressc/compressc/internal/linalg/rng"
)

// TestFrozenBits fails when any result changes on any machine or under any
// GOAMD64: results are part of action keys, so a change needs a new
// NumericsVersion, and then new hashes here.
func TestFrozenBits(t *testing.T) {
	const n = 150
	s := rng.New(1, "frozen")
	x := make([]float64, n*n)
	for i := range x {
		x[i] = s.NormAt(uint64(i))
	}
	x32 := narrow(x)
	p := NewPool(2)
	defer p.Close()
	a := make([]float64, n*n)
	p.GramAdd(a, x32, n, n)
	GramMirror(a, n)
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
			out := make([]float64, n*n)
			for i, v := range c {
				out[i] = float64(v)
			}
			return out
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
