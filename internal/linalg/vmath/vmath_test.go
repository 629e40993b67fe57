package vmath

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// ulps64 returns |got - want| in units of the last place of want.
func ulps64(got float64, want *big.Float) float64 {
	w, _ := want.Float64()
	if w == 0 || math.IsInf(w, 0) {
		return math.Abs(got - w)
	}
	_, e := math.Frexp(w)
	unit := math.Ldexp(1, max(e-53, -1074))
	d := new(big.Float).SetPrec(300).Sub(want, bigOf(got))
	f, _ := d.Float64()
	return math.Abs(f / unit)
}

// ulps32 is the same for float32 against a float64 that is exact for the purpose.
func ulps32(got float32, want float64) float64 {
	w := float32(want)
	if w == 0 || math.IsInf(float64(w), 0) || want != want {
		if float64(got) == float64(w) || want != want && got != got {
			return 0
		}
		return math.Inf(1)
	}
	_, e := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(e-24, -149))
}

func TestFloat64Errors(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	type fn struct {
		name  string
		draw  func() float64
		got   func(float64) float64
		want  func(float64) *big.Float
		limit float64
	}
	uniform := func(lo, hi float64) func() float64 { return func() float64 { return lo + (hi-lo)*r.Float64() } }
	logUniform := func(lo, hi float64) func() float64 {
		return func() float64 { return math.Exp(lo + (hi-lo)*r.Float64()) }
	}
	powBase := 0.0
	for _, f := range []fn{
		{"Exp64", uniform(-700, 700), Exp64, func(x float64) *big.Float { return bigExp(bigOf(x), 200) }, 1},
		{"Exp64 small", uniform(-1, 1), Exp64, func(x float64) *big.Float { return bigExp(bigOf(x), 200) }, 1},
		{"Exp64 denormal", uniform(-745, -708), Exp64, func(x float64) *big.Float { return bigExp(bigOf(x), 200) }, 1.5},
		{"Log64", logUniform(-700, 700), Log64, func(x float64) *big.Float { return bigLog(x, math.Log(x)) }, 1},
		{"Log64 near 1", uniform(0.5, 2), Log64, func(x float64) *big.Float { return bigLog(x, math.Log(x)) }, 1},
		{"Sin64", uniform(-10, 10), Sin64, func(x float64) *big.Float { return bigSin(x, 0) }, 1},
		{"Sin64 1e5", uniform(-1e5, 1e5), Sin64, func(x float64) *big.Float { return bigSin(x, 0) }, 1},
		{"Cos64 1e5", uniform(-1e5, 1e5), Cos64, func(x float64) *big.Float { return bigSin(x, 1) }, 1},
		{"Sin64 integers", func() float64 { return float64(r.IntN(1_600_000)) }, Sin64, func(x float64) *big.Float { return bigSin(x, 0) }, 1},
		{"Sin64 multiples of pi", func() float64 { return float64(r.IntN(500_000)) * math.Pi / 2 }, Sin64, func(x float64) *big.Float { return bigSin(x, 0) }, 1},
		{"Cos64 multiples of pi", func() float64 { return float64(r.IntN(500_000)) * math.Pi / 2 }, Cos64, func(x float64) *big.Float { return bigSin(x, 1) }, 1},
		{"Pow64", func() float64 { powBase = math.Exp(20 * r.Float64()); return 60*r.Float64() - 30 },
			func(e float64) float64 { return Pow64(powBase, e) },
			func(e float64) *big.Float {
				y := bigLog(powBase, math.Log(powBase))
				return bigExp(y.Mul(y, bigOf(e)), 250)
			}, 1.5},
	} {
		worst, at := 0.0, 0.0
		for range 2000 {
			x := f.draw()
			if u := ulps64(f.got(x), f.want(x)); !(u <= worst) {
				worst, at = u, x
			}
		}
		t.Logf("%-22s worst %.3f ulp at %g", f.name, worst, at)
		if !(worst < f.limit) {
			t.Errorf("%s: %.3f ulp at %.17g, stated below %g", f.name, worst, at, f.limit)
		}
	}
}

// Beyond the medium range the absolute error is what is stated.
func TestHugeArguments(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		x := math.Float64frombits(uint64(1024+20+r.IntN(1000))<<52 | r.Uint64()>>12)
		if r.IntN(2) == 0 {
			x = -x
		}
		s, _ := bigSin(x, 0).Float64()
		c, _ := bigSin(x, 1).Float64()
		if math.Abs(Sin64(x)-s) > 0x1p-52 || math.Abs(Cos64(x)-c) > 0x1p-52 {
			t.Fatalf("x=%g: sin %g want %g, cos %g want %g", x, Sin64(x), s, Cos64(x), c)
		}
	}
}

