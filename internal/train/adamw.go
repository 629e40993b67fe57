package train

import (
	"math"

	"github.com/compressc/compressc/internal/linalg"
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

// chunk is the length of the pieces in which parameters are walked through. It
// is part of the numeric contract: a norm is the sum of its chunks' sums.
const chunk = 1 << 14

// chunks returns the number of the first piece of every parameter, and last the
// number of pieces.
func chunks[T nn.Float](params []*ParamOf[T]) []int {
	starts := make([]int, len(params)+1)
	for i, p := range params {
		starts[i+1] = starts[i] + (len(p.Data)+chunk-1)/chunk
	}
	return starts
}

// overChunks runs f on [lo, hi) pieces of every parameter, each once.
func overChunks[T nn.Float](pool *linalg.Pool, params []*ParamOf[T], f func(piece int, p *ParamOf[T], lo, hi int)) {
	starts := chunks(params)
	pool.For(starts[len(params)], func(_, task int) {
		i, end := 0, len(params) // the last i with starts[i] <= task
		for end-i > 1 {
			if mid := (i + end) / 2; starts[mid] <= task {
				i = mid
			} else {
				end = mid
			}
		}
		lo := (task - starts[i]) * chunk
		f(task, params[i], lo, min(lo+chunk, len(params[i].Data)))
	})
}

// gradNorm returns the 2-norm of all gradients together: each chunk's squares
// ascending, the chunks' sums in the order of the parameters.
func gradNorm[T nn.Float](pool *linalg.Pool, params []*ParamOf[T]) float64 {
	sums := make([]float64, chunks(params)[len(params)])
	overChunks(pool, params, func(piece int, p *ParamOf[T], lo, hi int) { sums[piece] = sumSquares(p.grad[lo:hi]) })
	var total float64
	for _, s := range sums {
		total += s
	}
	return math.Sqrt(total)
}

func sumSquares[T nn.Float](x []T) float64 {
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(x); i += 4 {
		a, b, c, d := float64(x[i]), float64(x[i+1]), float64(x[i+2]), float64(x[i+3])
		s0 += float64(a * a)
		s1 += float64(b * b)
		s2 += float64(c * c)
		s3 += float64(d * d)
	}
	for ; i < len(x); i++ {
		v := float64(x[i])
		s0 += float64(v * v)
	}
	return (s0 + s1) + (s2 + s3)
}

// clipFactor is what gradients of this norm are multiplied by.
func (o AdamW) clipFactor(norm float64) float64 {
	if o.Clip <= 0 {
		return 1
	}
	return min(1, o.Clip/(norm+1e-6))
}

// update does one step on every parameter with its gradient times factor. step
// counts from 1. The moments' arithmetic is in T; the step's constants are
// rounded to it once.
func update[T nn.Float](o AdamW, pool *linalg.Pool, params []*ParamOf[T], step int, lr, factor float64) {
	size := T(lr / (1 - vmath.Pow64(o.Beta1, float64(step))))
	root := T(math.Sqrt(1 - vmath.Pow64(o.Beta2, float64(step))))
	keep := T(1 - float64(lr*o.WeightDecay))
	f, eps := T(factor), T(o.Eps)
	r1, b2, r2 := T(1-o.Beta1), T(o.Beta2), T(1-o.Beta2)
	overChunks(pool, params, func(_ int, p *ParamOf[T], lo, hi int) {
		data, grad := p.Data[lo:hi], p.grad[lo:hi]
		m, v := p.M[lo:hi], p.V[lo:hi]
		if o.WeightDecay != 0 && !p.NoDecay {
			for i := range data {
				data[i] *= keep
			}
		}
		for i, g := range grad {
			g = T(g * f)
			m[i] += T(r1 * (g - m[i]))
			v[i] = T(b2*v[i]) + T(r2*T(g*g))
			denom := T(T(math.Sqrt(float64(v[i])))/root) + eps
			data[i] -= T(size * T(m[i]/denom))
		}
	})
}
