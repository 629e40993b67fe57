package vmath

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// hostile64 draws differences as float64 holds them, and now and then something
// else.
func hostile64(r *rand.Rand, n, share int) []float64 {
	special := []float64{0, math.Copysign(0, -1), math.NaN(), math.Inf(1), math.Inf(-1), 5e-324, -0x1p-149, 0x1p-150, 1e300, -math.MaxFloat32, 1, -1}
	x := make([]float64, n)
	for i := range x {
		x[i] = r.NormFloat64() / 64
		if r.IntN(100) < share {
			x[i] = special[r.IntN(len(special))]
		}
	}
	return x
}

func equal64(t *testing.T, path kernel.Path, what string, got, want []float64) {
	t.Helper()
	for i := range want {
		if bits64(got[i]) != bits64(want[i]) {
			t.Fatalf("%s %s of %d: element %d is %v, want %v", path, what, len(want)-1, i, got[i], want[i])
		}
	}
}

// deltaCase is one input of every loop; slices have n elements and one more, which
// stays as it is.
type deltaCase struct {
	n                    int
	x, y                 []float32
	a, b, c              []float64
	draws                []uint32
	by, weight           float64
	least, limit, lo, hi uint32
}

func drawDeltaCase(r *rand.Rand, n, share int) deltaCase {
	d := deltaCase{n: n, x: hostile(r, n+1, share), y: hostile(r, n+1, share), a: hostile64(r, n+1, share), b: hostile64(r, n+1, share), c: make([]float64, n+1)}
	for i := range d.c {
		d.c[i] = float64(r.IntN(4))
		d.draws = append(d.draws, r.Uint32())
	}
	d.by, d.weight = []float64{1, -0.25, r.NormFloat64(), 0}[r.IntN(4)], r.NormFloat64()
	pick := func() uint32 {
		if r.IntN(3) == 0 {
			return []uint32{0, 1, magnitudeMask, 0x7f800000}[r.IntN(4)]
		}
		return math.Float32bits(float32(d.a[r.IntN(n+1)])) & magnitudeMask
	}
	d.least, d.lo, d.hi = pick(), pick(), pick()
	if r.IntN(20) == 0 {
		d.least = magnitudeMask + 1
	}
	d.limit = []uint32{0, 1 << 31, math.MaxUint32, r.Uint32(), d.draws[r.IntN(n+1)]}[r.IntN(5)]
	return d
}

