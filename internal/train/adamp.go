package train

import (
	"math"

	"github.com/compressc/compressc/internal/nn"
)

// AdamP is AdamW that takes the radial part out of the update of a weight whose
// length does not matter (Heo et al. 2020, arXiv:2006.08217). A gradient that
// is orthogonal to the weight, row by row or as a whole, tells such a weight.
type AdamP struct {
	AdamW
	// Delta: a gradient is orthogonal where its cosine with the weight is below
	// Delta/√(length).
	Delta float64
	// DecayRatio is what weight decay is multiplied by for these weights.
	DecayRatio float64
	// Nesterov looks one step of momentum ahead.
	Nesterov bool
}

// DefaultAdamP is DefaultAdamW with δ 0.1 and a decay ratio of 0.1.
func DefaultAdamP() AdamP { return AdamP{AdamW: DefaultAdamW(), Delta: 0.1, DecayRatio: 0.1} }

// Kind is "adamp".
func (o AdamP) Kind() string { return "adamp" }

func (o AdamP) update32(s stepOf[float32]) { adamp(o, s) }
func (o AdamP) update64(s stepOf[float64]) { adamp(o, s) }

func adamp[T nn.Float](o AdamP, s stepOf[T]) {
	c := ratesOf(o.AdamW, s)
	slow := T(1 - float64(float64(s.rate*o.WeightDecay)*o.DecayRatio))
	// A tensor is one task: what is projected depends on all of it.
	s.pool.For(len(s.params), func(_, i int) {
		p := s.params[i]
		u := make([]T, len(p.Data))
		m, v := p.Slots[0].Data, p.Slots[1].Data
		for i, g := range p.grad {
			u[i] = c.direction(&m[i], &v[i], g)
			if o.Nesterov {
				ahead := m[i] + T(c.r1*(T(g*c.factor)-m[i]))
				u[i] = T(ahead / (T(T(math.Sqrt(float64(v[i])))/c.root) + c.eps))
			}
		}
		keep := c.keep
		if project(o, p, u) {
			keep = slow
		}
		decays := o.WeightDecay != 0 && !p.NoDecay
		for i, x := range u {
			if decays {
				p.Data[i] *= keep
			}
			p.Data[i] -= T(c.size * x)
		}
	})
}

// project takes out of u what lies along p, where the gradient says that the
// length of p does not matter, and reports whether it did.
func project[T nn.Float](o AdamP, p *ParamOf[T], u []T) bool {
	if len(p.Shape) < 2 {
		return false
	}
	for _, length := range []int{len(u) / p.Shape[0], len(u)} {
		if !(p.largestCosine(length, o.Eps) < o.Delta/math.Sqrt(float64(length))) {
			continue
		}
		for lo := 0; lo < len(u); lo += length {
			row, x := u[lo:lo+length], p.Data[lo:lo+length]
			norm := math.Sqrt(sumSquares(x)) + o.Eps
			along := dot(x, row) / norm
			for i, v := range x {
				row[i] -= T(float64(float64(v)/norm) * along)
			}
		}
		return true
	}
	return false
}

// largestCosine is the largest |cos| between data and gradient over all pieces
// of the length.
func (p *ParamOf[T]) largestCosine(length int, eps float64) float64 {
	largest := 0.0
	for lo := 0; lo < len(p.Data); lo += length {
		x, g := p.Data[lo:lo+length], p.grad[lo:lo+length]
		c := math.Abs(dot(x, g)) / (math.Sqrt(sumSquares(x)) + eps) / (math.Sqrt(sumSquares(g)) + eps)
		largest = max(largest, c)
	}
	return largest
}

// dot is Σ x·y, ascending.
func dot[T nn.Float](x, y []T) float64 {
	var s float64
	for i, v := range x {
		s += float64(float64(v) * float64(y[i]))
	}
	return s
}
