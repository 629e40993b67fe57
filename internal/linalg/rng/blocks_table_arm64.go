package rng

import "github.com/compressc/compressc/internal/linalg/kernel"

// blocks is the loop of the active kernel path over n counters, n a positive
// multiple of vectorBlocks.
func blocks(n int, dst *uint32, block, key uint64) {
	if kernel.Active() == kernel.NEON {
		blocksNEON(n, dst, block, key)
		return
	}
	blocksGo(n, dst, block, key)
}
