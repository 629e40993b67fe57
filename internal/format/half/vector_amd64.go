package half

import (
	"golang.org/x/sys/cpu"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// vectorStep is the number of elements that the vector loops take at a time.
const vectorStep = 16

// F16C is not among what the cpu package tells of; every processor with AVX2 has
// that older extension too.
var hasVectors = cpu.X86.HasAVX2

// vectors reports whether the loops in assembler are to be used.
func vectors() bool { return hasVectors && kernel.Active() != kernel.Go }

//go:noescape
func bf16ToF32AVX2(n int, dst *float32, src *byte)

//go:noescape
func f16ToF32AVX2(n int, dst *float32, src *byte)

//go:noescape
func f32ToF16AVX2(n int, dst *byte, src *float32)

//go:noescape
func f32ToBF16AVX2(n int, dst *byte, src *float32)

// widen and narrow convert what whole steps cover and return how many elements
// that is.
func widen(f func(n int, dst *float32, src *byte), dst []float32, src []byte) int {
	n := len(dst) &^ (vectorStep - 1)
	if n == 0 || !vectors() {
		return 0
	}
	f(n, &dst[0], &src[0])
	return n
}

func narrow(f func(n int, dst *byte, src *float32), dst []byte, src []float32) int {
	n := len(src) &^ (vectorStep - 1)
	if n == 0 || !vectors() {
		return 0
	}
	f(n, &dst[0], &src[0])
	return n
}

func widenF16(dst []float32, src []byte) int   { return widen(f16ToF32AVX2, dst, src) }
func widenBF16(dst []float32, src []byte) int  { return widen(bf16ToF32AVX2, dst, src) }
func narrowF16(dst []byte, src []float32) int  { return narrow(f32ToF16AVX2, dst, src) }
func narrowBF16(dst []byte, src []float32) int { return narrow(f32ToBF16AVX2, dst, src) }
