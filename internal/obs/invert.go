package obs

import "github.com/compressc/compressc/internal/linalg"

// invertBase is the size below which a triangle is inverted column by column.
const invertBase = 48

// invertLower replaces the lower triangle of a [n, n], leading dimension ld, by
// that of its inverse. The upper triangle is neither read nor written, but for
// products that take whole squares below the diagonal: it must hold zeros.
//
// [A 0; B C]⁻¹ = [A⁻¹ 0; −C⁻¹·B·A⁻¹ C⁻¹], recursively, so that almost all work
// is matrix products.
func invertLower(p *linalg.Pool, n int, a []float64, ld int) {
	if n <= invertBase {
		invertLowerSmall(n, a, ld)
		return
	}
	h := (n/2 + invertBase - 1) / invertBase * invertBase
	if h >= n {
		h = n / 2
	}
	m := n - h
	b, c := a[h*ld:], a[h*ld+h:]
	invertLower(p, h, a, ld)
	invertLower(p, m, c, ld)
	buf := linalg.TakeBuffer[float64](m * h)
	defer buf.Give()
	t := buf.S
	p.Dgemm(false, false, m, h, h, 1, b, ld, a, ld, 0, t, h)
	p.Dgemm(false, false, m, h, m, -1, c, ld, t, h, 0, b, ld)
}

func invertLowerSmall(n int, a []float64, ld int) {
	for i := range n {
		ri := a[i*ld : i*ld+i+1]
		d := 1 / ri[i]
		// Row i of the inverse: −d · Σ_k a_ik · (row k of the inverse).
		var acc [invertBase]float64
		for k, v := range ri[:i] {
			for j, t := range a[k*ld : k*ld+k+1] {
				acc[j] += float64(v * t)
			}
		}
		for j := range ri[:i] {
			ri[j] = -float64(d * acc[j])
		}
		ri[i] = d
	}
}
