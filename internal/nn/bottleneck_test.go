package nn

import (
	"math"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/arch"
)

// The examples of the method's description, H [in, out].
func TestKroneckerByHand(t *testing.T) {
	for _, c := range []struct {
		name string
		k    KroneckerOf[float64]
		h    []float64
	}{
		{"a swap", KroneckerOf[float64]{Out: 2, In: 2, Order: 2, Rank: 1, Rule: []float64{1, 0, 0, 1, 0, 1, 1, 0}, Left: []float64{1, 2}, Right: []float64{1, 1}},
			[]float64{1, 2, 2, 1}},
		{"one product", KroneckerOf[float64]{Out: 4, In: 4, Order: 2, Rank: 1, Rule: []float64{1, 0, 0, -1, 0, 0, 0, 0}, Left: []float64{1, 2, 0, 0}, Right: []float64{3, 1, 0, 0}},
			[]float64{3, 1, 0, 0, 6, 2, 0, 0, 0, 0, -3, -1, 0, 0, -6, -2}},
	} {
		w := make([]float64, c.k.Out*c.k.In)
		c.k.Weight(w)
		for i := range c.k.In {
			for j := range c.k.Out {
				if w[j*c.k.In+i] != c.h[i*c.k.Out+j] {
					t.Fatalf("%s: the weight is %v; expected the transpose of %v", c.name, w, c.h)
				}
			}
		}
	}
}

// The fast product of the paper, Y = Σ A_iᵀ·(X s_i)·t_i on x as rows, is the
// product with the whole weight.
func TestKroneckerIsTheFastProduct(t *testing.T) {
	const n, in, out, r = 3, 12, 15, 2
	k, x := drawnKronecker(n, in, out, r), wide(noise(new(uint64), in, 1))
	w := make([]float64, out*in)
	k.Weight(w)
	y := make([]float64, out)
	for i := range n {
		z := make([]float64, n*r) // X·s_i
		Gemm(nil, false, false, n, r, in/n, 1, x, in/n, k.Left[i*in/n*r:], r, 0, z, r)
		m := make([]float64, n*r) // A_iᵀ of that
		Gemm(nil, true, false, n, r, n, 1, k.Rule[i*n*n:], n, z, r, 0, m, r)
		Gemm(nil, false, false, n, out/n, r, 1, m, r, k.Right[i*r*out/n:], out/n, 1, y, out/n)
	}
	for j := range out {
		if want := dot(w[j*in:(j+1)*in], x); math.Abs(y[j]-want) > 1e-12 {
			t.Errorf("output %d is %v, by the whole weight %v", j, y[j], want)
		}
	}
}

func drawnKronecker(n, in, out, r int) *KroneckerOf[float64] {
	seed := uint64(n * in * out)
	draw := func(size int) []float64 { return wide(noise(&seed, size, 1)) }
	return &KroneckerOf[float64]{Out: out, In: in, Order: n, Rank: r, Rule: draw(n * n * n), Left: draw(in * r), Right: draw(r * out)}
}

// Gradients of A, s and t against differences of Σ weights·W.
func TestKroneckerGradients(t *testing.T) {
	for _, c := range [][4]int{{1, 3, 2, 1}, {2, 4, 6, 1}, {3, 12, 6, 2}, {4, 16, 16, 3}} {
		k := drawnKronecker(c[0], c[1], c[2], c[3])
		seed := uint64(5)
		dw, w := wide(noise(&seed, k.Out*k.In, 1)), make([]float64, k.Out*k.In)
		grads := [3][]float64{like(k.Rule), like(k.Left), like(k.Right)}
		grads[0][0] = 7 // what is there stays
		k.Backward(dw, grads[0], grads[1], grads[2])
		grads[0][0] -= 7
		for i, p := range [][]float64{k.Rule, k.Left, k.Right} {
			for j := range p {
				v := make([]float64, len(p))
				v[j] = 1
				want := slope(p, v, func() float64 {
					k.Weight(w)
					return dot(w, dw)
				})
				if got := grads[i][j]; math.Abs(got-want) > 1e-8*(1+math.Abs(want)) {
					t.Errorf("%v, tensor %d, element %d: %.12g, differences say %.12g", c, i, j, got, want)
				}
			}
		}
	}
}

