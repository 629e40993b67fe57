package grid

import (
	"math"

	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// Fit returns the grid of one group of weights: a finite scale above zero, and a
// zero point in [0, MaxCode]. A group of zeros gets scale 1. The weights must be
// finite.
//
// A scale that the ScaleDType cannot hold becomes the nearest value above zero
// that it can hold; the codes then saturate or are all zero points.
func (s Spec) Fit(w []float32) (scale float32, zero uint8) {
	lo, hi := vmath.Extremes(w, 0, 0) // zero is forced inside the range
	if s.Symmetric {
		hi = max(hi, -lo)
		lo = -hi
	}
	if lo == 0 && hi == 0 {
		return s.grid(0, 0)
	}
	if s.MSE {
		return s.search(w, lo, hi)
	}
	return s.grid(lo, hi)
}

// grid returns the grid whose codes span [lo, hi], lo ≤ 0 ≤ hi; lo = −hi if
// symmetric.
func (s Spec) grid(lo, hi float32) (scale float32, zero uint8) {
	top := float32(s.MaxCode())
	switch {
	case lo == 0 && hi == 0:
		scale = 1
	case s.Symmetric:
		// The half-integral divisor is the same quotient as 2·hi/top, and does
		// not overflow.
		scale = s.Storable(hi / (top / 2))
	case hi-lo > math.MaxFloat32:
		scale = s.Storable(hi/top - lo/top)
	default:
		scale = s.Storable((hi - lo) / top)
	}
	if s.Symmetric {
		return scale, uint8(1 << (s.Bits - 1))
	}
	z := math.RoundToEven(float64(-lo / scale))
	return scale, uint8(min(max(z, 0), float64(top)))
}

// Limits of the scale types: the smallest and the largest values above zero.
const (
	minF16 = 0x1p-24
	maxF16 = 65504
)

// Storable returns the scale above zero that can be stored and is nearest to v.
func (s Spec) Storable(v float32) float32 {
	if s.ScaleDType == F16 {
		return min(max(half.FromF16(half.ToF16(v)), minF16), maxF16)
	}
	return max(v, math.SmallestNonzeroFloat32)
}

// The range search of the published GPTQ code: shrink by 0 to 79 percent,
// compare the errors in this norm.
const shrinkSteps = 80

func (s Spec) search(w []float32, lo, hi float32) (scale float32, zero uint8) {
	best := math.Inf(1)
	for i := range shrinkSteps {
		p := 1 - float32(i)/100
		sc, z := s.grid(p*lo, p*hi)
		if e := s.rangeError(w, sc, z, best); e < best {
			best, scale, zero = e, sc, z
		}
	}
	return scale, zero
}

// rangeError returns Σ|s·(u−z) − w|^2.4, or any value of at least limit once
// the sum has reached it.
func (s Spec) rangeError(w []float32, scale float32, zero uint8, limit float64) float64 {
	sum := 0.0
	r := s.rounder(scale, zero)
	for len(w) > 0 {
		n := min(len(w), 16)
		for _, v := range w[:n] {
			d := float64(r.Value(r.code(v))) - float64(v)
			sum += pow24(float64(d * d))
		}
		if sum >= limit {
			return sum
		}
		w = w[n:]
	}
	return sum
}

// pow24 returns |d|^2.4 for t = d², within a relative 1e-4: t times its fifth
// root, by two Newton steps from an estimate that divides the exponent by five.
// Only basic arithmetic, so the bits are the same everywhere.
func pow24(t float64) float64 {
	if t < 0x1p-200 { // also keeps the fourth powers below normal
		return 0
	}
	const bias = 1023 << 52
	y := math.Float64frombits((math.Float64bits(t)-bias)/5 + bias)
	if t < 1 {
		y = math.Float64frombits(bias - (bias-math.Float64bits(t))/5)
	}
	for range 2 {
		y2 := float64(y * y)
		y = float64(0.8*y) + float64(0.2*(t/float64(y2*y2)))
	}
	return float64(t * y)
}
