package vmath

import (
	"math"
	"math/big"
	"testing"
)

// The cosine of the angle, computed with 200 bits, is the argument but for what
// half an ulp of the angle changes.
func TestAcos64(t *testing.T) {
	worst := 0.0
	for i := range 2001 {
		x := float64(i-1000) / 1000
		if i%2 == 1 {
			x = math.Copysign(1-math.Ldexp(1, -(i%50)-1), x)
		}
		got := Acos64(x)
		if x == 1 {
			if got != 0 {
				t.Errorf("acos 1 = %v", got)
			}
			continue
		}
		if x == -1 {
			if got != math.Pi {
				t.Errorf("acos -1 = %v", got)
			}
			continue
		}
		// d = (cos got − x) / sin got is how far the angle is off.
		c := bigCos(got)
		d, _ := new(big.Float).Sub(c, big.NewFloat(x)).Float64()
		ulps := math.Abs(d/math.Sin(got)) / (math.Nextafter(got, 4) - got)
		worst = max(worst, ulps)
	}
	t.Logf("largest error %.3f ulp", worst)
	if worst > 1 {
		t.Errorf("an error of %g ulp", worst)
	}
	for _, x := range []float64{1.0000000001, -2, math.NaN(), math.Inf(1)} {
		if got := Acos64(x); got == got {
			t.Errorf("acos %v = %v", x, got)
		}
	}
	if got := Acos64(1e-30); got != math.Pi/2 {
		t.Errorf("acos 1e-30 = %v", got)
	}
}

func bigCos(x float64) *big.Float {
	const prec = 200
	z := new(big.Float).SetPrec(prec).SetFloat64(x)
	z.Mul(z, z)
	sum, term := big.NewFloat(1).SetPrec(prec), big.NewFloat(1).SetPrec(prec)
	for k := 1; k < 60; k++ {
		term.Mul(term, z)
		term.Quo(term, new(big.Float).SetPrec(prec).SetInt64(int64((2*k-1)*(2*k))))
		term.Neg(term)
		sum.Add(sum, term)
	}
	return sum
}
