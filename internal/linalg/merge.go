package linalg

import (
	"math"
	"sort"
)

// merge joins the eigensystems of the two halves of a torn tridiagonal matrix.
type merge struct {
	n, n1 int // order, order of the first half
	ld    int
	d     []float64 // eigenvalues of the halves, each ascending; all ascending after
	q     []float64 // eigenvectors as rows: block diagonal before
	keep  int       // rows wanted, the last ones; the others are then arbitrary
	rho   float64   // the off-diagonal entry that was torn

	z    []float64
	kind []byte // which columns of a row may differ from zero
	live []int  // rows that take part in the secular equation, by eigenvalue
	dead []int  // deflated rows
}

// Kinds of rows: the first columns only, the last columns only, all columns.
// Keeping them apart halves the matrix products.
const (
	top byte = iota
	mixed
	bottom
)

func (m *merge) run(p *Pool) {
	rho := m.tear()
	m.deflate(rho)
	k := len(m.live)
	var lam []float64
	if k > 0 {
		s := newSecular(m.gather(m.d), m.gather(m.z), rho)
		lam = s.roots(p)
		vecs := s.vectors(p, m.columnOrder())
		m.rebuild(p, lam, vecs)
		s.give()
	} else {
		m.rebuild(p, nil, nil)
	}
}

func (m *merge) gather(x []float64) []float64 {
	y := make([]float64, len(m.live))
	for j, i := range m.live {
		y[j] = x[i]
	}
	return y
}

// tear forms z, of norm 1, and returns the factor of z·zᵀ.
func (m *merge) tear() float64 {
	m.z, m.kind = make([]float64, m.n), make([]byte, m.n)
	sign := 1.0
	if m.rho < 0 {
		sign = -1
	}
	for i := range m.n {
		if i < m.n1 {
			m.z[i] = m.q[i*m.ld+m.n1-1] / math.Sqrt2
		} else {
			m.z[i] = sign * m.q[i*m.ld+m.n1] / math.Sqrt2
			m.kind[i] = bottom
		}
	}
	return 2 * math.Abs(m.rho)
}

// deflate sorts the rows into live and dead: a row leaves the secular equation
// when its z is negligible, or when rotating it against its neighbour, whose
// eigenvalue nearly equals its own, makes it so.
func (m *merge) deflate(rho float64) {
	order := make([]int, m.n)
	var dMax, zMax float64
	for i := range order {
		order[i] = i
		dMax, zMax = max(dMax, math.Abs(m.d[i])), max(zMax, math.Abs(m.z[i]))
	}
	sort.SliceStable(order, func(a, b int) bool { return m.d[order[a]] < m.d[order[b]] })
	tol := 8 * unit * max(dMax, zMax)
	prev := -1
	for _, i := range order {
		if float64(rho*math.Abs(m.z[i])) <= tol {
			m.dead = append(m.dead, i)
			continue
		}
		if prev >= 0 {
			h := hypot(m.z[i], m.z[prev])
			c, s := m.z[i]/h, -m.z[prev]/h
			if math.Abs(float64(float64((m.d[i]-m.d[prev])*c)*s)) <= tol {
				m.z[i], m.z[prev] = h, 0
				if m.kind[i] != m.kind[prev] {
					m.kind[i], m.kind[prev] = mixed, mixed
				}
				rotate(m.q[prev*m.ld:prev*m.ld+m.n], m.q[i*m.ld:i*m.ld+m.n], c, s)
				dp, di := m.d[prev], m.d[i]
				c2, s2 := float64(c*c), float64(s*s)
				m.d[prev] = float64(dp*c2) + float64(di*s2)
				m.d[i] = float64(dp*s2) + float64(di*c2)
				m.dead = append(m.dead, prev)
				prev = i
				continue
			}
			m.live = append(m.live, prev)
		}
		prev = i
	}
	if prev >= 0 {
		m.live = append(m.live, prev)
	}
}

// columnOrder places the live rows by kind: position of live row j.
func (m *merge) columnOrder() []int {
	pos := make([]int, len(m.live))
	next := 0
	for kind := top; kind <= bottom; kind++ {
		for j, i := range m.live {
			if m.kind[i] == kind {
				pos[j] = next
				next++
			}
		}
	}
	return pos
}

// rebuild replaces d and q by the eigensystem of the whole: vecs [k, k] times the
// live rows, and the dead rows as they are.
func (m *merge) rebuild(p *Pool, lam, vecs []float64) {
	k, n1, n2 := len(m.live), m.n1, m.n-m.n1
	var count [3]int
	for _, i := range m.live {
		count[m.kind[i]]++
	}
	kTop, kBottom := count[top]+count[mixed], count[mixed]+count[bottom]
	old := TakeBuffer[float64](kTop*n1 + kBottom*n2 + len(m.dead)*m.n)
	fresh := TakeBuffer[float64](k * m.n)
	first, last := old.S[:kTop*n1], old.S[kTop*n1:][:kBottom*n2]
	dead := old.S[kTop*n1+kBottom*n2:]
	if k > 0 {
		for j, c := range m.columnOrder() {
			row := m.q[m.live[j]*m.ld:][:m.n]
			if c < kTop {
				copy(first[c*n1:(c+1)*n1], row)
			}
			if c >= k-kBottom {
				copy(last[(c-(k-kBottom))*n2:], row[n1:])
			}
		}
	}
	for j, i := range m.dead {
		copy(dead[j*m.n:(j+1)*m.n], m.q[i*m.ld:])
	}
	// The m.keep largest values are among as many of the live rows' values, which
	// ascend: products for those alone.
	if skip := max(0, k-m.keep); skip < k {
		out := fresh.S[skip*m.n:]
		p.Dgemm(false, false, k-skip, n1, kTop, 1, vecs[skip*k:], k, first, n1, 0, out, m.n)
		p.Dgemm(false, false, k-skip, n2, kBottom, 1, vecs[skip*k+k-kBottom:], k, last, n2, 0, out[n1:], m.n)
	}
	type row struct {
		value float64
		from  []float64
	}
	rows := make([]row, 0, m.n)
	for i, v := range lam {
		rows = append(rows, row{v, fresh.S[i*m.n : (i+1)*m.n]})
	}
	for j, i := range m.dead {
		rows = append(rows, row{m.d[i], dead[j*m.n : (j+1)*m.n]})
	}
	sort.SliceStable(rows, func(a, b int) bool { return rows[a].value < rows[b].value })
	for i, r := range rows {
		m.d[i] = r.value
		copy(m.q[i*m.ld:i*m.ld+m.n], r.from)
	}
	old.Give()
	fresh.Give()
}
