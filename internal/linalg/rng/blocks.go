package rng

import "unsafe"

//go:generate go run gen/main.go gen/neon.go

// vectorBlocks is the number of counters that the vector loops take at a time.
const vectorBlocks = 16

// blocksGo sets dst, four numbers a counter, to Philox of n counters from block on.
func blocksGo(n int, dst *uint32, block, key uint64) {
	to := unsafe.Slice((*[4]uint32)(unsafe.Pointer(dst)), n)
	for i := range to {
		b := block + uint64(i)
		to[i] = philox([4]uint32{uint32(b), uint32(b >> 32)}, [2]uint32{uint32(key), uint32(key >> 32)})
	}
}
