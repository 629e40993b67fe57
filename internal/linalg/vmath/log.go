package vmath

import "math"

// Log64 returns the natural logarithm, error below 1 ulp (msun's e_log.c).
// Log64(0) is -Inf, of a negative number NaN.
func Log64(x float64) float64 {
	switch {
	case x != x || math.IsInf(x, 1):
		return x
	case x < 0:
		return math.NaN()
	case x == 0:
		return math.Inf(-1)
	}
	f, k := split(x)
	f--
	s := f / (2 + f)
	z := float64(s * s)
	w := float64(z * z)
	t1 := float64(z * horner(w, 1.479819860511658591e-01, 1.818357216161805012e-01, 2.857142874366239149e-01, 6.666666666666735130e-01))
	t2 := float64(w * horner(w, 1.531383769920937332e-01, 2.222219843214978396e-01, 3.999999999940941908e-01))
	r := t1 + t2
	h := float64(float64(0.5*f) * f)
	return float64(k*ln2Hi) - ((h - (float64(s*(h+r)) + float64(k*ln2Lo))) - f)
}

// split returns x = f·2^k with f in [√½, √2).
func split(x float64) (f, k float64) {
	f, e := math.Frexp(x)
	if f < math.Sqrt2/2 {
		f *= 2
		e--
	}
	return f, float64(e)
}

// Log32 returns the natural logarithm, error below 0.501 ulp.
func Log32(x float32) float32 { return float32(Log64(float64(x))) }

// Pow64 returns base^e for base > 0, error below 1.5 ulp where the result is
// normal; NaN for other bases except that base 0 gives 0, 1 or +Inf.
func Pow64(base, e float64) float64 {
	switch {
	case e == 0 || base == 1:
		return 1
	case base != base || e != e || base < 0:
		return math.NaN()
	case base == 0 || math.IsInf(base, 1):
		if (base == 0) == (e > 0) {
			return 0
		}
		return math.Inf(1)
	case math.IsInf(e, 0):
		if (base > 1) == (e > 0) {
			return math.Inf(1)
		}
		return 0
	}
	hi, lo := logPair(base)
	y := float64(e * hi)
	if math.Abs(y) > 800 {
		return Exp64(y)
	}
	rest := math.FMA(e, hi, -y) + float64(e*lo)
	p := Exp64(y)
	if math.IsInf(p, 0) {
		return p
	}
	return math.FMA(p, rest, p)
}

// logPair returns log x as an unevaluated sum, to about 2⁻⁶⁰ of its size.
func logPair(x float64) (hi, lo float64) {
	m, k := split(x)
	// s = (m-1)/(m+1) with its remainder: both terms of the series that matter
	// are then known beyond float64.
	n, d := m-1, m+1
	dLo := m - (d - 1)
	s := n / d
	sLo := (math.FMA(-s, d, n) - float64(s*dLo)) / d
	z := float64(s * s)
	tail := float64(float64(s*z) * horner(z, 2.0/21, 2.0/19, 2.0/17, 2.0/15, 2.0/13, 2.0/11, 2.0/9, 2.0/7, 2.0/5, 2.0/3))
	a := float64(k * ln2Hi) // exact: ln2Hi has 32 bits
	b := 2 * s
	sum := a + b
	v := sum - a
	rest := (a - (sum - v)) + (b - v)
	rest += (float64(k*ln2Lo) + tail) + 2*sLo
	hi = sum + rest
	return hi, rest - (hi - sum)
}
