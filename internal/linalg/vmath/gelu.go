package vmath

import "math"

const (
	// gelu1 and gelu3 are the coefficients of 2·√(2/π)·(x + 0.044715·x³).
	gelu1 = 1.59576912160573071176
	gelu3 = 0.07135481627260025
	// invSqrt2 is 1/√2, invSqrt2Pi 1/√(2π).
	invSqrt2   = 0.70710678118654752440
	invSqrt2Pi = 0.39894228040143267794
)

// GELUTanh32 returns x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))), the activation
// of GPT-2, as x/(1+e^-p): error below 0.501 ulp of normal results.
// GELUTanh32(-Inf) is -Inf: an activation that overflowed stays visible.
func GELUTanh32(x float32) float32 {
	v := float64(x)
	p := float64(v * math.FMA(float64(v*v), gelu3, gelu1))
	return float32(v / (1 + exp37(-p)))
}

// GELUTanhSlope32 returns the derivative of GELUTanh32, error below 1.5e-7.
func GELUTanhSlope32(x float32) float32 {
	v := min(max(float64(x), -16), 16) // beyond, it is 0 or 1
	z := float64(v * v)
	s := 1 / (1 + exp37(-float64(v*math.FMA(z, gelu3, gelu1))))
	return float32(s + float64(float64(float64(v*s)*(1-s))*math.FMA(z, 3*gelu3, gelu1)))
}

// GELU32 returns x·Φ(x) = x/2·(1 + erf(x/√2)), error below 0.51 ulp of normal
// results.
func GELU32(x float32) float32 {
	v := float64(x)
	return float32(float64(v * normalCDF(v)))
}

// GELUSlope32 returns the derivative of GELU32, Φ(x) + x·φ(x), error below
// 1.5e-7.
func GELUSlope32(x float32) float32 {
	v := min(max(float64(x), -16), 16)
	return float32(normalCDF(v) + float64(float64(v*invSqrt2Pi)*exp37(float64(-0.5*float64(v*v)))))
}

// normalCDF returns Φ(v) to a relative error of about 2⁻³⁰.
func normalCDF(v float64) float64 {
	t := float64(math.Abs(v) * invSqrt2)
	if t != t {
		return t
	}
	if t < 0.84375 {
		z := float64(t * t)
		e := float64(t*(horner(z, erfP...)/horner(z, erfQ...))) + t
		return 0.5 + float64(0.5*math.Copysign(e, v))
	}
	var upper float64 // erfc(t)
	switch {
	case t < 1.25:
		s := t - 1
		upper = 1 - 8.45062911510467529297e-01 - horner(s, erfA...)/horner(s, erfAQ...)
	case t < 1/0.35:
		s := 1 / float64(t*t)
		upper = exp37(-float64(t*t)-0.5625+horner(s, erfR...)/horner(s, erfS...)) / t
	case t < 28:
		s := 1 / float64(t*t)
		upper = exp37(-float64(t*t)-0.5625+horner(s, erfRB...)/horner(s, erfSB...)) / t
	}
	if v < 0 {
		return 0.5 * upper
	}
	return 1 - float64(0.5*upper)
}

// The fit of msun's s_erf.c from 1/0.35 on; its licence is in erf.go.
var (
	erfRB = []float64{-4.83519191608651397019e+02, -1.02509513161107724954e+03, -6.37566443368389627722e+02, -1.60636384855821916062e+02, -1.77579549177547519889e+01, -7.99283237680523006574e-01, -9.86494292470009928597e-03}
	erfSB = []float64{-2.24409524465858183362e+01, 4.74528541206955367215e+02, 2.55305040643316442583e+03, 3.19985821950859553908e+03, 1.53672958608443695994e+03, 3.25792512996573918826e+02, 3.03380607434824582924e+01, 1}
)
