package lowrank

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/rng"
)

// withSpectrum returns a matrix [m, n] with the singular values s and singular
// vectors without a pattern.
func withSpectrum(seed uint64, m, n int, s []float64) []float64 {
	r := len(s)
	q1, _ := (*linalg.Pool)(nil).QR(m, r, normal(seed, m*r))
	q2, _ := (*linalg.Pool)(nil).QR(n, r, normal(seed+1, n*r))
	for i := range q1 {
		q1[i] *= s[i%r]
	}
	a := make([]float64, m*n)
	(*linalg.Pool)(nil).Dgemm(false, true, m, n, r, 1, q1, r, q2, r, 0, a, n)
	return a
}

// spectra are the forms of spectra that the range finder meets: from easy to
// hopeless.
var spectra = map[string]func(i int) float64{
	"flat":           func(int) float64 { return 1 },
	"one and flat":   func(i int) float64 { return 1 + 50*float64(max(0, 1-i)) },
	"linear":         func(i int) float64 { return 1 / (1 + float64(i)/20) },
	"slow":           func(i int) float64 { return 1 / math.Sqrt(float64(1+i)) },
	"inverse":        func(i int) float64 { return 1 / float64(1+i) },
	"fast":           func(i int) float64 { return math.Pow(0.5, float64(i)) },
	"gone":           func(i int) float64 { return math.Pow(1e-3, float64(i)) },
	"rank five":      func(i int) float64 { return float64(max(0, min(1, 5-i))) },
	"steps":          func(i int) float64 { return math.Pow(0.3, float64(i/7)) },
	"weak after few": func(i int) float64 { return map[bool]float64{true: 1, false: 1e-9}[i < 12] },
	"plateau behind": func(i int) float64 { return max(math.Pow(0.8, float64(i)), 0.05) },
	"zero":           func(int) float64 { return 0 },
}

func TestLeadingHoldsItsBound(t *testing.T) {
	names := make([]string, 0, len(spectra))
	for name := range spectra {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.OneOf(rapid.IntRange(1, 40), rapid.Map(rapid.IntRange(0, 100), func(x int) int { return 160 - x }))
		m, n, k := size.Draw(t, "m"), size.Draw(t, "n"), rapid.IntRange(1, 20).Draw(t, "k")
		name := rapid.SampledFrom(names).Draw(t, "spectrum")
		scale := rapid.SampledFrom([]float64{1, 1e-30, 1e60}).Draw(t, "scale")
		s := make([]float64, min(m, n))
		for i := range s {
			s[i] = spectra[name](i) * scale
		}
		a := withSpectrum(rapid.Uint64Range(0, 1000).Draw(t, "seed"), m, n, s)
		stream := rng.New(rapid.Uint64().Draw(t, "stream"), "test")
		u, got, vt := Leading(nil, a, m, n, k, stream)
		kk := min(k, m, n)
		if len(got) != kk || len(u) != m*kk || len(vt) != kk*n {
			t.Fatalf("%d values, u of %d and vt of %d entries for k=%d of [%d, %d]", len(got), len(u), len(vt), k, m, n)
		}
		if !slices.IsSortedFunc(got, func(x, y float64) int { return cmp.Compare(y, x) }) {
			t.Errorf("singular values do not descend: %v", got)
		}
		checkOrthonormal(t, "u", m, kk, func(i, j int) float64 { return u[i*kk+j] })
		checkOrthonormal(t, "v", n, kk, func(i, j int) float64 { return vt[j*n+i] })
		_, exact, _ := (*linalg.Pool)(nil).ThinSVD(m, n, a)
		best, left, total := 0.0, 0.0, 0.0
		for i, v := range exact {
			v /= scale
			total += v * v
			if i >= kk {
				best += v * v
			}
		}
		for i := range m {
			for j := range n {
				d := a[i*n+j]
				for l := range kk {
					d -= u[i*kk+l] * got[l] * vt[l*n+j]
				}
				left += d / scale * (d / scale)
			}
		}
		rounding := 8 * float64(max(m, n)) * 0x1p-52 * math.Sqrt(total)
		if math.Sqrt(left) > LeadingError*math.Sqrt(best)+rounding {
			t.Errorf("%s [%d, %d], k=%d: leaves %g, the best of the rank %g", name, m, n, k, math.Sqrt(left), math.Sqrt(best))
		}
	})
}

