package rng

import "github.com/compressc/compressc/internal/linalg/kernel"

// blocks is the loop of the active kernel path over n counters, n a positive
// multiple of vectorBlocks.
func blocks(n int, dst *uint32, block, key uint64) {
	switch kernel.Active() {
	case kernel.AVX512:
		blocksAVX512(n, dst, block, key)
	case kernel.AVX2:
		blocksAVX2(n, dst, block, key)
	default:
		blocksGo(n, dst, block, key)
	}
}

// constants are read by the assembler: the multipliers, what the keys grow by,
// and which counter lies in which lane, so that pairs of lanes come out in order.
//
//lint:ignore U1000 only assembler reads it
var constants = func() (c [64]uint64) {
	for i := range 8 {
		c[i], c[8+i] = mul0, mul1
		c[16+i], c[24+i] = weyl0, weyl1
	}
	for i, n := range []uint64{0, 4, 1, 5, 2, 6, 3, 7} {
		c[32+i], c[48+i] = n, 8+n
	}
	for i, n := range []uint64{0, 2, 1, 3} {
		c[40+i], c[56+i] = n, 4+n
	}
	return c
}()
