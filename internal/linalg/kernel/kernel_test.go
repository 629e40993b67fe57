package kernel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

func eachPath(t *testing.T, f func(t *testing.T)) {
	for _, p := range Paths() {
		t.Run(string(p), func(t *testing.T) {
			defer Use(p)()
			f(t)
		})
	}
}

func same32(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

func same64(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b
}

// hostile32 draws float32s whose products and sums land on rounding boundaries.
func hostile32(r *rand.Rand) float32 {
	switch r.IntN(6) {
	case 0:
		return float32(r.NormFloat64())
	case 1: // few significant bits
		return math.Float32frombits(r.Uint32()&0xff000fff&^(0x40<<24) | 0x3f000000)
	case 2:
		return float32(1+float64(r.IntN(3)-1)*0x1p-23) * float32(math.Ldexp(1, r.IntN(60)-30))
	case 3: // denormals and products that become denormal
		return math.Float32frombits(r.Uint32() & 0x80ffffff)
	case 4:
		return math.Float32frombits(r.Uint32()&^0x7f800000 | uint32(20+r.IntN(60))<<23)
	}
	return math.Float32frombits(r.Uint32())
}

// fma32Exact rounds a·b + c once, by big arithmetic.
func fma32Exact(a, b, c float32) float32 {
	f := func(x float32) *big.Float { return new(big.Float).SetPrec(2000).SetFloat64(float64(x)) }
	p := f(a)
	p.Mul(p, f(b)).Add(p, f(c))
	v, _ := p.Float32()
	if v == 0 && p.Sign() == 0 { // big's sign of a zero sum is its own
		return float32(float64(a)*float64(b) + float64(c))
	}
	return v
}

func TestFMA32(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	finite := func(x float32) bool { return x-x == 0 }
	for range 300_000 {
		a, b, c := hostile32(r), hostile32(r), hostile32(r)
		switch r.IntN(3) {
		case 0: // cancellation
			c = -float32(float64(a)*float64(b)) * (1 + float32(r.IntN(3)-1)*0x1p-23)
		case 1: // a sum just beside a rounding boundary
			c = float32(math.Ldexp(float64(a)*float64(b), 20+r.IntN(10)))
		}
		if !finite(a) || !finite(b) || !finite(c) {
			if got, want := FMA32(a, b, c), float32(float64(a)*float64(b)+float64(c)); !same32(got, want) {
				t.Fatalf("FMA32(%x, %x, %x) = %x, want %x", a, b, c, got, want)
			}
			continue
		}
		if got, want := FMA32(a, b, c), fma32Exact(a, b, c); !same32(got, want) {
			t.Fatalf("FMA32(%x, %x, %x) = %x, want %x", a, b, c, got, want)
		}
	}
}

// One step of a tile is fma(alpha, a·b, c): the vector units against software.
func TestTileMatchesFMA(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 9))
		for _, n := range []int{4, 12, 20, 100} {
			s, d := Select[float32](n), Select[float64](n)
			for range 300 {
				kc := r.IntN(7)
				add := r.IntN(2)
				a, b, c := make([]float32, s.MR*kc+1), make([]float32, s.NR*kc+1), make([]float32, s.MR*s.NR)
				for _, x := range [][]float32{a, b, c} {
					for i := range x {
						x[i] = hostile32(r)
					}
				}
				alpha := hostile32(r)
				want := make([]float32, len(c))
				for i := range s.MR {
					for j := range s.NR {
						var acc, old float32
						for k := range kc {
							acc = FMA32(a[k*s.MR+i], b[k*s.NR+j], acc)
						}
						if add != 0 {
							old = c[i*s.NR+j]
						}
						want[i*s.NR+j] = FMA32(alpha, acc, old)
					}
				}
				s.Run(kc, &a[0], &b[0], &c[0], s.NR, alpha, add)
				for i := range c {
					if !same32(c[i], want[i]) {
						t.Fatalf("float32 kc=%d add=%d element %d: %x, want %x", kc, add, i, c[i], want[i])
					}
				}
				a64, b64, c64 := make([]float64, d.MR*kc+1), make([]float64, d.NR*kc+1), make([]float64, d.MR*d.NR)
				for _, x := range [][]float64{a64, b64, c64} {
					for i := range x {
						x[i] = math.Float64frombits(r.Uint64())
						if r.IntN(2) == 0 {
							x[i] = r.NormFloat64()
						}
					}
				}
				want64 := make([]float64, len(c64))
				for i := range d.MR {
					for j := range d.NR {
						var acc, old float64
						for k := range kc {
							acc = math.FMA(a64[k*d.MR+i], b64[k*d.NR+j], acc)
						}
						if add != 0 {
							old = c64[i*d.NR+j]
						}
						want64[i*d.NR+j] = math.FMA(2, acc, old)
					}
				}
				d.Run(kc, &a64[0], &b64[0], &c64[0], d.NR, 2, add)
				for i := range c64 {
					if !same64(c64[i], want64[i]) {
						t.Fatalf("float64 kc=%d add=%d element %d: %x, want %x", kc, add, i, c64[i], want64[i])
					}
				}
			}
		}
	})
}

