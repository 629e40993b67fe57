package kernel

import "math"

// FMA32 returns a·b + c rounded once to float32, in software. The product is
// exact in float64; the float64 sum s is then off from the exact sum by less
// than half a unit of s, so narrowing s rounds correctly unless s sits on a
// float32 rounding boundary (or is in float32's denormal range, where the
// boundaries lie elsewhere).
func FMA32(a, b, c float32) float32 {
	s := float64(float64(a)*float64(b)) + float64(c)
	u := math.Float64bits(s)
	if u&0x1fffffff != 0x10000000 && u&0x7ff0000000000000 >= 0x3810000000000000 {
		return float32(s)
	}
	return fma32Slow(a, b, c)
}

// fma32Slow rounds the exact sum to odd in float64 (Boldo and Melquiond,
// "Emulation of a FMA and correctly-rounded sums", IEEE TC 57, 2008) so that
// narrowing cannot round twice.
func fma32Slow(a, b, c float32) float32 {
	p := float64(float64(a) * float64(b))
	z := float64(c)
	s := p + z
	bb := s - p
	e := (p - (s - bb)) + (z - bb)
	if e != 0 && !math.IsInf(s, 0) && s == s {
		u := math.Float64bits(s)
		if u&1 == 0 {
			if (e > 0) == (s > 0) {
				u++
			} else {
				u--
			}
			s = math.Float64frombits(u)
		}
	}
	return float32(s)
}
