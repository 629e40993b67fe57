package train

import (
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/nn"
)

// bottleneck is an adapter behind a sublayer in training, with the shared
// matrices A_i near 0 at the start, and so near adding nothing.
type bottleneck[T nn.Float] struct {
	layers [2]struct { // down and up
		weight  nn.KroneckerOf[T]
		formed  *nn.LinearOf[T]
		grad    *nn.LinearGradOf[T]
		s, t, b *ParamOf[T]
	}
	rule *ParamOf[T]
	own  []*ParamOf[T] // this adapter's alone
	// params are own and, in the first adapter of all, the shared matrices.
	params []*ParamOf[T]
	// view is what passes use, and grad where its gradients go: those of weights
	// to the formed ones first.
	view nn.BottleneckOf[T]
	grad nn.BottleneckGradOf[T]
}

// newBottleneck plans the adapter of that full name.
func newBottleneck[T nn.Float](c arch.Adapters, name string, hidden int, seed uint64, common shared[T]) *bottleneck[T] {
	a := &bottleneck[T]{}
	var first bool
	if a.rule, first = sharedRule(common, arch.RuleName, c.Order, seed); first {
		a.params = append(a.params, a.rule)
	}
	a.layers[0].formed, a.layers[1].formed = &a.view.Down, &a.view.Up
	a.layers[0].grad, a.layers[1].grad = &a.grad.Down, &a.grad.Up
	n, r := c.Order, c.Rank
	for i, spec := range c.Layers(name, hidden) {
		l, in, out := &a.layers[i], spec.In/n, spec.Out/n
		l.s = newParam(spec.Left(), make([]T, n*in*r), n, in, r)
		l.t = newParam(spec.Right(), make([]T, n*r*out), n, r, out)
		l.b = newParam(spec.BiasName(), make([]T, spec.Out), spec.Out)
		l.b.NoDecay = true
		glorot(seed, l.s, in+r)
		glorot(seed, l.t, out+r)
		a.own = append(a.own, l.s, l.t, l.b)
		l.weight = nn.KroneckerOf[T]{Out: spec.Out, In: spec.In, Order: n, Rank: r, Rule: a.rule.Data, Left: l.s.Data, Right: l.t.Data}
		*l.formed = nn.LinearOf[T]{Out: spec.Out, In: spec.In, W: make([]T, spec.Out*spec.In), Bias: l.b.Data}
		*l.grad = nn.LinearGradOf[T]{W: make([]T, spec.Out*spec.In), Bias: l.b.grad}
	}
	a.params = append(a.params, a.own...)
	return a
}

func (a *bottleneck[T]) derive() {
	for i := range a.layers {
		a.layers[i].weight.Weight(a.layers[i].formed.W)
	}
}

func (a *bottleneck[T]) reset() {
	for i := range a.layers {
		clear(a.layers[i].grad.W)
	}
}

func (a *bottleneck[T]) chain() {
	for i := range a.layers {
		l := &a.layers[i]
		l.weight.Backward(l.grad.W, a.rule.grad, l.s.grad, l.t.grad)
	}
}
