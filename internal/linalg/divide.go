package linalg

import "math"

const (
	// leafMax is the largest order solved by QL iteration.
	leafMax = 32
	// aloneMax is the largest order of a merge that one thread does alone, next
	// to others of its level.
	aloneMax = 128
	unit     = 0x1p-53
)

// divide is the divide and conquer eigensolver of a symmetric tridiagonal matrix
// whose entries are about 1 at most.
type divide struct {
	n, ld int
	d     []float64 // diagonal in, ascending eigenvalues out
	e     []float64 // off-diagonal, overwritten
	keep  int       // eigenvectors wanted, of the largest values
	q     []float64 // zero in, eigenvectors out, one a row of stride ld
}

func (s *divide) solve(p *Pool) {
	leaves := 1
	for (s.n+leaves-1)/leaves > leafMax {
		leaves *= 2
	}
	edge := func(i, parts int) int { return i * s.n / parts }
	// Tear every boundary at once: T = diag(T₁, T₂) + rho·u·uᵀ.
	for i := 1; i < leaves; i++ {
		b := edge(i, leaves)
		rho := math.Abs(s.e[b-1])
		s.d[b-1] -= rho
		s.d[b] -= rho
	}
	p.For(leaves, func(_, i int) {
		lo, hi := edge(i, leaves), edge(i+1, leaves)
		var e [leafMax]float64
		copy(e[:], s.e[lo:max(lo, hi-1)])
		qlLeaf(s.d[lo:hi], e[:hi-lo], s.q[lo*s.ld+lo:], s.ld)
	})
	for parts := leaves / 2; parts >= 1; parts /= 2 {
		one := func(pool *Pool, i int) {
			lo, mid, hi := edge(2*i, 2*parts), edge(2*i+1, 2*parts), edge(2*i+2, 2*parts)
			m := merge{n: hi - lo, n1: mid - lo, ld: s.ld, d: s.d[lo:hi], q: s.q[lo*s.ld+lo:], rho: s.e[mid-1], keep: hi - lo}
			if parts == 1 {
				m.keep = s.keep
			}
			m.run(pool)
		}
		if (s.n+parts-1)/parts <= aloneMax {
			p.For(parts, func(_, i int) { one(nil, i) })
			continue
		}
		for i := range parts {
			one(p, i)
		}
	}
}

// qlLeaf solves a small tridiagonal problem by implicit QL (Bowdler, Martin,
// Reinsch and Wilkinson, Handbook for Automatic Computation II/3, tql2). e has
// len(d) elements, the last unused; q, zero in, gets the eigenvectors as rows.
func qlLeaf(d, e []float64, q []float64, ld int) {
	n := len(d)
	for i := range n {
		q[i*ld+i] = 1
	}
	e[n-1] = 0
	var shift, size float64
	for l := range n {
		size = max(size, math.Abs(d[l])+math.Abs(e[l]))
		m := l
		for m < n-1 && math.Abs(e[m]) > 2*unit*size {
			m++
		}
		// Two or three rounds are usual; the bound only ends a loop that
		// rounding could in theory keep alive.
		for round := 0; m > l && round < 64; round++ {
			g := d[l]
			p := (d[l+1] - g) / (2 * e[l])
			r := hypot(p, 1)
			if p < 0 {
				r = -r
			}
			d[l] = e[l] / (p + r)
			d[l+1] = float64(e[l] * (p + r))
			dl1 := d[l+1]
			h := g - d[l]
			for i := l + 2; i < n; i++ {
				d[i] -= h
			}
			shift += h
			p = d[m]
			c, c2, c3 := 1.0, 1.0, 1.0
			el1 := e[l+1]
			var sn, s2 float64
			for i := m - 1; i >= l; i-- {
				c3, c2, s2 = c2, c, sn
				g := float64(c * e[i])
				h := float64(c * p)
				r := hypot(p, e[i])
				e[i+1] = float64(sn * r)
				sn = e[i] / r
				c = p / r
				p = float64(c*d[i]) - float64(sn*g)
				d[i+1] = h + float64(sn*(float64(c*g)+float64(sn*d[i])))
				rotate(q[i*ld:i*ld+n], q[(i+1)*ld:(i+1)*ld+n], c, -sn)
			}
			p = -float64(float64(float64(float64(sn*s2)*c3)*el1)*e[l]) / dl1
			e[l] = float64(sn * p)
			d[l] = float64(c * p)
			if math.Abs(e[l]) <= 2*unit*size {
				break
			}
		}
		d[l] += shift
		e[l] = 0
	}
	for i := range n { // selection sort: few rows, few swaps
		k := i
		for j := i + 1; j < n; j++ {
			if d[j] < d[k] {
				k = j
			}
		}
		if k != i {
			d[i], d[k] = d[k], d[i]
			for c := range n {
				q[i*ld+c], q[k*ld+c] = q[k*ld+c], q[i*ld+c]
			}
		}
	}
}

// rotate replaces x, y by c·x + s·y, c·y - s·x.
func rotate(x, y []float64, c, s float64) {
	y = y[:len(x)]
	for k, a := range x {
		b := y[k]
		x[k] = float64(c*a) + float64(s*b)
		y[k] = float64(c*b) - float64(s*a)
	}
}

// hypot is √(a²+b²) without overflow; math.Hypot has assembler forms.
func hypot(a, b float64) float64 {
	a, b = math.Abs(a), math.Abs(b)
	if a < b {
		a, b = b, a
	}
	if a == 0 {
		return 0
	}
	t := b / a
	return a * math.Sqrt(1+float64(t*t))
}
