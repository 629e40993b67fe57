//go:build !amd64 && !arm64

package rng

func blocks(n int, dst *uint32, block, key uint64) { blocksGo(n, dst, block, key) }
