package vmath

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

// Dot returns Σ a[i]·b[i] in eight float64 lanes; the products are exact.
func Dot(a, b []float32) float64 {
	same(len(a), len(b))
	var l [lanes]float64
	for ; len(a) >= lanes; a, b = a[lanes:], b[lanes:] {
		x, y := (*[lanes]float32)(a), (*[lanes]float32)(b)
		l[0] += float64(float64(x[0]) * float64(y[0]))
		l[1] += float64(float64(x[1]) * float64(y[1]))
		l[2] += float64(float64(x[2]) * float64(y[2]))
		l[3] += float64(float64(x[3]) * float64(y[3]))
		l[4] += float64(float64(x[4]) * float64(y[4]))
		l[5] += float64(float64(x[5]) * float64(y[5]))
		l[6] += float64(float64(x[6]) * float64(y[6]))
		l[7] += float64(float64(x[7]) * float64(y[7]))
	}
	for q := range a {
		l[q] += float64(float64(a[q]) * float64(b[q]))
	}
	return total(&l)
}
