//go:build unix

package rng

import (
	"testing"

	"github.com/compressc/compressc/internal/linalg/kernel"
	"github.com/compressc/compressc/internal/linalg/kernel/kerneltest"
)

// No path writes past the end of a slice.
func TestUint32sStaysInside(t *testing.T) {
	s := New(1, "guard")
	for n := range 3 * 4 * vectorBlocks {
		dst := kerneltest.Guarded[uint32](t, n)
		for _, path := range kernel.Paths() {
			for from := uint64(0); from < 4; from += 2 {
				restore := kernel.Use(path)
				s.Uint32s(dst, from)
				restore()
			}
		}
	}
}
