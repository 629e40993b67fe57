package train

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/nn"
)

// Optimizer is how parameters follow from their gradients: a setting, which
// holds nothing of a run. What a run remembers are the parameters' slots.
type Optimizer interface {
	// Kind is the optimizer's name in pipelines.
	Kind() string
	// Slots names the tensors remembered beside each parameter.
	Slots() []string
	// Limit is the largest norm of all gradients together; 0: no limit.
	Limit() float64

	update32(stepOf[float32])
	update64(stepOf[float64])
}

// stepOf is one step: parameters with their gradients, which count times factor.
type stepOf[T nn.Float] struct {
	pool   *linalg.Pool
	params []*ParamOf[T]
	number int // from 1
	rate   float64
	factor float64
}

// update does one step on every parameter.
func update[T nn.Float](o Optimizer, s stepOf[T]) {
	switch s := any(s).(type) {
	case stepOf[float32]:
		o.update32(s)
	case stepOf[float64]:
		o.update64(s)
	}
}

// Setting is an optimizer that can be written as JSON: {"adamw": {…}}.
type Setting struct{ Optimizer }

// MarshalJSON writes the kind and what it is set to.
func (s Setting) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{s.Kind(): s.Optimizer})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Setting) UnmarshalJSON(raw []byte) error {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	for kind, args := range m {
		switch kind {
		case "adamw":
			var o AdamW
			if err := json.Unmarshal(args, &o); err != nil {
				return err
			}
			s.Optimizer = o
		case "adamp":
			var o AdamP
			if err := json.Unmarshal(args, &o); err != nil {
				return err
			}
			s.Optimizer = o
		default:
			return fmt.Errorf("unknown optimizer %q; expected adamw or adamp", kind)
		}
	}
	if len(m) != 1 {
		return fmt.Errorf("%d optimizers; expected one", len(m))
	}
	return nil
}

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
func clipFactor(limit, norm float64) float64 {
	if limit <= 0 {
		return 1
	}
	return min(1, limit/(norm+1e-6))
}