// Some columns of a tile are those of the whole tile, and no others are written
// than whole lanes.
func TestSomeColumnsOfATile(t *testing.T) {
	eachPath(t, func(t *testing.T) {
		someColumns[float32](t)
		someColumns[float64](t)
	})
}

func someColumns[T Float](t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	for range 300 {
		g := Select[T]([]int{4, 20, 100}[r.IntN(3)])
		kc, ldc := []int{r.IntN(9), 90 + r.IntN(20)}[r.IntN(2)], g.NR+r.IntN(4)
		a, b, c := make([]T, g.MR*kc+1), make([]T, g.NR*kc+1), make([]T, g.MR*ldc)
		for _, x := range [][]T{a, b, c} {
			for i := range x {
				x[i] = T(r.NormFloat64())
			}
		}
		add, alpha := r.IntN(2), T(r.NormFloat64())
		whole, some := append([]T{}, c...), append([]T{}, c...)
		g.Run(kc, &a[0], &b[0], &whole[0], ldc, alpha, add)
		lo := r.IntN(g.NR)
		hi := lo + 1 + r.IntN(g.NR-lo)
		g.Columns(lo, hi, kc, &a[0], &b[0], some, ldc, alpha, add)
		from, to := lo/g.Lane()*g.Lane(), g.Whole(hi)
		for i := range c {
			want := c[i]
			if j := i % ldc; from <= j && j < to {
				want = whole[i]
			}
			if some[i] != want {
				t.Fatalf("%T %d×%d kc=%d add=%d columns [%d, %d): element (%d, %d) is %v, want %v", c[i], g.MR, g.NR, kc, add, lo, hi, i/ldc, i%ldc, some[i], want)
			}
		}
	}
}

func TestGemv(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 9))
	value := func() float64 {
		if r.IntN(20) == 0 {
			return []float64{math.Inf(1), math.NaN(), math.Copysign(0, -1), -0x1p-1074, 1e-200, 1e300}[r.IntN(6)]
		}
		return r.NormFloat64()
	}
	for range 300 {
		m, n := r.IntN(21), 8*r.IntN(20)
		lda := n + r.IntN(3)
		fill := func(n int) []float64 {
			x := make([]float64, n)
			for i := range x {
				x[i] = value()
			}
			return x
		}
		a, x, c, y0 := fill(m*lda+1), fill(n), fill(m), fill(n)
		rows, cols := make([]float64, m), append([]float64{}, y0...)
		for i := range m {
			var l [8]float64
			for j := range n {
				l[j%8] = math.FMA(a[i*lda+j], x[j], l[j%8])
				cols[j] = math.FMA(c[i], a[i*lda+j], cols[j])
			}
			rows[i] = ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
		}
		for _, p := range Paths() {
			restore := Use(p)
			got := make([]float64, m)
			GemvRows(m, n, a, lda, x, got)
			for i := range got {
				if !same64(got[i], rows[i]) {
					t.Fatalf("%s GemvRows %d×%d row %d: %x, want %x", p, m, n, i, got[i], rows[i])
				}
			}
			got = append([]float64{}, y0...)
			GemvCols(m, n, a, lda, c, got)
			for j := range got {
				if !same64(got[j], cols[j]) {
					t.Fatalf("%s GemvCols %d×%d column %d: %x, want %x", p, m, n, j, got[j], cols[j])
				}
			}
			restore()
		}
	}
}

func TestCheckEnvironment(t *testing.T) {
	if err := CheckEnvironment(); err != nil {
		t.Fatal(err)
	}
	old := envErr
	defer func() { envErr = old }()
	if _, envErr = choose("mmx"); CheckEnvironment() == nil {
		t.Error("an unknown kernel path was accepted")
	}
}
