package vmath

import (
	"math"
	"unsafe"
)

// Loops over weights, scores and codes of rows. A code is a byte u that stands for
// scale·(u − zero); zero points are whole numbers from 0 to 255.

// gridTable are the loops of grids.go and of blocks.go.
type gridTable struct {
	widen    func(n int, dst *float64, x *float32)
	narrow   func(n int, dst *float32, x *float64)
	only     func(n int, dst, x *float32, bits *byte)
	extremes func(n int, x *float32, low, high float32) (least, most float32)
	decode   func(n int, dst *float32, codes *byte, scale, zero float32)
	encode   func(n int, codes *byte, x *float32, zero float32)
	round    func(n int, codes *byte, x *float32, scale, low, high, zero float32)
	scores   func(n int, dst *float64, x *float32, by *float64)
	// finite and finite64 return 0 unless there is an infinity or a NaN.
	finite   func(n int, x *float32) (other int)
	finite64 func(n int, x *float64) (other int)
	// twoOfFour returns 0 unless there is a NaN.
	twoOfFour func(n int, bits *byte, x *float64) (nan int)

	copyBlock    func(columns int, dst *float64, ldd int, src *float64, lds int)
	valueBlock   func(columns int, dst *float64, ldd int, base, scale *float32)
	changeBlock  func(columns int, dst *float64, ldd int, base, scale *float32, from *float64, ldf int)
	dotBlock     func(columns int, sum, x *float64, ldx int, y *float64, ldy int)
	energyBlock  func(columns int, sum, change *float64, ldc int, g *float64, ldg int, product *float64, ldp int)
	acceptBlock  func(columns int, rows *uint64, change *float64, ldc int, product *float64, ldp int, d *float64, ldd int, g *float64, ldg int)
	settle       func(p *Panel, width int, d *float64, ldd int) (moved uint64)
	settleGrid   func(p *Panel, width int, d *float64, ldd int, base *float32) (moved uint64)
	chooseTwoOf4 func(p *Panel, from, to int, inv *float64)
	dropBlock    func(columns int, on *uint64, w *float64, ldw int, inv *float64, limit float64)
}

var goGrids = gridTable{widenGo, narrowGo, onlyGo, extremesGo, decodeGo, encodeGo, roundGo, scoresGo, finiteGo, finite64Go, twoOfFourGo,
	copyBlockGo, valueBlockGo, changeBlockGo, dotBlockGo, energyBlockGo, acceptBlockGo, settleGo, settleGridGo, chooseTwoOf4Go, dropBlockGo}

// Widen sets dst to x.
func Widen(dst []float64, x []float32) {
	same(len(dst), len(x))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().grids.widen(n, &dst[0], &x[0])
	}
	widenGo(len(x)-n, unsafe.SliceData(dst[n:]), unsafe.SliceData(x[n:]))
}

func widenGo(n int, dst *float64, x *float32) {
	d := unsafe.Slice(dst, n)
	for i, v := range unsafe.Slice(x, n) {
		d[i] = float64(v)
	}
}

// Narrow sets dst to x, rounded.
func Narrow(dst []float32, x []float64) {
	same(len(dst), len(x))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().grids.narrow(n, &dst[0], &x[0])
	}
	narrowGo(len(x)-n, unsafe.SliceData(dst[n:]), unsafe.SliceData(x[n:]))
}

func narrowGo(n int, dst *float32, x *float64) {
	d := unsafe.Slice(dst, n)
	for i, v := range unsafe.Slice(x, n) {
		d[i] = float32(v)
	}
}

// Only sets dst[i] to x[i], or to +0 where bit i%8, from the lowest, of byte i/8 of
// bits is 0. dst may be x.
func Only(dst, x []float32, bits []byte) {
	same(len(dst), len(x))
	if len(bits) < (len(x)+7)/8 {
		panic("vmath: too few bits")
	}
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().grids.only(n, &dst[0], &x[0], &bits[0])
	}
	onlyGo(len(x)-n, unsafe.SliceData(dst[n:]), unsafe.SliceData(x[n:]), unsafe.SliceData(bits[n/8:]))
}

func onlyGo(n int, dst, x *float32, bits *byte) {
	d, b := unsafe.Slice(dst, n), unsafe.Slice(bits, (n+7)/8)
	for i, v := range unsafe.Slice(x, n) {
		d[i] = math.Float32frombits(math.Float32bits(v) & -uint32(b[i>>3]>>(i&7)&1))
	}
}

// Extremes returns the least of x and low, and the largest of x and high; NaNs count
// for nothing. Of zeros it may be either.
func Extremes(x []float32, low, high float32) (least, most float32) {
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		low, high = active().grids.extremes(n, &x[0], low, high)
	}
	return extremesGo(len(x)-n, unsafe.SliceData(x[n:]), low, high)
}

func extremesGo(n int, x *float32, low, high float32) (least, most float32) {
	for _, v := range unsafe.Slice(x, n) {
		if v < low {
			low = v
		}
		if v > high {
			high = v
		}
	}
	return low, high
}

// Decode sets dst to scale·(codes − zero), the product rounded.
func Decode(dst []float32, codes []byte, scale float32, zero uint8) {
	same(len(dst), len(codes))
	n := len(dst) &^ (vectorStep - 1)
	if n > 0 {
		active().grids.decode(n, &dst[0], &codes[0], scale, float32(zero))
	}
	decodeGo(len(dst)-n, unsafe.SliceData(dst[n:]), unsafe.SliceData(codes[n:]), scale, float32(zero))
}

