package train

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/nn"
)

// block is one decoder block in training.
type block[T nn.Float] struct {
	adapters    [7]adapter[T] // nil: frozen
	bottlenecks []*bottleneck[T]
	params      []*ParamOf[T]
	// view is the block that passes use: the given one, with the parameters in
	// the place of what is trained. Its formed weights hold version, unless
	// their memory is shared with other blocks.
	view    nn.BlockOf[T]
	grad    nn.BlockGradOf[T]
	version int
	changed []changed[T]
}

// changed is a trained tensor of the block that is not a linear layer's weight.
type changed[T nn.Float] struct {
	name  string
	param *ParamOf[T]
	// bias is, of a norm in a block, the name that its bias has where norms have
	// one; "" elsewhere.
	bias string
}

// newBlock plans block i. dense returns memory for the formed weight of linear
// layer j.
func newBlock[T nn.Float](pool *linalg.Pool, c *arch.Config, i int, given *nn.BlockOf[T], plan Plan, common shared[T], dense func(j, n int) []T) (*block[T], error) {
	b := &block[T]{view: *given, version: -1}
	prefix := c.BlockPrefix(i)
	start := starter{plan.Init, plan.Seed}
	linears, specs := b.view.Linears(), c.At(i).Linears()
	for _, spec := range specs {
		j := nn.LinearIndex(spec.Name)
		l, g := linears[j], &b.grad.Linears[j]
		g.Sides = make([]nn.SideGradOf[T], len(l.Sides))
		if plan.Linear != nil {
			p := plan.Linear(i, spec)
			name := prefix + spec.Name
			if err := p.check(l.Out, l.In); err != nil {
				return nil, fmt.Errorf("train %s: %w", name, err)
			}
			if a := newAdapter(site[T]{p, name, 7*i + j, start, l, common}); a != nil {
				b.adapters[j] = a
				b.params = append(b.params, a.params()...)
				var w []T
				if a.formed() {
					w = dense(j, l.Out*l.In)
				}
				a.view(l, w)
				a.sinks(pool, g)
			}
		}
		if plan.Biases && l.Bias != nil {
			b.own(prefix+spec.BiasName(), &l.Bias, &g.Bias)
		}
	}
	for _, module := range plan.Adapters.Modules() {
		a := newBottleneck(plan.Adapters, prefix+module, c.Hidden, plan.Seed, common)
		b.bottlenecks = append(b.bottlenecks, a)
		b.params = append(b.params, a.params...)
		*b.view.Adapter(module), *b.grad.Adapter(module) = &a.view, &a.grad
	}
	if plan.Norms {
		if given.QNorm != nil {
			b.own(prefix+arch.QNormName, &b.view.QNorm, &b.grad.QNorm)
			b.own(prefix+arch.KNormName, &b.view.KNorm, &b.grad.KNorm)
		}
		b.own(prefix+arch.InputNormName, &b.view.InputNorm, &b.grad.InputNorm)
		b.changed[len(b.changed)-1].bias = prefix + arch.InputNormBiasName
		b.own(prefix+arch.PostNormName, &b.view.PostNorm, &b.grad.PostNorm)
		b.changed[len(b.changed)-1].bias = prefix + arch.PostNormBiasName
	}
	return b, nil
}

// own makes a vector of the view a parameter of the block.
func (b *block[T]) own(name string, v, grad *[]T) {
	p := newParam(name, append([]T(nil), *v...), len(*v))
	p.NoDecay = true
	b.params = append(b.params, p)
	b.changed = append(b.changed, changed[T]{name: name, param: p})
	*v, *grad = p.Data, p.grad
}

// form brings the weights that passes use up to date.
func (b *block[T]) form(pool *linalg.Pool) {
	linears := b.view.Linears()
	for j, a := range b.adapters {
		if a != nil {
			a.derive()
		}
		if a != nil && a.formed() {
			a.merge(pool, linears[j].W)
		}
	}
	for _, a := range b.bottlenecks {
		a.derive()
	}
}

// merged calls yield with every tensor of the block that training changes, in
// memory of its own.
func (b *block[T]) merged(pool *linalg.Pool, c *arch.Config, i int, yield func(name string, shape []int, data []T) error) error {
	specs := c.At(i).Linears()
	for _, s := range specs {
		a := b.adapters[nn.LinearIndex(s.Name)]
		if a == nil {
			continue
		}
		w := make([]T, s.Out*s.In)
		a.merge(pool, w)
		if err := yield(c.BlockPrefix(i)+s.Weight(), []int{s.Out, s.In}, w); err != nil {
			return err
		}
	}
	for _, a := range b.bottlenecks {
		for _, p := range a.own {
			if err := yield(p.Name, p.Shape, slices.Clone(p.Data)); err != nil {
				return err
			}
		}
	}
	if len(b.bottlenecks) > 0 {
		rule := b.bottlenecks[0].rule
		if err := yield(c.BlockPrefix(i)+arch.RuleName, rule.Shape, slices.Clone(rule.Data)); err != nil {
			return err
		}
	}
	for _, t := range b.changed {
		give := func() error { return yield(t.name, t.param.Shape, slices.Clone(t.param.Data)) }
		if t.bias != "" {
			give = func() error { return yieldNorm(c, t.param, t.bias, yield) }
		}
		if err := give(); err != nil {
			return err
		}
	}
	return nil
}

// fits are the parametrisations of the trained layers, then the adapters.
func (b *block[T]) fits() []dependent {
	var as []dependent
	for _, a := range b.adapters {
		if a != nil {
			as = append(as, a)
		}
	}
	for _, a := range b.bottlenecks {
		as = append(as, a)
	}
	return as
}

// yieldNorm yields a norm's gain and, where norms have one, its bias, which
// follows the gain in p.
func yieldNorm[T nn.Float](c *arch.Config, p *ParamOf[T], bias string, yield func(name string, shape []int, data []T) error) error {
	d := []int{c.Hidden}
	if err := yield(p.Name, d, slices.Clone(p.Data[:c.Hidden])); err != nil || !c.NormBias {
		return err
	}
	return yield(bias, d, slices.Clone(p.Data[c.Hidden:]))
}
