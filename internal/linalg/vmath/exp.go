package vmath

import (
	"math"
)

const (
	log2e = 1.44269504088896338700
	ln2   = 0.693147180559945309417
	// roundMagic added to and subtracted from |t| < 2⁵¹ rounds it to an integer,
	// ties to even.
	roundMagic = 0x1.8p52
	// expLimit keeps e^x a normal float64, far outside float32's range.
	expLimit = 708
)

// expCoefficients are 1/k! for k = 9 down to 0: on |r| <= ln2/2 the series
// misses e^r by less than 2⁻³⁷.
var expCoefficients = [10]float64{
	1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1, 1,
}

// exp37 returns e^x to a relative error of 2⁻³⁷, x clamped to ±expLimit.
func exp37(x float64) float64 {
	if x != x {
		return x
	}
	x = min(max(x, -expLimit), expLimit)
	n := float64(float64(x*log2e)+roundMagic) - roundMagic
	r := math.FMA(n, -ln2, x)
	p := expCoefficients[0]
	for _, c := range expCoefficients[1:] {
		p = math.FMA(p, r, c)
	}
	return math.Float64frombits(math.Float64bits(p) + uint64(int64(n))<<52)
}

// Exp32 returns e^x, error below 0.501 ulp; overflow gives +Inf, underflow
// denormals and 0.
func Exp32(x float32) float32 { return float32(exp37(float64(x))) }

// Sigmoid32 returns 1/(1+e^-x), error below 0.501 ulp.
func Sigmoid32(x float32) float32 { return float32(1 / (1 + exp37(-float64(x)))) }

// SiLU32 returns x/(1+e^-x), error below 0.501 ulp. SiLU32(-Inf) is -Inf: an
// activation that overflowed stays visible.
func SiLU32(x float32) float32 {
	v := float64(x)
	return float32(v / (1 + exp37(-v)))
}

// Tanh32 returns the hyperbolic tangent, error below 0.501 ulp.
func Tanh32(x float32) float32 {
	v := float64(x)
	if math.Abs(v) < 0.0625 {
		// Taylor: 1 - 2/(e^2x+1) would cancel.
		z := float64(v * v)
		p := math.FMA(z, 62.0/2835, -17.0/315)
		p = math.FMA(p, z, 2.0/15)
		p = math.FMA(p, z, -1.0/3)
		return float32(math.FMA(float64(p*z), v, v))
	}
	return float32(1 - 2/(exp37(2*v)+1))
}

const (
	ln2Hi = 6.93147180369123816490e-01
	ln2Lo = 1.90821492927058770002e-10
)

// Exp64 returns e^x, error below 1 ulp, or 1.5 ulp of a denormal result (msun's
// e_exp.c).
func Exp64(x float64) float64 {
	switch {
	case x != x || math.IsInf(x, 1):
		return x
	case x > 7.09782712893383973096e+02:
		return math.Inf(1)
	case x < -7.45133219101941108420e+02:
		return 0
	case math.Abs(x) < 0x1p-28:
		return 1 + x
	}
	n := float64(float64(x*log2e)+roundMagic) - roundMagic
	hi := x - float64(n*ln2Hi)
	lo := float64(n * ln2Lo)
	r := hi - lo
	t := float64(r * r)
	c := r - float64(t*horner(t, 4.13813679705723846039e-08, -1.65339022054652515390e-06, 6.61375632143793436117e-05, -2.77777777770155933842e-03, 1.66666666666666019037e-01))
	y := 1 - ((lo - float64(r*c)/(2-c)) - hi)
	return math.Ldexp(y, int(n))
}

// horner evaluates a polynomial, highest coefficient first, rounding after
// every multiplication.
func horner(x float64, c ...float64) float64 {
	p := c[0]
	for _, v := range c[1:] {
		p = float64(p*x) + v
	}
	return p
}