func checkOrthonormal(t *rapid.T, what string, rows, cols int, at func(i, j int) float64) {
	for p := range cols {
		for q := range p + 1 {
			dot := 0.0
			for i := range rows {
				dot += at(i, p) * at(i, q)
			}
			want := 0.0
			if p == q {
				want = 1
			}
			if math.Abs(dot-want) > 1e-12*float64(rows+10) {
				t.Errorf("%s: columns %d and %d have the product %g", what, p, q, dot)
			}
		}
	}
}

// A range that misses a direction must be noticed, whatever the spectrum.
func TestCheckOfTheBoundFindsWhatIsMissing(t *testing.T) {
	const m, n, k, l = 120, 100, 4, 20
	for name, spectrum := range spectra {
		if name == "zero" || name == "flat" || name == "rank five" {
			continue // nothing is missing, or as much as in any other range
		}
		s := make([]float64, n)
		for i := range s {
			s[i] = spectrum(i)
		}
		a := withSpectrum(7, m, n, s)
		u, sigma, vt := (*linalg.Pool)(nil).ThinSVD(m, n, a)
		f := func(skip int) *projection {
			f := &projection{m: m, n: n, l: l, q: make([]float64, m*l), ub: make([]float64, l*l)}
			for j := range l {
				from := j
				if j >= skip {
					from++
				}
				for i := range m {
					f.q[i*l+j] = u[i*n+from]
				}
				f.ub[j*l+j] = 1
				f.s = append(f.s, sigma[from])
				f.vt = append(f.vt, vt[from*n:(from+1)*n]...)
			}
			return f
		}
		random := rng.New(3, "check")
		if f(0).meetsBound(nil, a, k, random) {
			t.Errorf("%s: passes without the first direction", name)
		}
		missed, caught := f(0).excess(nil, a, k, random)
		if missed < sigma[0]*sigma[0]-sigma[k]*sigma[k] || caught < sigma[0]*sigma[0] {
			t.Errorf("%s: without the first direction, %g of %g is said to be missing, and %g to be outside", name, missed, sigma[0]*sigma[0], caught)
		}
		if e := name == "fast" || name == "gone" || name == "weak after few"; e && !f(l).meetsBound(nil, a, k, random) {
			t.Errorf("%s: the best range does not pass", name)
		}
	}
}

// Where the check passes at first, nothing but the range finder's own triplets
// comes out; where it cannot, the exact decomposition.
func TestLeadingStopsAtWhatIsGoodEnough(t *testing.T) {
	const m, n = 300, 200
	for _, c := range []struct {
		spectrum   string
		k, columns int // 0 columns: exact
	}{{"fast", 2, 18}, {"flat", 2, 18}, {"one and flat", 4, 20}, {"slow", 5, 21}, {"linear", 12, 56}, {"one and flat", 20, 0}} {
		s := make([]float64, n)
		for i := range s {
			s[i] = spectra[c.spectrum](i)
		}
		a := withSpectrum(5, m, n, s)
		_, got, _ := Leading(nil, a, m, n, c.k, rng.New(1, "x"))
		_, want, _ := (*linalg.Pool)(nil).ThinSVD(m, n, a)
		if c.columns > 0 {
			want = findRange(nil, a, m, n, c.columns, rng.New(1, "x")).s
		}
		if !slices.Equal(got, want[:c.k]) {
			t.Errorf("%s, %d: %v, expected %v", c.spectrum, c.k, got, want[:c.k])
		}
	}
}

func TestLeadingOnAnyNumberOfThreads(t *testing.T) {
	const m, n, k = 260, 150, 5
	a := normal(4, m*n)
	want := ""
	for _, threads := range []int{1, 2, 3} {
		u, s, vt := Leading(newPool(t, threads), a, m, n, k, rng.New(1, "x"))
		if got := fmt.Sprint(u, s, vt); want == "" {
			want = got
		} else if got != want {
			t.Errorf("other bits on %d threads", threads)
		}
	}
}
