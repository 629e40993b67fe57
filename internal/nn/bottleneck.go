package nn

import (
	"fmt"

	"github.com/compressc/compressc/internal/arch"
)

// BottleneckOf is an adapter behind a sublayer, whose output y [rows, hidden]
// becomes y + Up(gelu(Down(y))), as arch.Adapters says. Its layers have whole
// weights: they are so small beside the sublayer's that multiplying by the
// factors, of which they are made, would gain nothing that can be seen.
type BottleneckOf[T Float] struct {
	Down, Up LinearOf[T]
}

// Bottleneck is the float32 form.
type Bottleneck = BottleneckOf[float32]

// BottleneckGradOf says which gradients of an adapter are wanted.
type BottleneckGradOf[T Float] struct {
	Down, Up LinearGradOf[T]
}

// bottleneckAct is gelu_new, the authors' non_linearity.
const bottleneckAct = arch.ActGELUTanh

// loadBottleneck assembles an adapter of a block.
func loadBottleneck(c *arch.Config, module string, tensor func(name string, n int) ([]float32, error)) (*Bottleneck, error) {
	a := c.Adapters
	rule, err := tensor(arch.RuleName, a.Order*a.Order*a.Order)
	if err != nil {
		return nil, err
	}
	var b Bottleneck
	to := [2]*Linear{&b.Down, &b.Up}
	for i, l := range a.Layers(module, c.Hidden) {
		k := KroneckerOf[float32]{Out: l.Out, In: l.In, Order: a.Order, Rank: a.Rank, Rule: rule}
		if k.Left, err = tensor(l.Left(), l.In*a.Rank); err != nil {
			return nil, err
		}
		if k.Right, err = tensor(l.Right(), a.Rank*l.Out); err != nil {
			return nil, err
		}
		*to[i] = Linear{Out: l.Out, In: l.In, W: make([]float32, l.Out*l.In)}
		k.Weight(to[i].W)
		if to[i].Bias, err = tensor(l.BiasName(), l.Out); err != nil {
			return nil, err
		}
	}
	return &b, nil
}

// Adapter returns where the block has the adapter that arch.Adapters calls module.
// It panics for another name.
func (b *BlockOf[T]) Adapter(module string) **BottleneckOf[T] {
	switch module {
	case arch.AttentionAdapter:
		return &b.AfterAttention
	case arch.MLPAdapter:
		return &b.AfterMLP
	}
	panic(fmt.Sprintf("nn: no adapter %q", module))
}

// Adapter returns where g has the gradients of a block's adapter.
func (g *BlockGradOf[T]) Adapter(module string) **BottleneckGradOf[T] {
	switch module {
	case arch.AttentionAdapter:
		return &g.AfterAttention
	case arch.MLPAdapter:
		return &g.AfterMLP
	}
	panic(fmt.Sprintf("nn: no adapter %q", module))
}

// bottleneckTape is what the way through an adapter passes.
type bottleneckTape[T Float] struct {
	in       []T // what the sublayer yields [rows, hidden]
	low, act []T // the bottleneck before and after its activation [rows, width]
}

// take points an adapter's values at memory: from take, which gives so many
// elements a row. shared lets the activations replace what they are of.
func (m *bottleneckTape[T]) take(b *BottleneckOf[T], shared bool, take func(n int) []T) {
	if *m = (bottleneckTape[T]{}); b == nil {
		return
	}
	m.in, m.low = take(b.Down.In), take(b.Down.Out)
	if m.act = m.low; !shared {
		m.act = take(b.Down.Out)
	}
}

// width is how many elements a row of an adapter's values has.
func (b *BottleneckOf[T]) width(shared bool) int {
	switch {
	case b == nil:
		return 0
	case shared:
		return b.Down.In + b.Down.Out
	}
	return b.Down.In + 2*b.Down.Out
}

// yield sets y [rows, l.Out] to beta·y + what the last layer l of a sublayer makes
// of x, through the adapter b behind it, if there is one. beta is 0 or 1.
func (r *RunnerOf[T]) yield(l *LinearOf[T], b *BottleneckOf[T], x []T, beta T, y []T, rows int, hidden []T, m *bottleneckTape[T]) {
	if b == nil {
		l.forward(r.pool, x, beta, y, rows, hidden)
		return
	}
	l.forward(r.pool, x, 0, m.in, rows, hidden)
	b.Down.forward(r.pool, m.in, 0, m.low, rows, nil)
	r.activate(bottleneckAct, m.act, m.low)
	if beta == 0 {
		copy(y, m.in)
	} else {
		overRows(r.pool, rows, func(lo, hi int) { add(y[lo*l.Out:hi*l.Out], m.in[lo*l.Out:hi*l.Out]) })
	}
	b.Up.forward(r.pool, m.act, 1, y, rows, nil)
}

// yieldBack returns the gradient at what the last layer of a sublayer yields, from
// dy at what goes on from there, and adds the gradients of the adapter b that g
// asks for: dy itself where there is no adapter. What it returns is scratch.
func (r *RunnerOf[T]) yieldBack(b *BottleneckOf[T], g *BottleneckGradOf[T], dy []T, rows int, m *bottleneckTape[T]) []T {
	if b == nil {
		return dy
	}
	if g == nil {
		g = &BottleneckGradOf[T]{}
	}
	s := &r.grad
	low := grown(&s.low, rows*b.Down.Out)
	b.Up.backward(r.pool, m.act, dy, rows, nil, &g.Up, 0, low, &s.linear)
	r.activateBack(bottleneckAct, low, m.low)
	d := grown(&s.beside, len(dy))
	copy(d, dy)
	b.Down.backward(r.pool, m.in, low, rows, nil, &g.Down, 1, d, &s.linear)
	return d
}