// What goes on is y + up(gelu(down(y))) of what attention and MLP yield, and
// nothing else changes.
func TestBottlenecksByDefinition(t *testing.T) {
	fx := smallGPT2(t, `, "bottleneck_adapters": {"placement": "both", "order": 2, "width": 4, "rank": 1}`)
	m := widen(fx.model(t))
	b, n, d := m.Blocks[0], len(fx.ids), m.Config.Hidden
	plain := *b
	plain.AfterAttention, plain.AfterMLP = nil, nil
	r := NewRunnerOf[float64](m.Config, nil)
	behind := func(a *BottleneckOf[float64], y []float64) []float64 {
		out := slices.Clone(y)
		for t := range n {
			row := y[t*d : (t+1)*d]
			for k := range a.Down.Out {
				z := dot(a.Down.W[k*d:(k+1)*d], row) + a.Down.Bias[k]
				z *= 0.5 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(z+0.044715*z*z*z)))
				for j := range d {
					out[t*d+j] += a.Up.W[j*a.Up.In+k] * z
				}
			}
			add(out[t*d:(t+1)*d], a.Up.Bias)
		}
		return out
	}
	seed := uint64(3)
	x := wide(noise(&seed, n*d, 1))
	h, y := make([]float64, n*d), make([]float64, n*d)
	r.norm(h, x, b.InputNorm, n, nil)
	r.Attention(&plain, h, 1, n, y)
	want := slices.Clone(x)
	add(want, behind(b.AfterAttention, y))
	r.norm(h, want, b.PostNorm, n, nil)
	r.MLP(&plain, h, n, y)
	add(want, behind(b.AfterMLP, y))
	got := slices.Clone(x)
	r.Forward(b, got, n, nil)
	if e := worst(got, want); e > 1e-12 {
		t.Errorf("the block is off by %.3g", e)
	}
	r.Forward(&plain, x, n, nil)
	if e := worst(x, want); e < 1e-3 {
		t.Errorf("without adapters the block yields the same to %.3g", e)
	}
}

// A model with adapters that add nothing is the model without, but for rounding.
func TestBottlenecksThatAddNothing(t *testing.T) {
	fx := smallGPT2(t, `, "bottleneck_adapters": {"placement": "ffn", "order": 2, "width": 4, "rank": 1}`)
	m := fx.model(t)
	r := NewRunner(m.Config, nil)
	for _, b := range m.Blocks {
		if b.AfterAttention != nil || b.AfterMLP == nil {
			t.Fatal("the adapter stands elsewhere than behind the MLP")
		}
		clear(b.AfterMLP.Up.W)
		clear(b.AfterMLP.Up.Bias)
	}
	with := pass(r, m, fx.ids)
	for _, b := range m.Blocks {
		b.AfterMLP = nil
	}
	c := *m.Config
	c.Adapters = arch.Adapters{}
	if without := pass(NewRunner(&c, nil), m, fx.ids); worst(with, without) > 1e-6 {
		t.Errorf("adapters of zeros move the outputs by %.3g", worst(with, without))
	}
}

// A tape of a block with adapters takes the memory that is said of it.
func TestBottleneckTapeBytes(t *testing.T) {
	for _, keys := range []string{``, `, "bottleneck_adapters": {"placement": "ffn", "order": 2, "width": 4, "rank": 1}`, `, "bottleneck_adapters": {"placement": "both", "order": 2, "width": 6, "rank": 1}`} {
		fx := smallGPT2(t, keys)
		m, n := fx.model(t), len(fx.ids)
		var tape Tape
		NewRunner(m.Config, nil).ForwardTape(m.Blocks[0], make([]float32, n*m.Config.Hidden), n, &tape)
		if got, want := int64(4*len(tape.act.buf)), TapeBytes(m.Config, n); got != want {
			t.Errorf("%s: a tape takes %d bytes; expected %d", keys, got, want)
		}
	}
}
