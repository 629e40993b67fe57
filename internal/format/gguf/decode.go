package gguf

import (
	"encoding/binary"
	"fmt"

	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/tensor"
)

// decoders holds one function per block encoding. Each decodes whole blocks:
// lengths have been checked.
var decoders = map[string]func(dst []float32, src []byte){
	"f32":   half.F32FromBytes,
	"f16":   half.F16ToF32,
	"bf16":  half.BF16ToF32,
	"q4_0":  decodeQ4_0,
	"q4_1":  decodeQ4_1,
	"q5_0":  decodeQ5_0,
	"q5_1":  decodeQ5_1,
	"q8_0":  decodeQ8_0,
	"q2_k":  decodeQ2K,
	"q3_k":  decodeQ3K,
	"q4_k":  decodeQ4K,
	"q5_k":  decodeQ5K,
	"q6_k":  decodeQ6K,
	"tq2_0": decodeTQ2,
}

const decodable = "f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q2_k, q3_k, q4_k, q5_k, q6_k, tq2_0"

// CanDequantize reports whether Dequantize knows the encoding.
func CanDequantize(encoding string) bool { return decoders[encoding] != nil }

// Dequantize decodes len(dst) elements, a whole number of blocks, from src in
// stored order. It is an error when the encoding has no decoder or the lengths
// do not belong together.
func Dequantize(encoding string, dst []float32, src []byte) error {
	f := decoders[encoding]
	if f == nil {
		return fmt.Errorf("encoding %q cannot be decoded: expected one of %s", encoding, decodable)
	}
	elems, bytes, _ := BlockSize(encoding)
	if len(dst)%elems != 0 || len(src)%bytes != 0 || len(dst)/elems != len(src)/bytes {
		return fmt.Errorf("%s: %d elements and %d bytes given, expected blocks of %d elements in %d bytes", encoding, len(dst), len(src), elems, bytes)
	}
	f(dst, src)
	return nil
}

// decode is Dequantize for a tensor with or without block encoding.
func decode(meta tensor.Meta, dst []float32, src []byte) error {
	if meta.Encoding != "" {
		return Dequantize(meta.Encoding, dst, src)
	}
	if size := meta.DType.Size(); size*len(dst) != len(src) {
		return fmt.Errorf("%s: %d elements and %d bytes given, expected %d bytes an element", meta, len(dst), len(src), size)
	}
	return half.Decode(meta.DType, dst, src)
}

func f16at(b []byte) float32 { return half.FromF16(uint16(b[0]) | uint16(b[1])<<8) }

// small holds the floats of the codes 0..63: a load is cheaper than a
// conversion and has no dependency on the register's old content.
var small = func() (t [64]float32) {
	for i := range t {
		t[i] = float32(i)
	}
	return t
}()

// centred holds those of the codes 0..15 less 8, signed those of the bytes as int8.
var centred, signed = func() (c [16]float32, s [256]float32) {
	for i := range c {
		c[i] = float32(i - 8)
	}
	for i := range s {
		s[i] = float32(int8(i))
	}
	return c, s
}()

// affineNibbles sets low to scale·q + offset for the codes q in the low halves of b,
// and high for those in the high halves with its own scale and offset.
func affineNibbles(low, high *[16]float32, b *[16]byte, scale, offset, highScale, highOffset float32) {
	for j := 0; j < len(b); j += 4 {
		v := binary.LittleEndian.Uint32(b[j:])
		l, h := (*[4]float32)(low[j:]), (*[4]float32)(high[j:])
		l[0], h[0] = float32(scale*small[v&15])+offset, float32(highScale*small[v>>4&15])+highOffset
		l[1], h[1] = float32(scale*small[v>>8&15])+offset, float32(highScale*small[v>>12&15])+highOffset
		l[2], h[2] = float32(scale*small[v>>16&15])+offset, float32(highScale*small[v>>20&15])+highOffset
		l[3], h[3] = float32(scale*small[v>>24&15])+offset, float32(highScale*small[v>>28])+highOffset
	}
}

