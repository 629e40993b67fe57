package linalg

import (
	"math"

	"github.com/compressc/compressc/internal/linalg/kernel"
)

// secular is the equation 1/rho + Σ z_j²/(d_j - λ) = 0 of a rank-one update
// diag(d) + rho·z·zᵀ, d strictly ascending, rho > 0, whose roots interlace d.
type secular struct {
	k        int
	d, z, z2 []float64
	rho      float64
	gaps     *Buffer[float64] // [k, k]: row i has d_j - λ_i, to full relative accuracy
	vecs     *Buffer[float64]
}

const secularGroup = 16 // roots, or columns, a task works on

func newSecular(d, z []float64, rho float64) *secular {
	k := len(d)
	s := &secular{k: k, d: d, z: z, z2: make([]float64, k), rho: rho}
	for j, v := range z {
		s.z2[j] = float64(v * v)
	}
	s.gaps, s.vecs = TakeBuffer[float64](k*k), TakeBuffer[float64](k*k)
	return s
}

func (s *secular) give() {
	s.gaps.Give()
	s.vecs.Give()
}

// roots returns the ascending roots and fills gaps.
func (s *secular) roots(p *Pool) []float64 {
	lam := make([]float64, s.k)
	p.For((s.k+secularGroup-1)/secularGroup, func(_, task int) {
		for i := task * secularGroup; i < min(s.k, (task+1)*secularGroup); i++ {
			lam[i] = s.root(i, s.gaps.S[i*s.k:(i+1)*s.k])
		}
	})
	return lam
}

// value is the secular function at one point, the poles up to the root (psi) and
// beyond it (phi) apart, each with its derivative.
type value struct{ psi, dpsi, phi, dphi float64 }

// eval evaluates at mu; gap has d_j relative to the origin of mu.
func (s *secular) eval(i int, gap []float64, mu float64) value {
	var v value
	v.psi, v.dpsi = kernel.PoleSums(gap[:i+1], s.z2, mu)
	v.phi, v.dphi = kernel.PoleSums(gap[i+1:], s.z2[i+1:], mu)
	return v
}

// root finds root i by rational interpolation between its two poles, in
// coordinates relative to the nearer one, inside a bracket that halves whenever
// interpolation leaves it (Li, "Solving secular equations stably and
// efficiently", LAPACK Working Note 89, 1993, the middle way). gap receives
// d_j - λ_i.
func (s *secular) root(i int, gap []float64) float64 {
	inv := 1 / s.rho
	last := i == s.k-1
	origin := i
	shift := func() {
		for j := range gap {
			gap[j] = s.d[j] - s.d[origin]
		}
	}
	shift()
	var lo, hi, mu float64
	if last {
		for _, v := range s.z2 {
			hi += v
		}
		hi = float64(hi * s.rho)
		v := s.eval(i, gap[:i+1], hi)
		rest := inv + (v.psi + s.z2[i]/hi) // without the nearest pole
		mu = s.z2[i] / rest
		if !(mu > 0 && mu < hi) {
			mu = hi / 2
		}
	} else {
		width := gap[i+1]
		half := float64(0.5 * width)
		v := s.eval(i, gap, half)
		f := inv + v.psi + v.phi
		zi, zn := s.z2[i], s.z2[i+1]
		c := f - (zi/(-half) + zn/(width-half)) // all but the two nearest poles
		if f >= 0 {
			hi = half
			mu = smallRoot(c, float64(c*width)+zi+zn, float64(zi*width))
		} else {
			origin = i + 1
			shift()
			lo = -half
			mu = smallRoot(c, -float64(c*width)+zi+zn, -float64(zn*width))
		}
		if !(mu > lo && mu < hi) {
			mu = lo + float64(0.5*(hi-lo))
		}
	}
	var before float64
	fixed := false
	for round := range 100 {
		v := s.eval(i, gap, mu)
		f := inv + v.psi + v.phi
		df := v.dpsi + v.dphi
		if math.Abs(f) <= 2*unit*(float64(8*(inv+v.phi-v.psi))+float64(math.Abs(mu)*df)) {
			break
		}
		if f < 0 {
			lo = mu
		} else {
			hi = mu
		}
		if round > 0 && math.Abs(f) > 0.1*before {
			fixed = !fixed
		}
		before = math.Abs(f)
		next := s.step(i, gap, mu, f, v, last, fixed, origin)
		if !(next > lo && next < hi) || round > 30 {
			next = lo + float64(0.5*(hi-lo))
		}
		if next == mu || next == lo || next == hi {
			mu = next
			if mu == 0 { // a pole: the nearest number inside the bracket
				mu = math.Copysign(math.SmallestNonzeroFloat64, lo+hi)
			}
			break
		}
		mu = next
	}
	for j := range gap {
		gap[j] -= mu
	}
	return s.d[origin] + mu
}