func decodeGo(n int, dst *float32, codes *byte, scale, zero float32) {
	d := unsafe.Slice(dst, n)
	for i, u := range unsafe.Slice(codes, n) {
		d[i] = scale * (float32(u) - zero)
	}
}

// Encode sets codes to x + zero, which must be whole numbers from 0 to 255; of a NaN
// it makes 0.
func Encode(codes []byte, x []float32, zero uint8) {
	same(len(codes), len(x))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().grids.encode(n, &codes[0], &x[0], float32(zero))
	}
	encodeGo(len(x)-n, unsafe.SliceData(codes[n:]), unsafe.SliceData(x[n:]), float32(zero))
}

func encodeGo(n int, codes *byte, x *float32, zero float32) {
	c := unsafe.Slice(codes, n)
	for i, v := range unsafe.Slice(x, n) {
		c[i] = uint8(int32(v + zero))
	}
}

// Round sets codes to those from 0 to top that are nearest to x/scale + zero, the
// quotient rounded; halves go to the even distance from zero. Of a NaN it makes 0.
func Round(codes []byte, x []float32, scale float32, zero, top uint8) {
	same(len(codes), len(x))
	n := len(x) &^ (vectorStep - 1)
	z := float32(zero)
	low, high := 0-z, float32(top)-z
	if n > 0 {
		active().grids.round(n, &codes[0], &x[0], scale, low, high, z)
	}
	roundGo(len(x)-n, unsafe.SliceData(codes[n:]), unsafe.SliceData(x[n:]), scale, low, high, z)
}

func roundGo(n int, codes *byte, x *float32, scale, low, high, zero float32) {
	c := unsafe.Slice(codes, n)
	for i, v := range unsafe.Slice(x, n) {
		t := v / scale
		// Clamping before rounding is the same, since the ends are whole numbers,
		// and keeps the sum below exact.
		if t < low {
			t = low
		}
		if t > high {
			t = high
		}
		c[i] = uint8(int32(t + panelMagic - panelMagic + zero))
	}
}

// Finite reports whether x has neither an infinity nor a NaN.
func Finite(x []float32) bool {
	n, other := len(x)&^(vectorStep-1), 0
	if n > 0 {
		other = active().grids.finite(n, &x[0])
	}
	return other|finiteGo(len(x)-n, unsafe.SliceData(x[n:])) == 0
}

func finiteGo(n int, x *float32) (other int) {
	for _, v := range unsafe.Slice(x, n) {
		other |= bit(v-v != 0)
	}
	return other
}

// Finite64 is Finite of float64s.
func Finite64(x []float64) bool {
	n, other := len(x)&^(vectorStep-1), 0
	if n > 0 {
		other = active().grids.finite64(n, &x[0])
	}
	return other|finite64Go(len(x)-n, unsafe.SliceData(x[n:])) == 0
}

func finite64Go(n int, x *float64) (other int) {
	for _, v := range unsafe.Slice(x, n) {
		other |= bit(v-v != 0)
	}
	return other
}

// Scores sets dst to |x|·by in float64.
func Scores(dst []float64, x []float32, by []float64) {
	same(len(dst), len(x))
	same(len(by), len(x))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().grids.scores(n, &dst[0], &x[0], &by[0])
	}
	scoresGo(len(x)-n, unsafe.SliceData(dst[n:]), unsafe.SliceData(x[n:]), unsafe.SliceData(by[n:]))
}

func scoresGo(n int, dst *float64, x *float32, by *float64) {
	d, b := unsafe.Slice(dst, n), unsafe.Slice(by, n)
	for i, v := range unsafe.Slice(x, n) {
		d[i] = math.Abs(float64(v)) * b[i]
	}
}

// TwoOfFour sets the bits, from the lowest of the first byte on, of the two largest
// of every four elements of x, of equal ones those that come last, and clears the
// others. It reports whether all of x are numbers; if not, bits are anything. The
// length of x must be a multiple of 8.
func TwoOfFour(bits []byte, x []float64) bool {
	if len(x)%8 != 0 || len(bits) != len(x)/8 {
		panic("vmath: fours that do not fill bytes")
	}
	n, nan := len(x)&^(vectorStep-1), 0
	if n > 0 {
		nan = active().grids.twoOfFour(n, &bits[0], &x[0])
	}
	return nan|twoOfFourGo(len(x)-n, unsafe.SliceData(bits[n/8:]), unsafe.SliceData(x[n:])) == 0
}

func twoOfFourGo(n int, bits *byte, x *float64) (nan int) {
	b, s := unsafe.Slice(bits, n/8), unsafe.Slice(x, n)
	for i := range b {
		v := s[8*i : 8*i+8]
		b[i] = byte(largerTwo(v[0], v[1], v[2], v[3]) | largerTwo(v[4], v[5], v[6], v[7])<<4)
		for _, u := range v {
			nan |= bit(u != u)
		}
	}
	return nan
}

// largerTwo has bits of the two largest of four, of equal ones of those that come
// last. Each pair is compared once, and there are no branches.
func largerTwo(a, b, c, d float64) int {
	ab, ac, ad, bc, bd, cd := bit(a <= b), bit(a <= c), bit(a <= d), bit(b <= c), bit(b <= d), bit(c <= d)
	ra, rb, rc, rd := ab+ac+ad, 1-ab+bc+bd, 2-ac-bc+cd, 3-ad-bd-cd
	// A rank of 2 or 3 has its second bit set.
	return 15 ^ (ra>>1 | rb>>1<<1 | rc>>1<<2 | rd>>1<<3)
}
