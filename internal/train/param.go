package train

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/nn"
)

// ParamOf is one trained tensor, row-major, with AdamW's moments.
type ParamOf[T nn.Float] struct {
	Name  string // checkpoint name; of low-rank factors the layer's with .lora_A or .lora_B
	Shape []int
	Data  []T
	M, V  []T // running means of the gradient and of its square
	// NoDecay exempts the tensor from weight decay: norm gains and biases.
	NoDecay bool

	grad []T
}

// Param is the float32 form.
type Param = ParamOf[float32]

func newParam[T nn.Float](name string, data []T, shape ...int) *ParamOf[T] {
	n := len(data)
	return &ParamOf[T]{Name: name, Shape: shape, Data: data, M: make([]T, n), V: make([]T, n), grad: make([]T, n)}
}

// StateOf is everything a run needs to go on: it can be stored after any step
// and restored into a new trainer with the same model and plan.
type StateOf[T nn.Float] struct {
	Step   int // steps done
	Params []*ParamOf[T]
}

// State is the float32 form.
type State = StateOf[float32]

// core is what every kind of training shares: parameters and their update.
type core[T nn.Float] struct {
	pool   *linalg.Pool
	opt    AdamW
	params []*ParamOf[T]
	step   int
	// version counts the changes of parameters, so that weights formed from
	// them know when they are out of date.
	version int
}

func (c *core[T]) state() StateOf[T] { return StateOf[T]{Step: c.step, Params: c.params} }

func (c *core[T]) restore(s StateOf[T]) error {
	if s.Step < 0 {
		return fmt.Errorf("restore: step is %d", s.Step)
	}
	if len(s.Params) != len(c.params) {
		return fmt.Errorf("restore: %d parameters; this plan has %d", len(s.Params), len(c.params))
	}
	for i, p := range c.params {
		q := s.Params[i]
		if q.Name != p.Name || !slices.Equal(q.Shape, p.Shape) {
			return fmt.Errorf("restore: parameter %d is %s %v; expected %s %v", i, q.Name, q.Shape, p.Name, p.Shape)
		}
		if len(q.Data) != len(p.Data) || len(q.M) != len(p.M) || len(q.V) != len(p.V) {
			return fmt.Errorf("restore: %s: %d values, %d and %d moments; expected %d of each", p.Name, len(q.Data), len(q.M), len(q.V), len(p.Data))
		}
	}
	for i, p := range c.params {
		q := s.Params[i]
		copy(p.Data, q.Data)
		copy(p.M, q.M)
		copy(p.V, q.V)
	}
	c.step = s.Step
	c.version++
	return nil
}

func (c *core[T]) zeroGradients() {
	overChunks(c.pool, c.params, func(_ int, p *ParamOf[T], lo, hi int) { clear(p.grad[lo:hi]) })
}

// apply ends a step: it clips the gradients and updates every parameter. loss
// is checked with them, and nothing is changed when either is not finite.
func (c *core[T]) apply(loss, rate float64) error {
	norm := gradNorm(c.pool, c.params)
	if bad := loss - loss + norm - norm; bad != 0 { // NaN for NaN and for ±Inf
		return &DivergedError{Step: c.step, Loss: loss, GradientNorm: norm}
	}
	c.step++
	update(c.opt, c.pool, c.params, c.step, rate, c.opt.clipFactor(norm))
	c.version++
	return nil
}

// DivergedError reports a loss or gradient that is not finite. The state is the
// one before that step.
type DivergedError struct {
	Step         int // counted from 0
	Loss         float64
	GradientNorm float64
}

func (e *DivergedError) Error() string {
	return fmt.Sprintf("training diverged at step %d: loss %v, gradient norm %v; try a lower learning rate, a longer warm-up or clipping", e.Step, e.Loss, e.GradientNorm)
}
