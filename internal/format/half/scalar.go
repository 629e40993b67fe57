package half

import "math"

// FromF16 returns the value of an IEEE binary16 bit pattern.
func FromF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	em := uint32(h & 0x7fff)
	switch {
	case em >= 0x7c00: // infinity or NaN: all exponent bits set
		bits := sign | 0x7f800000 | (em&0x3ff)<<13
		if em > 0x7c00 { // as the vector instruction does
			bits |= 1 << 22
		}
		return math.Float32frombits(bits)
	case em >= 0x0400: // normal: rebias the exponent from 15 to 127
		return math.Float32frombits(sign | (em<<13 + 112<<23))
	default:
		// Subnormal: em·2^-24. 0.5 has an ulp of 2^-24, so the mantissa can be
		// dropped in below it and 0.5 taken off again, exactly.
		v := math.Float32frombits(0x3f000000|em) - 0.5
		return math.Float32frombits(math.Float32bits(v) | sign)
	}
}

// ToF16 rounds v to the nearest IEEE binary16, ties to even; magnitudes of
// 65520 and more become infinity.
func ToF16(v float32) uint16 {
	b := math.Float32bits(v)
	sign := uint16(b>>16) & 0x8000
	b &= 0x7fffffff
	switch {
	case b >= 0x47800000: // 65536 and up, infinity, NaN
		if b > 0x7f800000 {
			return sign | 0x7e00 | uint16(b>>13)&0x3ff
		}
		return sign | 0x7c00
	case b >= 0x38800000: // at least 2^-14: a normal result, or rounds up to infinity
		b += 0xfff + b>>13&1
		return sign | uint16((b-112<<23)>>13)
	default:
		// Subnormal: adding 0.5 makes the hardware round at 2^-24, half to even.
		v := math.Float32frombits(b) + 0.5
		return sign | uint16(math.Float32bits(v)-0x3f000000)
	}
}

// FromBF16 returns the value of a bfloat16 bit pattern.
func FromBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// ToBF16 rounds v to the nearest bfloat16, ties to even.
func ToBF16(v float32) uint16 {
	b := math.Float32bits(v)
	if b&0x7fffffff > 0x7f800000 {
		// Setting the quiet bit also keeps a NaN whose payload lies wholly in
		// the dropped half from turning into infinity.
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// FromF8E5M2 returns the value of an F8_E5M2 bit pattern, which is the upper
// half of a binary16.
func FromF8E5M2(b uint8) float32 { return FromF16(uint16(b) << 8) }

// FromF8E4M3 returns the value of an F8_E4M3 bit pattern: bias 7, no
// infinities, NaN only as 0x7f and 0xff, largest value 448 (OFP8, 5.1; the
// "fn" variant of other libraries).
func FromF8E4M3(b uint8) float32 { return f8e4m3[b] }

var f8e4m3 = func() (table [256]float32) {
	for i := range table {
		sign := uint32(i&0x80) << 24
		exp, mant := uint32(i>>3&15), uint32(i&7)
		switch {
		case i&0x7f == 0x7f:
			table[i] = math.Float32frombits(sign | 0x7fc00000)
		case exp == 0: // mant·2^-9
			v := float32(mant) * (1.0 / 512)
			table[i] = math.Float32frombits(math.Float32bits(v) | sign)
		default:
			table[i] = math.Float32frombits(sign | (exp+120)<<23 | mant<<20)
		}
	}
	return table
}()

// ToF8E4M3 rounds v to the nearest F8_E4M3, ties to even. Magnitudes beyond
// 448, infinities included, become ±448: the format has no infinity, and a
// quantiser wants clipping rather than NaN.
func ToF8E4M3(v float32) uint8 {
	b := math.Float32bits(v)
	sign := uint8(b>>24) & 0x80
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7f
	case b >= 0x43e80000: // 464, half way between 448 and the missing 480
		return sign | 0x7e
	case b >= 0x3c800000: // at least 2^-6: a normal result
		b += 0x7ffff + b>>20&1
		return sign | uint8((b-120<<23)>>20)
	default:
		// Subnormal: 2^14 has an ulp of 2^-9, the spacing wanted.
		v := math.Float32frombits(b) + 16384
		return sign | uint8(math.Float32bits(v)-0x46800000)
	}
}
