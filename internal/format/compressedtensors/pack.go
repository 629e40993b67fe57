package compressedtensors

import "fmt"

// layout is where the codes of one sequence lie in its words.
type layout struct {
	bits   int
	padded bool
}

// words returns how many words hold n codes.
func (l layout) words(n int) int {
	if l.padded {
		per := 32 / l.bits
		return (n + per - 1) / per
	}
	return (n*l.bits + 31) / 32
}

// Words returns how many 32-bit words hold a stream of n codes.
func Words(n, bits int) int { return layout{bits: bits}.words(n) }

// PackRows packs codes [rows, cols] along rows into [rows, Words(cols, bits)]:
// code i of a row takes bits [i·bits, (i+1)·bits) of the row's stream, whose
// bit 0 is the least significant bit of the first word. bits is 1 to 8; a code
// of more bits panics.
func PackRows(codes []uint8, rows, cols, bits int) []int32 {
	w := Words(cols, bits)
	out := make([]int32, rows*w)
	for r := range rows {
		packStream(out[r*w:(r+1)*w], 1, codes[r*cols:(r+1)*cols], 1, cols, bits)
	}
	return out
}

// PackColumns packs values [rows, cols] down the rows into
// [Words(rows, bits), cols], as zero points are stored.
func PackColumns(values []uint8, rows, cols, bits int) []int32 {
	out := make([]int32, Words(rows, bits)*cols)
	for c := range cols {
		packStream(out[c:], cols, values[c:], cols, rows, bits)
	}
	return out
}

func packStream(dst []int32, dstStride int, src []uint8, srcStride, n, bits int) {
	var acc uint64
	have, word := 0, 0
	for i := range n {
		code := src[i*srcStride]
		if code>>bits != 0 {
			panic(fmt.Sprintf("compressedtensors: code %d does not fit %d bits", code, bits))
		}
		acc |= uint64(code) << have
		have += bits
		if have >= 32 {
			dst[word*dstStride] = int32(uint32(acc))
			acc >>= 32
			have -= 32
			word++
		}
	}
	if have > 0 {
		dst[word*dstStride] = int32(uint32(acc))
	}
}

// unpackRows undoes PackRows, or reads rows of padded words.
func unpackRows(words []int32, rows, cols int, l layout) ([]uint8, error) {
	w := l.words(cols)
	if len(words) != rows*w {
		return nil, fmt.Errorf("compressed-tensors: %d words for %d rows of %d codes of %d bits; expected %d", len(words), rows, cols, l.bits, rows*w)
	}
	out := make([]uint8, rows*cols)
	for r := range rows {
		unpack(out[r*cols:(r+1)*cols], 1, words[r*w:(r+1)*w], 1, cols, l)
	}
	return out, nil
}

// unpackColumns undoes PackColumns, or reads columns of padded words.
func unpackColumns(words []int32, rows, cols int, l layout) ([]uint8, error) {
	if w := l.words(rows); len(words) != w*cols {
		return nil, fmt.Errorf("compressed-tensors: %d words for %d columns of %d zero points of %d bits; expected %d", len(words), cols, rows, l.bits, w*cols)
	}
	out := make([]uint8, rows*cols)
	for c := range cols {
		unpack(out[c:], cols, words[c:], cols, rows, l)
	}
	return out, nil
}

func unpack(dst []uint8, dstStride int, src []int32, srcStride, n int, l layout) {
	top := uint64(1)<<l.bits - 1
	var acc uint64
	have, word := 0, 0
	for i := range n {
		if have < l.bits {
			if l.padded {
				acc, have = 0, 0 // what is left of the word is padding
			}
			acc |= uint64(uint32(src[word*srcStride])) << have
			have += 32
			word++
		}
		dst[i*dstStride] = uint8(acc & top)
		acc >>= l.bits
		have -= l.bits
	}
}
