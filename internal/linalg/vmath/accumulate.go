package vmath

import (
	"math"
	"unsafe"
)

// AddTo adds x to sum, element by element, in float64.
func AddTo(sum []float64, x []float32) {
	same(len(sum), len(x))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().addTo(n, &sum[0], &x[0])
	}
	for i := n; i < len(x); i++ {
		sum[i] += float64(x[i])
	}
}

func addToGo(n int, sum *float64, x *float32) {
	s := unsafe.Slice(sum, n)
	for i, v := range unsafe.Slice(x, n) {
		s[i] += float64(v)
	}
}

// ColumnGroup is how many columns AddColumns goes over at once.
const ColumnGroup = vectorStep

// Columns are, for each of ColumnGroup columns, the sum of its elements, of
// their squares and of their absolute values, and the largest of these; a NaN is
// larger than everything.
type Columns struct{ Sum, SumSq, SumAbs, MaxAbs [ColumnGroup]float64 }

// AddColumns adds the rows of x [rows, columns], ld apart, to m, in their order.
// There may be fewer columns than ColumnGroup: the others of m stay.
func AddColumns(m *Columns, x []float32, rows, columns, ld int) {
	if rows == 0 || columns == 0 {
		return
	}
	if columns > ColumnGroup || ld < columns || len(x) < (rows-1)*ld+columns {
		panic("vmath: columns of a matrix that is none")
	}
	acc := (*[4 * vectorStep]float64)(unsafe.Pointer(m))
	if columns == ColumnGroup {
		active().moments(rows, &x[0], ld, acc)
		return
	}
	for r := range rows {
		for j, v := range x[r*ld : r*ld+columns] {
			addColumn(acc, j, v)
		}
	}
}

func momentsGo(rows int, x *float32, ld int, acc *[4 * vectorStep]float64) {
	s := unsafe.Slice(x, (rows-1)*ld+vectorStep)
	for r := range rows {
		for j, v := range s[r*ld : r*ld+vectorStep] {
			addColumn(acc, j, v)
		}
	}
}

func addColumn(acc *[4 * vectorStep]float64, j int, v float32) {
	x := float64(v)
	acc[j] += x
	acc[vectorStep+j] += float64(x * x)
	x = math.Abs(x)
	acc[2*vectorStep+j] += x
	if x > acc[3*vectorStep+j] || x != x {
		acc[3*vectorStep+j] = x
	}
}

// Keep multiplies x by 0 or 1: element i by bit i%8, from the lowest, of byte
// i/8 of bits. There is no branch, which would be mispredicted at every other
// element.
func Keep(x []float32, bits []byte) {
	if len(bits) < (len(x)+7)/8 {
		panic("vmath: too few bits")
	}
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().keep(n, &x[0], &bits[0])
	}
	for i := n; i < len(x); i++ {
		x[i] *= float32(bits[i/8] >> (i % 8) & 1)
	}
}

func keepGo(n int, x *float32, bits *byte) {
	s, b := unsafe.Slice(x, n), unsafe.Slice(bits, n/8)
	for ; len(s) >= 8; s, b = s[8:], b[1:] {
		v := uint(b[0])
		s[0] *= float32(v & 1)
		s[1] *= float32(v >> 1 & 1)
		s[2] *= float32(v >> 2 & 1)
		s[3] *= float32(v >> 3 & 1)
		s[4] *= float32(v >> 4 & 1)
		s[5] *= float32(v >> 5 & 1)
		s[6] *= float32(v >> 6 & 1)
		s[7] *= float32(v >> 7 & 1)
	}
}

// AddScaled sets x[i] = base[i] + by·x[i]; product and sum are rounded.
func AddScaled(x, base []float32, by float32) {
	same(len(x), len(base))
	n := len(x) &^ (vectorStep - 1)
	if n > 0 {
		active().addScaled(n, &x[0], &base[0], by)
	}
	for i := n; i < len(x); i++ {
		x[i] = base[i] + float32(by*x[i])
	}
}

func addScaledGo(n int, x, base *float32, by float32) {
	s, b := unsafe.Slice(x, n), unsafe.Slice(base, n)
	for i, v := range s {
		s[i] = b[i] + float32(by*v)
	}
}
