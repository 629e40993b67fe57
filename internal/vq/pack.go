package vq

import "fmt"

// Packed returns the bytes that n indices of so many bits take.
func Packed(n, bits int) int { return (n*bits + 7) / 8 }

// Pack writes indices of so many bits one after the other, the lowest bit first.
func Pack(index []int32, bits int) []byte {
	b := make([]byte, Packed(len(index), bits))
	for i, x := range index {
		for at := i * bits; x != 0; at++ {
			b[at/8] |= byte(x&1) << (at % 8)
			x >>= 1
		}
	}
	return b
}

// Unpack reads n indices that Pack wrote.
func Unpack(b []byte, n, bits int) ([]int32, error) {
	if n < 0 || bits < 1 || bits > 16 || len(b) != Packed(n, bits) {
		return nil, fmt.Errorf("vq: %d bytes are not %d indices of %d bits", len(b), n, bits)
	}
	index := make([]int32, n)
	for i := range index {
		at := i * bits
		// At most 16 bits from any bit on lie in three bytes.
		word := uint32(b[at/8])
		for k := 1; k < 3 && at/8+k < len(b); k++ {
			word |= uint32(b[at/8+k]) << (8 * k)
		}
		index[i] = int32(word >> (at % 8) & (1<<bits - 1))
	}
	return index, nil
}