// Every path against the definitions, every length around the vector step, nothing
// written past the end.
func TestDeltas(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 12))
	for n := range 70 {
		for _, share := range []int{0, 3, 40, 100} {
			d := drawDeltaCase(r, n, share)
			difference, rounded, where := append([]float64{}, d.a...), append([]float32{}, d.x...), append([]float32{}, d.x...)
			large, below, product := append([]float64{}, d.a...), append([]float64{}, d.a...), append([]float64{}, d.a...)
			sums, weights, quotient, counts := append([]float64{}, d.c...), append([]float64{}, d.c...), append([]float64{}, d.a...), append([]float64{}, d.c...)
			magnitudes := append([]uint32{}, d.draws...)
			var between []uint32
			above, ones := 0, 0
			for i := range n {
				difference[i] = float64(d.x[i]) - float64(d.y[i])
				magnitudes[i] = math.Float32bits(d.x[i]-d.y[i]) & magnitudeMask
				switch m := magnitudes[i]; {
				case m > d.hi:
					above++
				case m >= d.lo:
					between = append(between, m)
				}
				if math.Float32bits(float32(d.a[i]))&magnitudeMask < d.least {
					large[i] = 0
				}
				if d.draws[i] >= d.limit {
					below[i] = 0
				}
				p := float64(d.by * d.b[i])
				product[i] += p
				if vote := d.a[i]; vote >= 0 && p > 0 || !(vote >= 0) && !(p >= 0) {
					sums[i] += p
					weights[i] += d.weight
				}
				if d.c[i] != 0 {
					quotient[i] /= d.c[i]
				}
				rounded[i] = float32(float64(d.y[i]) + float64(d.by*d.a[i]))
				if where[i] = d.y[i]; d.c[i] >= 2 {
					where[i] = rounded[i]
				}
				if math.Abs(d.a[i]) > float64(d.weight*math.Abs(d.b[i]-d.a[i])) {
					counts[i]++
				}
				if d.c[i] == 1 {
					ones++
				}
			}
			for _, path := range kernel.Paths() {
				restore := kernel.Use(path)
				got, narrow := append([]float64{}, d.a...), append([]float32{}, d.x...)
				Difference(got[:n], d.x[:n], d.y[:n])
				equal64(t, path, "Difference", got, difference)
				m := append([]uint32{}, d.draws...)
				Magnitudes(m[:n], d.x[:n], d.y[:n])
				for i := range m {
					if nan := i < n && magnitudes[i] > 0x7f800000; nan != (m[i] > 0x7f800000) && i < n || !nan && m[i] != magnitudes[i] {
						t.Fatalf("%s Magnitudes of %d: element %d is %x, want %x", path, n, i, m[i], magnitudes[i])
					}
				}
				found := make([]uint32, n+BetweenSlack)
				k, over := Between(found, magnitudes[:n], d.lo, d.hi)
				if k != len(between) || over != above {
					t.Fatalf("%s Between of %d: %d and %d above, want %d and %d", path, n, k, over, len(between), above)
				}
				for i, v := range between {
					if found[i] != v {
						t.Fatalf("%s Between of %d: number %d is %x, want %x", path, n, i, found[i], v)
					}
				}
				copy(got, d.a)
				KeepLarge(got[:n], d.least)
				equal64(t, path, "KeepLarge", got, large)
				copy(got, d.a)
				KeepBelow(got[:n], d.draws[:n], d.limit)
				equal64(t, path, "KeepBelow", got, below)
				copy(got, d.a)
				AddProduct(got[:n], d.by, d.b[:n])
				equal64(t, path, "AddProduct", got, product)
				s, w := append([]float64{}, d.c...), append([]float64{}, d.c...)
				AddAgreeing(s[:n], w[:n], d.b[:n], d.a[:n], d.by, d.weight)
				equal64(t, path, "AddAgreeing", s, sums)
				equal64(t, path, "weights of AddAgreeing", w, weights)
				copy(got, d.a)
				DivideBy(got[:n], d.c[:n])
				equal64(t, path, "DivideBy", got, quotient)
				RoundSum(narrow[:n], d.y[:n], d.by, d.a[:n])
				equal(t, path, "RoundSum", n, narrow, rounded)
				copy(narrow, d.x)
				RoundSumWhere(narrow[:n], d.y[:n], d.by, d.a[:n], d.c[:n], 2)
				equal(t, path, "RoundSumWhere", n, narrow, where)
				for i := range n {
					if d.c[i] < 2 && math.Float32bits(narrow[i]) != math.Float32bits(d.y[i]) {
						t.Fatalf("%s RoundSumWhere of %d: element %d is no copy", path, n, i)
					}
				}
				copy(got, d.c)
				CountLarger(got[:n], d.a[:n], d.b[:n], d.weight)
				equal64(t, path, "CountLarger", got, counts)
				if k := CountEqual(d.c[:n], 1); k != ones {
					t.Fatalf("%s CountEqual of %d: %d, want %d", path, n, k, ones)
				}
				restore()
			}
		}
	}
}

func BenchmarkDeltas(b *testing.B) {
	const n = 512
	d := drawDeltaCase(rand.New(rand.NewPCG(13, 13)), n-1, 0)
	for i := range d.draws {
		d.draws[i] &= magnitudeMask
	}
	found, sums, weights := make([]uint32, n+BetweenSlack), make([]float64, n), make([]float64, n)
	for name, f := range map[string]func(){
		"Difference":  func() { Difference(sums, d.x, d.y) },
		"Magnitudes":  func() { Magnitudes(found[:n], d.x, d.y) },
		"Between":     func() { Between(found, d.draws[:n], 1<<28, 1<<28+1<<26) },
		"KeepLarge":   func() { KeepLarge(sums, 1<<28) },
		"AddProduct":  func() { AddProduct(sums, 1, d.b) },
		"AddAgreeing": func() { AddAgreeing(sums, weights, d.b, d.a, 1, 1) },
		"DivideBy":    func() { DivideBy(sums, d.c) },
		"RoundSum":    func() { RoundSum(d.x, d.y, 1, d.b) },
		"CountLarger": func() { CountLarger(sums, d.a, d.b, 0.4) },
	} {
		for _, path := range kernel.Paths() {
			b.Run(name+"/"+string(path), func(b *testing.B) {
				defer kernel.Use(path)()
				b.SetBytes(4 * n)
				for b.Loop() {
					f()
				}
			})
		}
	}
}
