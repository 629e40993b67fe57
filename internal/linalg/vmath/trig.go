package vmath

import (
	"math"
	"math/bits"
)

// Sin64 returns the sine, error below 1 ulp for |x| < 1.6e6, and below 2⁻⁵² in
// all beyond (msun's k_sin.c and e_rem_pio2.c).
func Sin64(x float64) float64 {
	q, r, lo := reduce(x)
	var v float64
	if q&1 == 0 {
		v = kernelSin(r, lo)
	} else {
		v = kernelCos(r, lo)
	}
	if q&2 != 0 {
		return -v
	}
	return v
}

// Cos64 returns the cosine, with the errors of Sin64.
func Cos64(x float64) float64 {
	q, r, lo := reduce(x)
	var v float64
	if q&1 == 0 {
		v = kernelCos(r, lo)
	} else {
		v = kernelSin(r, lo)
	}
	if (q+1)&2 != 0 {
		return -v
	}
	return v
}

// kernelSin is the sine of x + y, |x| <= π/4, |y| below half an ulp of x.
func kernelSin(x, y float64) float64 {
	z := float64(x * x)
	v := float64(z * x)
	r := horner(z, 1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06, -1.98412698298579493134e-04, 8.33333333332248946124e-03)
	return x - ((float64(z*(float64(0.5*y)-float64(v*r))) - y) - float64(v*-1.66666666666666324348e-01))
}

// kernelCos is the cosine of x + y, |x| <= π/4, |y| below half an ulp of x.
func kernelCos(x, y float64) float64 {
	z := float64(x * x)
	r := float64(z * horner(z, -1.13596475577881948265e-11, 2.08757232129817482790e-09, -2.75573143513906633035e-07, 2.48015872894767294178e-05, -1.38888888888741095749e-03, 4.16666666666666019037e-02))
	hz := float64(0.5 * z)
	w := 1 - hz
	return w + (((1 - w) - hz) + (float64(z*r) - float64(x*y)))
}

// reduce returns x = q·π/2 + r + lo with |r| <= π/4 (and a hair), q mod 4.
func reduce(x float64) (q int, r, lo float64) {
	switch {
	case x != x || math.IsInf(x, 0):
		return 0, math.NaN(), 0
	case math.Abs(x) <= math.Pi/4:
		return 0, x, 0
	case math.Abs(x) < 0x1p20*math.Pi/2:
		return reduceMedium(x)
	}
	q, r = reduceHuge(math.Abs(x))
	if x < 0 {
		return -q & 3, -r, 0
	}
	return q, r, 0
}

// reduceMedium subtracts n·π/2 with π/2 in parts of 33 bits, so that their
// products with n < 2²⁰ are exact: 151 bits of π/2 in all, whatever cancels.
func reduceMedium(x float64) (q int, r, lo float64) {
	const (
		twoOverPi = 6.36619772367581382433e-01
		p1        = 1.57079632673412561417e+00
		p2        = 6.07710050630396597660e-11
		p3        = 2.02226624871116645580e-21
		p3Rest    = 8.47842766036889956997e-32
	)
	n := float64(float64(x*twoOverPi)+roundMagic) - roundMagic
	a := x - float64(n*p1)
	// a - n·p2 as a sum of two, then the same with the third part.
	t := float64(n * p2)
	b := a - t
	bRest := (a - b) - t
	u := float64(n * p3)
	c := b - u
	cRest := ((b - c) - u) + (bRest - float64(n*p3Rest))
	r = c + cRest
	return int(int64(n) & 3), r, cRest - (r - c)
}

// reduceHuge is Payne and Hanek's reduction (Ng, "Argument reduction for huge
// arguments: good to the last bit", 1992): the product of x with the bits of
// 2/π that matter, in integers.
func reduceHuge(x float64) (q int, r float64) {
	u := math.Float64bits(x)
	e := int(u>>52) - 1075 // x = m·2^e, e >= -32 here
	m := u&(1<<52-1) | 1<<52
	// A window of 2/π that starts 64 bits before the binary point of x·2/π's
	// integer part mod 4; higher bits contribute multiples of 4 only.
	pos := e - 2 // first bit of 2/π (from the binary point) whose weight is < 4
	w0, w1, w2 := twoOverPiBits(pos), twoOverPiBits(pos+64), twoOverPiBits(pos+128)
	// m·(w0:w1:w2) mod 2¹⁹², in units of 2^-190.
	h2, _ := bits.Mul64(m, w2)
	h1, l1 := bits.Mul64(m, w1)
	mid, carry := bits.Add64(l1, h2, 0)
	top, _ := bits.Add64(m*w0, h1, carry)
	q = int(top >> 62)
	frac, rest := top<<2|mid>>62, mid<<2
	neg := false
	if frac>>63 != 0 { // above one half: go to the next multiple
		q = (q + 1) & 3
		neg = true
		var borrow uint64
		rest, borrow = bits.Sub64(0, rest, 0)
		frac, _ = bits.Sub64(0, frac, borrow)
	}
	if frac == 0 {
		frac, rest = rest, 0
		r = float64(frac>>11) * 0x1p-117
	} else {
		s := bits.LeadingZeros64(frac)
		frac = frac<<s | rest>>(64-s)
		r = math.Ldexp(float64(frac>>11), -53-s)
	}
	r *= math.Pi / 2
	if neg {
		r = -r
	}
	return q, r
}

// twoOverPiBits returns 64 bits of the binary expansion of 2/π from bit pos
// after the binary point (bit 0 has weight ½); bits before the point are 0.
func twoOverPiBits(pos int) uint64 {
	if pos < 0 {
		if pos <= -64 {
			return 0
		}
		return twoOverPiDigits[0] >> -pos
	}
	i, s := pos/64, pos%64
	v := twoOverPiDigits[i] << s
	if s > 0 {
		v |= twoOverPiDigits[i+1] >> (64 - s)
	}
	return v
}

// twoOverPiDigits are the first 1280 bits of 2/π.
var twoOverPiDigits = [20]uint64{
	0xa2f9836e4e441529,
	0xfc2757d1f534ddc0,
	0xdb6295993c439041,
	0xfe5163abdebbc561,
	0xb7246e3a424dd2e0,
	0x06492eea09d1921c,
	0xfe1deb1cb129a73e,
	0xe88235f52ebb4484,
	0xe99c7026b45f7e41,
	0x3991d639835339f4,
	0x9c845f8bbdf9283b,
	0x1ff897ffde05980f,
	0xef2f118b5a0a6d1f,
	0x6d367ecf27cb09b7,
	0x4f463f669e5fea2d,
	0x7527bac7ebe5f17b,
	0x3d0739f78a5292ea,
	0x6bfb5fb11f8d5d08,
	0x56033046fc7b6bab,
	0xf0cfbc209af4361d,
}