func TestFloat32Errors(t *testing.T) {
	const limit = 0.501 // as stated
	for _, f := range []struct {
		name string
		got  func(float32) float32
		want func(float64) float64
	}{
		{"Exp32", Exp32, math.Exp},
		{"Sigmoid32", Sigmoid32, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }},
		{"SiLU32", SiLU32, func(x float64) float64 { return x / (1 + math.Exp(-x)) }},
		{"Tanh32", Tanh32, math.Tanh},
		{"Erf32", Erf32, math.Erf},
		{"GELU32", GELU32, func(x float64) float64 { return 0.5 * x * math.Erfc(-x/math.Sqrt2) }},
		{"GELUTanh32", GELUTanh32, func(x float64) float64 { return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))) }},
		{"Log32", Log32, math.Log},
	} {
		worst, at := 0.0, float32(0)
		try := func(x float32) {
			if u := ulps32(f.got(x), f.want(float64(x))); u > worst {
				worst, at = u, x
			}
		}
		for u := uint64(0); u < 1<<32; u += 8191 { // every exponent, both signs
			x := math.Float32frombits(uint32(u))
			if math.IsInf(float64(x), 0) {
				continue
			}
			try(x)
		}
		for x := float32(-110); x < 110; x += 0.0031 {
			try(x)
		}
		t.Logf("%-10s worst %.4f ulp at %g", f.name, worst, at)
		if worst > limit {
			t.Errorf("%s: %.4f ulp at %g", f.name, worst, at)
		}
	}
}

// The slopes against differences of the oracle, whose own error is below 1e-9.
func TestGELUSlopes(t *testing.T) {
	gelu := func(x float64) float64 { return 0.5 * x * math.Erfc(-x/math.Sqrt2) }
	tanh := func(x float64) float64 {
		return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	}
	for x := float32(-30); x < 30; x += 0.0137 {
		for name, c := range map[string]struct {
			got float32
			f   func(float64) float64
		}{"GELU": {GELUSlope32(x), gelu}, "GELUTanh": {GELUTanhSlope32(x), tanh}} {
			const h = 1e-5
			want := (c.f(float64(x)+h) - c.f(float64(x)-h)) / (2 * h)
			if d := math.Abs(float64(c.got) - want); !(d < 1.5e-7) {
				t.Errorf("slope of %s at %g is %g, want %g", name, x, c.got, want)
			}
		}
	}
	for _, x := range []float64{math.Inf(1), math.Inf(-1), math.NaN()} {
		for _, y := range []float32{GELUSlope32(float32(x)), GELUTanhSlope32(float32(x))} {
			want := 0.0
			if x > 0 {
				want = 1
			}
			if (y != y) != (x != x) || y == y && math.Abs(float64(y)-want) > 1e-6 {
				t.Errorf("slope at %g is %g", x, y)
			}
		}
	}
}

func TestSpecialValues(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"Exp64(-Inf)", Exp64(-inf), 0}, {"Exp64(710)", Exp64(710), inf}, {"Exp64(NaN)", Exp64(nan), nan}, {"Exp64(0)", Exp64(0), 1},
		{"Log64(0)", Log64(0), -inf}, {"Log64(-1)", Log64(-1), nan}, {"Log64(+Inf)", Log64(inf), inf}, {"Log64(1)", Log64(1), 0}, {"Log64(tiny)", Log64(0x1p-1074), -1074 * math.Ln2},
		{"Sin64(Inf)", Sin64(inf), nan}, {"Cos64(0)", Cos64(0), 1}, {"Sin64(0)", Sin64(0), 0},
		{"Pow64(0,2)", Pow64(0, 2), 0}, {"Pow64(0,-2)", Pow64(0, -2), inf}, {"Pow64(10,0)", Pow64(10, 0), 1}, {"Pow64(10,400)", Pow64(10, 400), inf}, {"Pow64(10,-400)", Pow64(10, -400), 0}, {"Pow64(-1,2)", Pow64(-1, 2), nan}, {"Pow64(2,10)", Pow64(2, 10), 1024}, {"Pow64(10000,0.5)", Pow64(10000, 0.5), 100},
		{"Exp32(-Inf)", float64(Exp32(float32(-inf))), 0}, {"Exp32(Inf)", float64(Exp32(float32(inf))), inf}, {"Exp32(89)", float64(Exp32(89)), inf}, {"Exp32(NaN)", float64(Exp32(float32(nan))), nan},
		{"Sigmoid32(-Inf)", float64(Sigmoid32(float32(-inf))), 0}, {"Sigmoid32(Inf)", float64(Sigmoid32(float32(inf))), 1},
		{"SiLU32(Inf)", float64(SiLU32(float32(inf))), inf}, {"SiLU32(-3e38)", float64(SiLU32(-3e38)), 0},
		{"Tanh32(Inf)", float64(Tanh32(float32(inf))), 1}, {"Tanh32(-9)", float64(Tanh32(-20)), -1}, {"Erf32(-Inf)", float64(Erf32(float32(-inf))), -1}, {"Erf32(NaN)", float64(Erf32(float32(nan))), nan},
	} {
		if c.got != c.want && !(c.got != c.got && c.want != c.want) {
			t.Errorf("%s = %g, want %g", c.name, c.got, c.want)
		}
	}
}

