package kernel

import "unsafe"

// PoleSums returns f = Σ t_j and df = Σ t_j·r_j for r_j = 1/(gap[j] - mu) and
// t_j = z2[j]·r_j: the sum over the poles of a secular function and its
// derivative. Element j adds to lane j mod 4, those of an incomplete last four to
// lane 0, and the lanes are added in pairs. z2 is at least as long as gap.
func PoleSums(gap, z2 []float64, mu float64) (f, df float64) {
	z2 = z2[:len(gap)]
	n := len(gap) &^ 3
	var s [8]float64
	if n > 0 {
		active.poles(n, &gap[0], &z2[0], mu, &s)
	}
	for j := n; j < len(gap); j++ {
		r := 1 / (gap[j] - mu)
		t := float64(z2[j] * r)
		s[0] += t
		s[4] += float64(t * r)
	}
	return (s[0] + s[1]) + (s[2] + s[3]), (s[4] + s[5]) + (s[6] + s[7])
}

func polesGo(n int, gap, z2 *float64, mu float64, sums *[8]float64) {
	z := unsafe.Slice(z2, n)
	for j, g := range unsafe.Slice(gap, n) {
		r := 1 / (g - mu)
		t := float64(z[j] * r)
		sums[j%4] += t
		sums[4+j%4] += float64(t * r)
	}
}

// GapRatios multiplies every x[j] by gap[j] / (d[j] - at). gap and d are at least
// as long as x.
func GapRatios(x, gap, d []float64, at float64) {
	gap, d = gap[:len(x)], d[:len(x)]
	n := len(x) &^ 3
	if n > 0 {
		active.ratios(n, &x[0], &gap[0], &d[0], at)
	}
	for j := n; j < len(x); j++ {
		x[j] = float64(x[j] * (gap[j] / (d[j] - at)))
	}
}

func gapRatiosGo(n int, x, gap, d *float64, at float64) {
	X, G, D := unsafe.Slice(x, n), unsafe.Slice(gap, n), unsafe.Slice(d, n)
	for j, g := range G {
		X[j] = float64(X[j] * (g / (D[j] - at)))
	}
}
