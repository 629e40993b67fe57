package gguf

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/format/half"
)

// encoders holds one function per encoding; each encodes one block, all of
// whose elements are finite, and reports whether the block's scale and minimum
// fit F16.
var encoders = map[string]func(dst []byte, src *[32]float32) bool{
	"q4_0": encodeQ4_0,
	"q4_1": encodeQ4_1,
	"q5_0": encodeQ5_0,
	"q5_1": encodeQ5_1,
	"q8_0": encodeQ8_0,
}

const encodable = "f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0"

// CanQuantize reports whether Quantize knows the encoding.
func CanQuantize(encoding string) bool {
	return encoders[encoding] != nil || encoding == "f32" || encoding == "f16" || encoding == "bf16"
}

// Quantize encodes src, a whole number of blocks, into dst with the rounding
// of llama.cpp's reference quantisers (quantize_row_*_ref in ggml-quants.c) in
// float32 arithmetic without fused multiply-add, which makes the bytes those
// of the gguf Python package. Codes are chosen with the float32 scale, the
// stored scale is its F16.
//
// It is an error when the encoding has no encoder, the lengths do not belong
// together, or the block encodings meet an element that is not finite or a
// scale beyond F16.
func Quantize(encoding string, dst []byte, src []float32) error {
	elems, bytes, ok := BlockSize(encoding)
	if !ok || !CanQuantize(encoding) {
		return fmt.Errorf("encoding %q cannot be encoded: expected one of %s", encoding, encodable)
	}
	if len(src)%elems != 0 || len(dst)%bytes != 0 || len(src)/elems != len(dst)/bytes {
		return fmt.Errorf("%s: %d elements and %d bytes given, expected blocks of %d elements in %d bytes", encoding, len(src), len(dst), elems, bytes)
	}
	switch encoding {
	case "f32":
		half.F32ToBytes(dst, src)
		return nil
	case "f16":
		half.F32ToF16(dst, src)
		return nil
	case "bf16":
		half.F32ToBF16(dst, src)
		return nil
	}
	f := encoders[encoding]
	for i := 0; i < len(src); i += 32 {
		block := (*[32]float32)(src[i:])
		for j, v := range block {
			if v-v != 0 { // infinity or NaN
				return fmt.Errorf("%s: element %d is %v, expected a finite number", encoding, i+j, v)
			}
		}
		if !f(dst[i/32*bytes:][:bytes], block) {
			return fmt.Errorf("%s: elements %d to %d span more than an F16 scale can express: the largest magnitude is %v", encoding, i, i+31, peak(block))
		}
	}
	return nil
}

// peak returns the element of largest magnitude, the first of equals.
func peak(x *[32]float32) float32 {
	var amax, max float32
	for _, v := range x {
		a := v
		if a < 0 {
			a = -a
		}
		if amax < a {
			amax, max = a, v
		}
	}
	return max
}

func span(x *[32]float32) (lo, hi float32) {
	lo, hi = x[0], x[0]
	for _, v := range x[1:] {
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi
}

// invert returns 1/d, and 0 where that is not a number: for d = 0 as the
// reference does, and for d so small that the quotient overflows, where the
// reference's result is undefined and the stored F16 scale is 0 anyway.
func invert(d float32) float32 {
	id := 1 / d
	if d == 0 || id-id != 0 {
		return 0
	}
	return id
}

// putF16 stores v and reports whether it stayed finite.
func putF16(dst []byte, v float32) bool {
	h := half.ToF16(v)
	binary.LittleEndian.PutUint16(dst, h)
	return h&0x7c00 != 0x7c00
}

func encodeQ4_0(dst []byte, x *[32]float32) bool {
	d := peak(x) / -8
	id := invert(d)
	for j := range 16 {
		lo := min(15, int(float32(x[j]*id)+8.5))
		hi := min(15, int(float32(x[j+16]*id)+8.5))
		dst[2+j] = byte(lo | hi<<4)
	}
	return putF16(dst, d)
}

func encodeQ4_1(dst []byte, x *[32]float32) bool {
	lo, hi := span(x)
	d := (hi - lo) / 15
	id := invert(d)
	for j := range 16 {
		a := min(15, int(float32((x[j]-lo)*id)+0.5))
		b := min(15, int(float32((x[j+16]-lo)*id)+0.5))
		dst[4+j] = byte(a | b<<4)
	}
	return putF16(dst, d) && putF16(dst[2:], lo)
}

func encodeQ5_0(dst []byte, x *[32]float32) bool {
	d := peak(x) / -16
	id := invert(d)
	var q [32]uint8
	for j, v := range x {
		q[j] = uint8(min(31, int(float32(v*id)+16.5)))
	}
	packQ5(dst[2:], &q)
	return putF16(dst, d)
}

func encodeQ5_1(dst []byte, x *[32]float32) bool {
	lo, hi := span(x)
	d := (hi - lo) / 31
	id := invert(d)
	var q [32]uint8
	for j, v := range x {
		q[j] = uint8(min(31, int(float32((v-lo)*id)+0.5)))
	}
	packQ5(dst[4:], &q)
	return putF16(dst, d) && putF16(dst[2:], lo)
}

// packQ5 writes the high bits of 32 five-bit codes as a u32 and then the
// nibbles.
func packQ5(dst []byte, q *[32]uint8) {
	var high uint32
	for j, c := range q {
		high |= uint32(c>>4) << j
	}
	binary.LittleEndian.PutUint32(dst, high)
	for j := range 16 {
		dst[4+j] = q[j]&15 | q[j+16]<<4
	}
}

func encodeQ8_0(dst []byte, x *[32]float32) bool {
	d := float32(math.Abs(float64(peak(x)))) / 127
	id := invert(d)
	for j, v := range x {
		// roundf: half away from zero. The product is below 128, so adding a
		// half in float64 is exact.
		p := float64(float32(v * id))
		dst[2+j] = byte(int8(math.Trunc(p + math.Copysign(0.5, p))))
	}
	return putF16(dst, d)
}
