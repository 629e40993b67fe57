package vmath

import "math"

// Acos64 returns the angle in [0, π] whose cosine is x, error below 1 ulp; NaN
// outside [-1, 1] (msun's e_acos.c).
func Acos64(x float64) float64 {
	const (
		piHi = 3.14159265358979311600e+00
		piLo = 1.22464679914735317636e-16 // π − piHi
	)
	switch {
	case x != x || x > 1 || x < -1:
		return math.NaN()
	case x == 1:
		return 0
	case x == -1:
		return piHi
	case math.Abs(x) < 0x1p-57:
		return piHi / 2
	case math.Abs(x) < 0.5:
		r := acosRatio(x * x)
		return piHi/2 - (x - (piLo/2 - float64(x*r)))
	case x < 0:
		z := float64((1 + x) * 0.5)
		s := math.Sqrt(z)
		w := float64(acosRatio(z)*s) - piLo/2
		return piHi - float64(2*(s+w))
	}
	z := float64((1 - x) * 0.5)
	s := math.Sqrt(z)
	df := math.Float64frombits(math.Float64bits(s) &^ 0xffffffff)
	c := (z - float64(df*df)) / (s + df) // what df lacks of the root
	w := float64(acosRatio(z)*s) + c
	return 2 * (df + w)
}

// acosRatio is (asin(√z) − √z) / √z for 0 ≤ z ≤ 1/4.
func acosRatio(z float64) float64 {
	p := float64(z*3.47933107596021167570e-05) + 7.91534994289814532176e-04
	p = float64(z*p) - 4.00555345006794114027e-02
	p = float64(z*p) + 2.01212532134862925881e-01
	p = float64(z*p) - 3.25565818622400915405e-01
	p = float64(z*p) + 1.66666666666666657415e-01
	q := float64(z*7.70381505559019352791e-02) - 6.88283971605453293030e-01
	q = float64(z*q) + 2.02094576023350569471e+00
	q = float64(z*q) - 2.40339491173441421878e+00
	q = float64(z*q) + 1
	return float64(z*p) / q
}