// step returns the next iterate: the root of c + a₁/(δ₁-η) + a₂/(δ₂-η), which
// matches the function and its derivatives at mu.
func (s *secular) step(i int, gap []float64, mu, f float64, v value, last, fixed bool, origin int) float64 {
	df := v.dpsi + v.dphi
	d1 := gap[i] - mu
	if last {
		return mu + float64(d1*f)/(f-float64(d1*df))
	}
	d2 := gap[i+1] - mu
	var c float64
	switch {
	case !fixed:
		c = f - float64(d1*v.dpsi) - float64(d2*v.dphi)
	case origin == i: // the weight of the nearer pole is kept as it is
		r := 1 / d1
		c = f - float64(d2*df) - float64((d1-d2)*float64(float64(s.z2[i]*r)*r))
	default:
		r := 1 / d2
		c = f - float64(d1*df) - float64((d2-d1)*float64(float64(s.z2[i+1]*r)*r))
	}
	b := float64(float64(d1*d2) * f)
	a := float64((d1+d2)*f) - float64(float64(d1*d2)*df)
	eta := smallRoot(c, a, b)
	if !(float64(f*eta) < 0) {
		eta = -f / df // Newton: at least the right direction
	}
	return mu + eta
}

// smallRoot is the root of c·x² - a·x + b that is continuous as c goes to 0,
// without cancellation.
func smallRoot(c, a, b float64) float64 {
	disc := math.Sqrt(math.Abs(float64(a*a) - float64(float64(4*b)*c)))
	if a > 0 {
		return 2 * b / (a + disc)
	}
	return (a - disc) / (2 * c)
}

// vectors returns the unit eigenvectors of the update, one a row [k, k], column
// j at pos[j]. They belong to z recomputed from the roots, which makes them
// orthogonal whatever the roots' errors (Gu and Eisenstat, 1994).
func (s *secular) vectors(p *Pool, pos []int) []float64 {
	k := s.k
	zh := make([]float64, k)
	p.For((k+secularGroup-1)/secularGroup, func(_, task int) {
		j0, j1 := task*secularGroup, min(k, (task+1)*secularGroup)
		prod := zh[j0:j1]
		for j := range prod {
			prod[j] = -s.gaps.S[(j0+j)*k+j0+j]
		}
		for i := range k {
			row, d := s.gaps.S[i*k+j0:i*k+j1], s.d[j0:j1]
			if i < j0 || i >= j1 {
				kernel.GapRatios(prod, row, d, s.d[i])
				continue
			}
			own := i - j0
			kernel.GapRatios(prod[:own], row, d, s.d[i])
			kernel.GapRatios(prod[own+1:], row[own+1:], d[own+1:], s.d[i])
		}
		for j := range prod {
			prod[j] = math.Copysign(math.Sqrt(math.Abs(prod[j])), s.z[j0+j])
		}
	})
	p.For((k+secularGroup-1)/secularGroup, func(_, task int) {
		for i := task * secularGroup; i < min(k, (task+1)*secularGroup); i++ {
			row := s.gaps.S[i*k : (i+1)*k]
			var sum float64
			for j := range row {
				row[j] = zh[j] / row[j]
				sum += float64(row[j] * row[j])
			}
			norm := math.Sqrt(sum)
			out := s.vecs.S[i*k : (i+1)*k]
			for j, v := range row {
				out[pos[j]] = v / norm
			}
		}
	})
	return s.vecs.S
}
