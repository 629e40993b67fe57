package half

import (
	"encoding/binary"
	"fmt"
	"math"
	"unsafe"

	"github.com/compressc/compressc/internal/tensor"
)

func check(what string, floats, bytes, size int) {
	if bytes != floats*size {
		panic(fmt.Sprintf("half: %s: %d floats need %d bytes, got %d", what, floats, floats*size, bytes))
	}
}

// F16ToF32 widens len(dst) binary16 values; src has 2·len(dst) bytes.
func F16ToF32(dst []float32, src []byte) {
	check("F16ToF32", len(dst), len(src), 2)
	done := widenF16(dst, src)
	dst, src = dst[done:], src[2*done:]
	for len(dst) >= 4 {
		w := binary.LittleEndian.Uint64(src)
		d := dst[:4:4]
		d[0] = FromF16(uint16(w))
		d[1] = FromF16(uint16(w >> 16))
		d[2] = FromF16(uint16(w >> 32))
		d[3] = FromF16(uint16(w >> 48))
		dst, src = dst[4:], src[8:]
	}
	for i := range dst {
		dst[i] = FromF16(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

// F32ToF16 narrows len(src) values; dst has 2·len(src) bytes.
func F32ToF16(dst []byte, src []float32) {
	check("F32ToF16", len(src), len(dst), 2)
	done := narrowF16(dst, src)
	dst, src = dst[2*done:], src[done:]
	for len(src) >= 4 {
		s := src[:4:4]
		w := uint64(ToF16(s[0])) | uint64(ToF16(s[1]))<<16 | uint64(ToF16(s[2]))<<32 | uint64(ToF16(s[3]))<<48
		binary.LittleEndian.PutUint64(dst, w)
		dst, src = dst[8:], src[4:]
	}
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], ToF16(v))
	}
}

// BF16ToF32 widens len(dst) bfloat16 values; src has 2·len(dst) bytes.
func BF16ToF32(dst []float32, src []byte) {
	check("BF16ToF32", len(dst), len(src), 2)
	done := widenBF16(dst, src)
	dst, src = dst[done:], src[2*done:]
	for len(dst) >= 4 {
		w := binary.LittleEndian.Uint64(src)
		d := dst[:4:4]
		d[0] = math.Float32frombits(uint32(w << 16))
		d[1] = math.Float32frombits(uint32(w) & 0xffff0000)
		d[2] = math.Float32frombits(uint32(w>>32) << 16)
		d[3] = math.Float32frombits(uint32(w>>32) & 0xffff0000)
		dst, src = dst[4:], src[8:]
	}
	for i := range dst {
		dst[i] = FromBF16(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

// F32ToBF16 narrows len(src) values; dst has 2·len(src) bytes.
func F32ToBF16(dst []byte, src []float32) {
	check("F32ToBF16", len(src), len(dst), 2)
	done := narrowBF16(dst, src)
	dst, src = dst[2*done:], src[done:]
	for len(src) >= 4 {
		s := src[:4:4]
		w := uint64(ToBF16(s[0])) | uint64(ToBF16(s[1]))<<16 | uint64(ToBF16(s[2]))<<32 | uint64(ToBF16(s[3]))<<48
		binary.LittleEndian.PutUint64(dst, w)
		dst, src = dst[8:], src[4:]
	}
	for i, v := range src {
		binary.LittleEndian.PutUint16(dst[2*i:], ToBF16(v))
	}
}

// F8E4M3ToF32 widens len(dst) F8_E4M3 values; src has len(dst) bytes.
func F8E4M3ToF32(dst []float32, src []byte) {
	check("F8E4M3ToF32", len(dst), len(src), 1)
	for i, b := range src {
		dst[i] = f8e4m3[b]
	}
}

// F32ToF8E4M3 narrows len(src) values as ToF8E4M3 does; dst has len(src) bytes.
func F32ToF8E4M3(dst []byte, src []float32) {
	check("F32ToF8E4M3", len(src), len(dst), 1)
	for i, v := range src {
		dst[i] = ToF8E4M3(v)
	}
}

// F8E5M2ToF32 widens len(dst) F8_E5M2 values; src has len(dst) bytes.
func F8E5M2ToF32(dst []float32, src []byte) {
	check("F8E5M2ToF32", len(dst), len(src), 1)
	for i, b := range src {
		dst[i] = FromF8E5M2(b)
	}
}

// F32FromBytes copies len(dst) little-endian float32 values; src has
// 4·len(dst) bytes.
func F32FromBytes(dst []float32, src []byte) {
	check("F32FromBytes", len(dst), len(src), 4)
	if littleEndian {
		copy(bytesOf(dst), src)
		return
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
}

// F32ToBytes writes src as little-endian bytes; dst has 4·len(src) bytes.
func F32ToBytes(dst []byte, src []float32) {
	check("F32ToBytes", len(src), len(dst), 4)
	if littleEndian {
		copy(dst, bytesOf(src))
		return
	}
	for i, v := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
}

// littleEndian says that the machine's own order is that of files.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// bytesOf is the memory of x.
func bytesOf(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// Decode converts len(dst) elements of a float dtype to float32; src has
// dtype.Size()·len(dst) bytes. F64 is rounded to nearest. An integer dtype is
// an error, because what its numbers mean (codes, ids) is not this package's
// to guess.
func Decode(dtype tensor.DType, dst []float32, src []byte) error {
	switch dtype {
	case tensor.F32:
		F32FromBytes(dst, src)
	case tensor.F16:
		F16ToF32(dst, src)
	case tensor.BF16:
		BF16ToF32(dst, src)
	case tensor.F8E4:
		F8E4M3ToF32(dst, src)
	case tensor.F8E5:
		F8E5M2ToF32(dst, src)
	case tensor.F64:
		check("Decode F64", len(dst), len(src), 8)
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(src[8*i:])))
		}
	default:
		return fmt.Errorf("dtype %s cannot be decoded to float32: expected one of F64, F32, BF16, F16, F8_E4M3, F8_E5M2", dtype)
	}
	return nil
}

// Encode converts src to dtype, rounding to nearest even; dst has
// dtype.Size()·len(src) bytes. Only F32, BF16, F16 and F8_E4M3 are written.
func Encode(dtype tensor.DType, dst []byte, src []float32) error {
	switch dtype {
	case tensor.F32:
		F32ToBytes(dst, src)
	case tensor.F16:
		F32ToF16(dst, src)
	case tensor.BF16:
		F32ToBF16(dst, src)
	case tensor.F8E4:
		F32ToF8E4M3(dst, src)
	default:
		return fmt.Errorf("dtype %s cannot be encoded from float32: expected one of F32, BF16, F16, F8_E4M3", dtype)
	}
	return nil
}
