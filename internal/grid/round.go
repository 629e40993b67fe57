package grid

import "math"

// Rounder chooses codes on one grid.
type Rounder struct {
	scale  float32
	lo, hi float32 // the smallest and the largest u−z
	zero   int32
}

func (s Spec) rounder(scale float32, zero uint8) Rounder {
	return Rounder{scale: scale, lo: -float32(zero), hi: float32(s.MaxCode() - int(zero)), zero: int32(zero)}
}

// roundMagic added to a float32 of magnitude below 2^22 leaves the number
// rounded to nearest, ties to even, in the low bits.
const roundMagic = 3 << 22

// code returns the code of v, which must be a number.
func (r Rounder) code(v float32) uint8 {
	t := v / r.scale
	// Clamping before rounding is the same, since the ends are whole numbers,
	// and keeps the sum below exact.
	if t < r.lo {
		t = r.lo
	}
	if t > r.hi {
		t = r.hi
	}
	n := int32(math.Float32bits(t+roundMagic)) - int32(math.Float32bits(roundMagic))
	return uint8(n + r.zero)
}

// Value returns what code u reads back as.
func (r Rounder) Value(u uint8) float32 { return r.scale * float32(int32(u)-r.zero) }

// Round returns the code of v and the value it reads back as. v must be a
// number.
func (r Rounder) Round(v float32) (code uint8, value float32) {
	u := r.code(v)
	return u, r.Value(u)
}
