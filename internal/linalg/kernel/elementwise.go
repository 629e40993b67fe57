package kernel

import (
	"fmt"
	"unsafe"
)

// Divide divides every element of x by d.
func Divide(x []float64, d float64) {
	n := len(x) &^ 7
	if n > 0 {
		active.divide(n, &x[0], d)
	}
	for i := n; i < len(x); i++ {
		x[i] /= d
	}
}

func divideGo(n int, x *float64, d float64) {
	for i, v := range unsafe.Slice(x, n) {
		unsafe.Slice(x, n)[i] = v / d
	}
}

// Transpose sets dst [cols, rows], of row stride ldd, to the transpose of src
// [rows, cols], of row stride lds. They must not overlap.
func Transpose(rows, cols int, src []float64, lds int, dst []float64, ldd int) {
	if rows == 0 || cols == 0 {
		return
	}
	if lds < cols || ldd < rows || len(src) < (rows-1)*lds+cols || len(dst) < (cols-1)*ldd+rows {
		panic(fmt.Sprintf("kernel: transpose of %d×%d, strides %d and %d, with slices of %d and %d", rows, cols, lds, ldd, len(src), len(dst)))
	}
	band := active.band
	r, c := rows/band*band, cols/band*band
	if c == 0 {
		r = 0
	}
	for i := 0; i < r; i += band {
		active.transposeBand(c, src[i*lds:], lds, dst[i:], ldd)
		for j := c; j < cols; j++ {
			for q := i; q < i+band; q++ {
				dst[j*ldd+q] = src[q*lds+j]
			}
		}
	}
	for i := r; i < rows; i++ {
		for j, v := range src[i*lds : i*lds+cols] {
			dst[j*ldd+i] = v
		}
	}
}