// TestFrozenBits fails when any result changes on any machine: results are part
// of action keys, so a change needs a new linalg.NumericsVersion.
func TestFrozenBits(t *testing.T) {
	h := fnv.New64a()
	put := func(x float64) {
		if x != x {
			x = 12345
		}
		fmt.Fprintf(h, "%016x", math.Float64bits(x))
	}
	for i := range 4000 {
		x := (float64(i) - 2000.25) * 0.0517
		v := float32(x)
		for _, y := range []float32{Exp32(v), Sigmoid32(v), SiLU32(v), Tanh32(v), Erf32(v), Log32(-v)} {
			put(float64(y))
		}
		for _, y := range []float64{Exp64(x), Log64(math.Abs(x)), Sin64(x * 900), Cos64(x * 900), Sin64(x * 1e12), Pow64(10000, x/110)} {
			put(y)
		}
	}
	if got := h.Sum64(); got != frozen {
		t.Errorf("hash of results is %#x, was %#x", got, uint64(frozen))
	}
}

func TestReductions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.SliceOfN(rapid.Float32Range(-1e3, 1e3), 0, 100).Draw(t, "x")
		var l [8]float64
		var sq [8]float64
		for i, v := range x {
			l[i%8] += float64(v)
			sq[i%8] += float64(v) * float64(v)
		}
		if got, want := Sum(x), ((l[0]+l[4])+(l[2]+l[6]))+((l[1]+l[5])+(l[3]+l[7])); got != want {
			t.Fatalf("Sum = %g, lanes give %g", got, want)
		}
		if got, want := SumSq(x), ((sq[0]+sq[4])+(sq[2]+sq[6]))+((sq[1]+sq[5])+(sq[3]+sq[7])); got != want {
			t.Fatalf("SumSq = %g, lanes give %g", got, want)
		}
	})
}

func TestSoftmax(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for n := range 70 {
		row := make([]float32, n)
		want := make([]float64, n)
		sum := 0.0
		for i := range row {
			row[i] = float32(r.NormFloat64() * 5)
			if r.IntN(9) == 0 {
				row[i] = float32(math.Inf(-1))
			}
			want[i] = math.Exp(float64(row[i]))
			sum += want[i]
		}
		if sum == 0 {
			continue
		}
		Softmax(row)
		for i, v := range row {
			if d := math.Abs(float64(v) - want[i]/sum); d > 1.2e-7*want[i]/sum {
				t.Fatalf("n=%d: element %d is %g, want %g", n, i, v, want[i]/sum)
			}
		}
	}
	row := []float32{0, float32(math.NaN()), 1}
	Softmax(row)
	for _, v := range row {
		if v == v {
			t.Errorf("softmax of a row with a NaN is %v", row)
		}
	}
}

func benchVector() []float32 {
	x := make([]float32, 4096)
	for i := range x {
		x[i] = float32(i%200)*0.1 - 10
	}
	return x
}

func BenchmarkExp(b *testing.B) {
	x := benchVector()
	y := make([]float32, len(x))
	for b.Loop() {
		Exp(y, x)
	}
	b.SetBytes(int64(4 * len(x)))
}

func BenchmarkSiLU(b *testing.B) {
	x := benchVector()
	y := make([]float32, len(x))
	for b.Loop() {
		SiLU(y, x)
	}
	b.SetBytes(int64(4 * len(x)))
}

func BenchmarkSoftmax(b *testing.B) {
	x := benchVector()
	y := make([]float32, len(x))
	for b.Loop() {
		copy(y, x)
		Softmax(y)
	}
	b.SetBytes(int64(4 * len(x)))
}

func BenchmarkDot(b *testing.B) {
	x := benchVector()
	for b.Loop() {
		Dot(x, x)
	}
	b.SetBytes(int64(4 * len(x)))
}

const frozen = 0xb192a6a55f841b5a
