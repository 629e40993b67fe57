package train

import (
	"math"

	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/internal/nn"
)

// AdamW is the optimizer's setting (Loshchilov and Hutter 2017,
// arXiv:1711.05101), with clipping by the global norm.
type AdamW struct {
	Beta1, Beta2 float64
	Eps          float64
	WeightDecay  float64
	Clip         float64 // largest norm of all gradients together; 0: no limit
}

// DefaultAdamW is β 0.9 and 0.999, ε 1e-8, no decay, clipping at 1.
func DefaultAdamW() AdamW { return AdamW{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Clip: 1} }

// Kind is "adamw".
func (o AdamW) Kind() string { return "adamw" }

// Slots are the running means of the gradient and of its square.
func (o AdamW) Slots() []string { return []string{"m", "v"} }

// Limit is Clip.
func (o AdamW) Limit() float64 { return o.Clip }

func (o AdamW) update32(s stepOf[float32]) { adamw(o, s) }
func (o AdamW) update64(s stepOf[float64]) { adamw(o, s) }

// rates are a step's constants, rounded to the parameters' type once.
type rates[T nn.Float] struct {
	size, root, keep, factor, eps, r1, b2, r2 T
}

func ratesOf[T nn.Float](o AdamW, s stepOf[T]) rates[T] {
	return rates[T]{
		size:   T(s.rate / (1 - vmath.Pow64(o.Beta1, float64(s.number)))),
		root:   T(math.Sqrt(1 - vmath.Pow64(o.Beta2, float64(s.number)))),
		keep:   T(1 - float64(s.rate*o.WeightDecay)),
		factor: T(s.factor), eps: T(o.Eps),
		r1: T(1 - o.Beta1), b2: T(o.Beta2), r2: T(1 - o.Beta2),
	}
}

// adamw does one step. The moments' arithmetic is in T.
func adamw[T nn.Float](o AdamW, s stepOf[T]) {
	c := ratesOf(o, s)
	overChunks(s.pool, s.params, func(_ int, p *ParamOf[T], lo, hi int) {
		if o.WeightDecay != 0 && !p.NoDecay {
			for i := lo; i < hi; i++ {
				p.Data[i] *= c.keep
			}
		}
		c.descend(p, lo, hi)
	})
}

// descend moves [lo, hi) of p and its moments.
func (c rates[T]) descend(p *ParamOf[T], lo, hi int) {
	data, m, v := p.Data[lo:hi], p.Slots[0].Data[lo:hi], p.Slots[1].Data[lo:hi]
	for i, g := range p.grad[lo:hi] {
		data[i] -= T(c.size * c.direction(&m[i], &v[i], g))
	}
}

// direction updates the moments of one value and returns where it should go.
func (c rates[T]) direction(m, v *T, g T) T {
	g = T(g * c.factor)
	*m += T(c.r1 * (g - *m))
	*v = T(c.b2**v) + T(c.r2*T(g*g))
	denom := T(T(math.Sqrt(float64(*v)))/c.root) + c.eps
	return T(*m / denom)
}