func decodeQ4_0(dst []float32, src []byte) {
	for len(dst) > 0 {
		out, b := (*[32]float32)(dst), (*[18]byte)(src)
		d := f16at(b[:])
		for j := 0; j < 16; j += 4 {
			v := binary.LittleEndian.Uint32(b[2+j:])
			l, h := (*[4]float32)(out[j:]), (*[4]float32)(out[j+16:])
			l[0], h[0] = d*centred[v&15], d*centred[v>>4&15]
			l[1], h[1] = d*centred[v>>8&15], d*centred[v>>12&15]
			l[2], h[2] = d*centred[v>>16&15], d*centred[v>>20&15]
			l[3], h[3] = d*centred[v>>24&15], d*centred[v>>28]
		}
		dst, src = dst[32:], src[18:]
	}
}

func decodeQ4_1(dst []float32, src []byte) {
	for len(dst) > 0 {
		out, b := (*[32]float32)(dst), (*[20]byte)(src)
		d, m := f16at(b[:]), f16at(b[2:])
		affineNibbles((*[16]float32)(out[:]), (*[16]float32)(out[16:]), (*[16]byte)(b[4:]), d, m, d, m)
		dst, src = dst[32:], src[20:]
	}
}

func decodeQ5_0(dst []float32, src []byte) {
	for len(dst) > 0 {
		out, b := (*[32]float32)(dst), (*[22]byte)(src)
		d := f16at(b[:])
		qh := uint32(b[2]) | uint32(b[3])<<8 | uint32(b[4])<<16 | uint32(b[5])<<24
		for j, c := range b[6:] {
			j &= 15
			out[j] = d * (small[uint32(c&15)|qh>>j&1<<4] - 16)
			out[j+16] = d * (small[uint32(c>>4)|qh>>(j+16)&1<<4] - 16)
		}
		dst, src = dst[32:], src[22:]
	}
}

func decodeQ5_1(dst []float32, src []byte) {
	for len(dst) > 0 {
		out, b := (*[32]float32)(dst), (*[24]byte)(src)
		d, m := f16at(b[:]), f16at(b[2:])
		qh := uint32(b[4]) | uint32(b[5])<<8 | uint32(b[6])<<16 | uint32(b[7])<<24
		for j, c := range b[8:] {
			j &= 15
			out[j] = float32(d*small[uint32(c&15)|qh>>j&1<<4]) + m
			out[j+16] = float32(d*small[uint32(c>>4)|qh>>(j+16)&1<<4]) + m
		}
		dst, src = dst[32:], src[24:]
	}
}

func decodeQ8_0(dst []float32, src []byte) {
	for len(dst) > 0 {
		out, b := (*[32]float32)(dst), (*[34]byte)(src)
		d := f16at(b[:])
		for j := 0; j < 32; j += 8 {
			v := binary.LittleEndian.Uint64(b[2+j:])
			o := (*[8]float32)(out[j:])
			o[0] = d * signed[v&255]
			o[1] = d * signed[v>>8&255]
			o[2] = d * signed[v>>16&255]
			o[3] = d * signed[v>>24&255]
			o[4] = d * signed[v>>32&255]
			o[5] = d * signed[v>>40&255]
			o[6] = d * signed[v>>48&255]
			o[7] = d * signed[v>>56]
		}
		dst, src = dst[32:], src[34:]
	}
}

// decodeTQ2: two-bit codes 0, 1, 2 for -d, 0, d; per 128 elements 32 bytes,
// element m+32n at bits 2n of byte m.
func decodeTQ2(dst []float32, src []byte) {
	for len(dst) > 0 {
		out, b := (*[256]float32)(dst), (*[66]byte)(src)
		d := f16at(b[64:])
		lut := [4]float32{-d, d * 0, d, 2 * d}
		for part := range 2 {
			for m, c := range b[32*part : 32*part+32] {
				o := out[128*part+m:]
				o[0], o[32], o[64], o[96] = lut[c&3], lut[c>>2&3], lut[c>>4&3], lut[c>>6]
			}
		}
		dst, src = dst[256:], src[66:]
	}
}
