package train

import (
	"math"
	"slices"
	"testing"
)

// The first step is the gradient's sign. A threshold of nearly nothing leaves
// AdamW, decay included.
func TestAdamPFirstStep(t *testing.T) {
	step := func(o Optimizer) []float64 {
		p := newParam("w", []float64{1, -2, 0.5, 4}, 2, 2)
		copy(p.grad, []float64{0.3, -2, 1e-3, 50})
		c := core[float64]{opt: o, params: []*ParamOf[float64]{p}}
		c.begin()
		if err := c.apply(0, 0.01); err != nil {
			t.Fatal(err)
		}
		return p.Data
	}
	p := DefaultAdamP()
	p.Clip, p.Eps = 0, 1e-15
	for i, x := range step(p) {
		want := []float64{1 - 0.01, -2 + 0.01, 0.5 - 0.01, 4 - 0.01}[i]
		if math.Abs(x-want) > 1e-12 {
			t.Errorf("element %d is %v after a step of 0.01; expected %v", i, x, want)
		}
	}
	p.WeightDecay, p.Delta = 0.1, 1e-300
	if got, want := step(p), step(p.AdamW); !slices.Equal(got, want) {
		t.Errorf("without a threshold %v; AdamW gives %v", got, want)
	}
}

// An MLP whose hidden layers go through a layer norm: the length of their weights
// does not matter, and the projection finds that; that of the last layer's does, so
// that its gradient is at right angles to it by chance alone.
func TestAdamPFindsNormalisedWeights(t *testing.T) {
	const in, width, batch, steps = 6, 12, 24, 60
	seed := uint64(21)
	x, y := noise(&seed, batch*in), noise(&seed, batch)
	layer := func(name string, out, in int) *ParamOf[float64] {
		w := noise(&seed, out*in)
		for i := range w {
			w[i] *= 0.3
		}
		return newParam(name, w, out, in)
	}
	ps := []*ParamOf[float64]{layer("first", width, in), layer("second", width, width), layer("last", 1, width)}
	o := DefaultAdamP()
	o.Clip = 0
	c := core[float64]{opt: o, params: ps}
	c.begin()
	fired := make([]int, len(ps))
	var first, last float64
	for s := range steps {
		c.zeroGradients()
		loss := 0.0
		for b := range batch {
			h := x[b*in : b*in+in]
			var inputs, outputs [][]float64
			for _, p := range ps[:2] {
				z := times(p, h)
				inputs, outputs = append(inputs, h), append(outputs, z)
				n := normalised(z)
				h = make([]float64, width)
				for i, v := range n {
					h[i] = max(v, 0)
				}
			}
			d := times(ps[2], h)[0] - y[b]
			loss += d * d
			back := make([]float64, width)
			for i := range back {
				ps[2].grad[i] += 2 * d * h[i]
				back[i] = 2 * d * ps[2].Data[i]
			}
			for l := 1; l >= 0; l-- {
				back = throughNorm(outputs[l], back)
				cols := len(inputs[l])
				next := make([]float64, cols)
				for i, g := range back {
					for j, v := range inputs[l] {
						ps[l].grad[i*cols+j] += g * v
						next[j] += g * ps[l].Data[i*cols+j]
					}
				}
				back = next
			}
		}
		if s == 0 {
			first = loss
		}
		last = loss
		for i, p := range ps {
			if project(o, p, make([]float64, len(p.Data))) {
				fired[i]++
			}
		}
		if err := c.apply(loss, 3e-3); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("loss from %.3f to %.3f; projections of %d steps: %v", first, last, steps, fired)
	if !(last < first) || fired[0] < steps*9/10 || fired[1] < steps*9/10 || fired[2] > steps/20 {
		t.Errorf("loss from %v to %v, projections %v of %d; expected nearly all, nearly all, hardly any", first, last, fired, steps)
	}
}

// times is W·x.
func times(p *ParamOf[float64], x []float64) []float64 {
	out := make([]float64, p.Shape[0])
	for i := range out {
		out[i] = dot(p.Data[i*len(x):(i+1)*len(x)], x)
	}
	return out
}

// normalised has mean 0 and variance 1.
func normalised(z []float64) []float64 {
	mean, deviation := momentsOf(z)
	out := make([]float64, len(z))
	for i, v := range z {
		out[i] = (v - mean) / deviation
	}
	return out
}

func momentsOf(z []float64) (mean, deviation float64) {
	for _, v := range z {
		mean += v / float64(len(z))
	}
	for _, v := range z {
		deviation += (v - mean) * (v - mean) / float64(len(z))
	}
	return mean, math.Sqrt(deviation)
}

// throughNorm is the gradient at z of what goes through normalised and a rectifier,
// whose gradient is g.
func throughNorm(z, g []float64) []float64 {
	n := normalised(z)
	_, deviation := momentsOf(z)
	var sum, along float64
	for i, v := range n {
		if v <= 0 {
			g[i] = 0
		}
		sum += g[i] / float64(len(z))
		along += g[i] * v / float64(len(z))
	}
	out := make([]float64, len(z))
	for i, v := range n {
		out[i] = (g[i] - sum - v*along) / deviation
	}
	return out
}
