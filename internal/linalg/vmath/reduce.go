package vmath

import "sync"

// lanes is the number of partial sums of every reduction.
const lanes = 8

func total(l *[lanes]float64) float64 {
	return ((l[0] + l[4]) + (l[2] + l[6])) + ((l[1] + l[5]) + (l[3] + l[7]))
}

// Sum returns Σ x[i] in eight float64 lanes.
func Sum(x []float32) float64 {
	var l [lanes]float64
	for ; len(x) >= lanes; x = x[lanes:] {
		for q, v := range (*[lanes]float32)(x) {
			l[q] += float64(v)
		}
	}
	for q, v := range x {
		l[q] += float64(v)
	}
	return total(&l)
}

// SumSq returns Σ x[i]² in eight float64 lanes; the squares are exact.
func SumSq(x []float32) float64 { return Dot(x, x) }

// dotLanes are what Dot works in: like softmaxRow they would be on the heap in every
// call.
var dotLanes = sync.Pool{New: func() any { return new([lanes]float64) }}

// Dot returns Σ a[i]·b[i] in eight float64 lanes; the products are exact.
func Dot(a, b []float32) float64 {
	same(len(a), len(b))
	l := dotLanes.Get().(*[lanes]float64)
	*l = [lanes]float64{}
	n := len(a) &^ (vectorStep - 1)
	if n > 0 {
		active().dot(n, &a[0], &b[0], l)
	}
	for i := n; i < len(a); i++ {
		l[i%lanes] += float64(float64(a[i]) * float64(b[i]))
	}
	sum := total(l)
	dotLanes.Put(l)
	return sum
}
