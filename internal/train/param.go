package train

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/nn"
)

// ParamOf is one trained tensor, row-major, with what a run remembers of it.
type ParamOf[T nn.Float] struct {
	Name  string // checkpoint name; of low-rank factors the layer's with .lora_A or .lora_B
	Shape []int
	Data  []T
	// Slots are the optimizer's running tensors in its order, then those of the
	// parametrisation. Each is as long as Data, but for those that say otherwise.
	Slots []SlotOf[T]
	// NoDecay exempts the tensor from weight decay: norm gains and biases.
	NoDecay bool

	grad []T
}

// Param is the float32 form.
type Param = ParamOf[float32]

func newParam[T nn.Float](name string, data []T, shape ...int) *ParamOf[T] {
	return &ParamOf[T]{Name: name, Shape: shape, Data: data, grad: make([]T, len(data))}
}

// SlotOf is a tensor that is remembered from step to step beside a parameter.
type SlotOf[T nn.Float] struct {
	Name string
	Data []T
}

// remember adds slots of zeros.
func (p *ParamOf[T]) remember(names ...string) {
	for _, n := range names {
		p.Slots = append(p.Slots, SlotOf[T]{n, make([]T, len(p.Data))})
	}
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
	opt    Optimizer
	params []*ParamOf[T]
	fits   []dependent
	budget *budget[T] // nil: ranks stay as they are
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
		if len(q.Data) != len(p.Data) {
			return fmt.Errorf("restore: %s: %d values; expected %d", p.Name, len(q.Data), len(p.Data))
		}
		if len(q.Slots) != len(p.Slots) {
			return fmt.Errorf("restore: %s: %d tensors beside it; expected %d", p.Name, len(q.Slots), len(p.Slots))
		}
		for j, s := range p.Slots {
			if o := q.Slots[j]; o.Name != s.Name || len(o.Data) != len(s.Data) {
				return fmt.Errorf("restore: %s: found %s of %d values; expected %s of %d", p.Name, o.Name, len(o.Data), s.Name, len(s.Data))
			}
		}
	}
	for i, p := range c.params {
		q := s.Params[i]
		copy(p.Data, q.Data)
		for j := range p.Slots {
			copy(p.Slots[j].Data, q.Slots[j].Data)
		}
	}
	c.step = s.Step
	c.version++
	return nil
}

func (c *core[T]) zeroGradients() {
	overChunks(c.pool, c.params, func(_ int, p *ParamOf[T], lo, hi int) { clear(p.grad[lo:hi]) })
	for _, a := range c.fits {
		a.reset()
	}
}

// chain ends the gradients of a batch.
func (c *core[T]) chain() {
	for _, a := range c.fits {
		a.chain()
	}
}

// begin gives every parameter the optimizer's slots, before its own.
func (c *core[T]) begin() {
	for _, p := range c.params {
		own := p.Slots
		p.Slots = nil
		p.remember(c.opt.Slots()...)
		p.Slots = append(p.Slots, own...)
	}
}

// apply ends a step: it clips the gradients and updates every parameter. loss
// is checked with them, and nothing is changed when either is not finite.
func (c *core[T]) apply(loss, rate float64) error {
	c.budget.penalize()
	norm := gradNorm(c.pool, c.params)
	if bad := loss - loss + norm - norm; bad != 0 { // NaN for NaN and for ±Inf
		return &DivergedError{Step: c.step, Loss: loss, GradientNorm: norm}
	}
	c.step++
	factor := clipFactor(c.opt.Limit(), norm)
	update(c.opt, stepOf[T]{c.pool, c.params, c.step, rate, factor})
	c.budget.adjust(c.step, factor)
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
