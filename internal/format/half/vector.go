//go:build amd64 || arm64

package half

import "github.com/compressc/compressc/internal/linalg/kernel"

// vectorStep is the number of elements that the vector loops take at a time.
const vectorStep = 16

// whole is how many of n elements the vector loops are to convert.
func whole(n int) int {
	if kernel.Active() == kernel.Go {
		return 0
	}
	return n &^ (vectorStep - 1)
}

// widen and narrow convert what whole steps cover and return how many elements
// that is.
func widen(f func(n int, dst *float32, src *byte), dst []float32, src []byte) int {
	n := whole(len(dst))
	if n > 0 {
		f(n, &dst[0], &src[0])
	}
	return n
}

func narrow(f func(n int, dst *byte, src *float32), dst []byte, src []float32) int {
	n := whole(len(src))
	if n > 0 {
		f(n, &dst[0], &src[0])
	}
	return n
}
