package nn

import (
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/linalg"
	"pgregory.net/rapid"
)

// grads holds a gradient for everything in a model.
type grads[T Float] struct {
	embed  []T
	blocks []*BlockGradOf[T]
	head   HeadGradOf[T]
}

func like[T Float](x []T) []T {
	if x == nil {
		return nil
	}
	return make([]T, len(x))
}

func linearGrad[T Float](l *LinearOf[T]) LinearGradOf[T] {
	g := LinearGradOf[T]{W: like(l.W), Bias: like(l.Bias)}
	for _, s := range l.Sides {
		g.Sides = append(g.Sides, SideGradOf[T]{A: like(s.A), B: like(s.B)})
	}
	return g
}

// differentiate returns Σ nll over the targets, and its gradients.
func differentiate[T Float](r *RunnerOf[T], m *ModelOf[T], ids, targets []int32, scale T) (float64, []T, *grads[T]) {
	n := len(ids)
	x := make([]T, n*m.Config.Hidden)
	r.Embed(m.Embed, ids, x)
	if m.Positions != nil {
		r.AddPositions(m.Positions, x, n)
	}
	g := &grads[T]{embed: like(m.Embed), head: HeadGradOf[T]{Norm: like(m.Norm), Head: linearGrad(&m.Head)}}
	tapes := make([]TapeOf[T], len(m.Blocks))
	for i, b := range m.Blocks {
		bg := &BlockGradOf[T]{InputNorm: like(b.InputNorm), PostNorm: like(b.PostNorm), QNorm: like(b.QNorm), KNorm: like(b.KNorm)}
		for j, l := range b.Linears() {
			bg.Linears[j] = linearGrad(l)
		}
		for _, module := range m.Config.Adapters.Modules() {
			a := *b.Adapter(module)
			*bg.Adapter(module) = &BottleneckGradOf[T]{linearGrad(&a.Down), linearGrad(&a.Up)}
		}
		g.blocks = append(g.blocks, bg)
		r.ForwardTape(b, x, n, &tapes[i])
	}
	dx := like(x)
	loss := r.Loss(m.Norm, &m.Head, x, n, targets, scale, dx, &g.head)
	for i := len(m.Blocks) - 1; i >= 0; i-- {
		r.Backward(m.Blocks[i], &tapes[i], dx, g.blocks[i])
	}
	r.AddEmbedGradient(g.embed, ids, dx)
	return loss, dx, g
}

// named lists gradients (or, of a model, parameters) by checkpoint name.
func (g *grads[T]) named(c *arch.Config) map[string][]T {
	out := map[string][]T{c.FinalNormName(): g.head.Norm, c.EmbedName(): g.embed}
	if c.Tied {
		s := slices.Clone(g.embed)
		add(s, g.head.Head.W)
		out[c.EmbedName()] = s
	} else {
		out[c.HeadName()] = g.head.Head.W
	}
	for i, b := range g.blocks {
		p := c.BlockPrefix(i)
		for j, l := range c.Linears() {
			out[p+l.Weight()] = b.Linears[j].W
			if l.Bias {
				out[p+l.BiasName()] = b.Linears[j].Bias
			}
			for k, s := range b.Linears[j].Sides {
				side := p + l.Name + ".side" + strconv.Itoa(k)
				out[side+".A"], out[side+".B"] = s.A, s.B
			}
		}
		for _, module := range c.Adapters.Modules() {
			a := *b.Adapter(module)
			for what, l := range map[string]*LinearGradOf[T]{".down": &a.Down, ".up": &a.Up} {
				out[p+module+what+".weight"], out[p+module+what+".bias"] = l.W, l.Bias
			}
		}
		out[p+arch.InputNormName], out[p+arch.PostNormName] = b.InputNorm, b.PostNorm
		if c.QKNorm {
			out[p+arch.QNormName], out[p+arch.KNormName] = b.QNorm, b.KNorm
		}
	}
	return out
}

func TestGradientsMatchTorch(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			fx := openFixture(t, filepath.Join("testdata", name), "golden.safetensors")
			m := fx.model(t)
			n := float64(len(fx.ids) - 1)
			// In float32 rounding separates the two; in float64 only the places
			// where transformers goes back to float32 (softmax, norms, angles).
			loss32, _, g32 := differentiate(NewRunner(fx.config, nil), m, fx.ids, fx.targets(), float32(1/n))
			loss64, _, g64 := differentiate(NewRunnerOf[float64](fx.config, nil), widen(m), fx.ids, fx.targets(), 1/n)
			want := float64(fx.f32["loss"][0])
			if math.Abs(loss32/n-want) > 1e-5*want || math.Abs(loss64/n-want) > 1e-6*want {
				t.Errorf("loss %v (float32), %v (float64); expected %v", loss32/n, loss64/n, want)
			}
			n32, n64, checked := g32.named(fx.config), g64.named(fx.config), 0
			for name, got := range n32 {
				golden, ok := fx.f32["grad."+name]
				if !ok {
					t.Fatalf("no golden gradient of %s", name)
				}
				checked++
				if e := worst(got, golden); !(e < 1e-4) {
					t.Errorf("%s: float32 gradient differs by %.3g", name, e)
				}
				if e := worst(n64[name], golden); !(e < 1e-5) {
					t.Errorf("%s: float64 gradient differs by %.3g", name, e)
				}
			}
			t.Logf("%d gradients", checked)
		})
	}
}

// slope returns the central difference of f along direction v at p, which it
// leaves as it was.
func slope(p, v []float64, f func() float64) float64 {
	const h = 1e-5
	old := slices.Clone(p)
	at := func(s float64) float64 {
		for i := range p {
			p[i] = old[i] + s*v[i]
		}
		return f()
	}
	d := (at(h) - at(-h)) / (2 * h)
	copy(p, old)
	return d
}

// Every gradient the backward pass gives, low-rank sides and the block's input
// included, against central differences in float64.
func TestGradientsMatchFiniteDifferences(t *testing.T) {
	more := map[string]string{
		"gpt2":                ``,
		"gpt2 rms":            `, "norm_kind": "rms", "norm_bias": false, "head_bias": true, "tie_word_embeddings": false`,
		"gpt2 rms with bias":  `, "norm_kind": "rms", "tie_word_embeddings": false`,
		"gpt2 crms":           `, "norm_kind": "crms", "norm_bias": false, "head_bias": true, "tie_word_embeddings": false`,
		"gpt2 crms with bias": `, "norm_kind": "crms"`,
		"gpt2 adapters":       `, "bottleneck_adapters": {"placement": "both", "order": 2, "width": 4, "rank": 2}`,
		"gpt2 mlp adapters":   `, "bottleneck_adapters": {"placement": "ffn", "order": 3, "width": 3, "rank": 1}`,
	}
	for _, name := range slices.Concat(slices.Sorted(maps.Keys(more)), fixtures) {
		t.Run(name, func(t *testing.T) {
			var fx *fixture
			if keys, ok := more[name]; ok {
				fx = smallGPT2(t, keys)
			} else {
				fx = openFixture(t, filepath.Join("testdata", name), "golden.safetensors")
			}
			fx.ids = fx.ids[:24]
			m := widen(fx.model(t))
			seed := uint64(11)
			side := func(l *LinearOf[float64], rank int) {
				l.Sides = append(l.Sides, SideOf[float64]{
					A: wide(noise(&seed, rank*l.In, 0.3)), B: wide(noise(&seed, l.Out*rank, 0.3)), Rank: rank, Scale: 1.25})
			}
			for _, b := range m.Blocks {
				for j, l := range b.Linears() {
					if l.Out > 0 {
						side(l, 1+j%3)
					}
				}
			}
			side(&m.Blocks[0].Q, 2) // two sides beside one layer
			side(&m.Head, 2)
			if m.Config.Tied {
				m.Head.W = slices.Clone(m.Head.W) // so that the two can be moved apart
			}
			targets := fx.targets()
			targets[5] = -1
			r := NewRunnerOf[float64](fx.config, nil)
			f := func() float64 {
				x := pass(r, m, fx.ids)
				return 0.5 * Sum(r.NLL(m.Norm, &m.Head, x, len(fx.ids), targets))
			}
			_, dx, g := differentiate(r, m, fx.ids, targets, 0.5)
			check := func(what string, p, grad []float64) {
				t.Helper()
				v := wide(noise(&seed, len(p), 1))
				want, got := slope(p, v, f), dot(grad, v)
				if e := math.Abs(got-want) / max(math.Abs(want), 1e-2); !(e < 1e-6) {
					t.Errorf("%s: slope %.10g, differences say %.10g (off by %.2g)", what, got, want, e)
				}
			}
			linear := func(what string, l *LinearOf[float64], lg *LinearGradOf[float64]) {
				check(what, l.W, lg.W)
				if l.Bias != nil {
					check(what+" bias", l.Bias, lg.Bias)
				}
				for k := range l.Sides {
					check(what+" A", l.Sides[k].A, lg.Sides[k].A)
					check(what+" B", l.Sides[k].B, lg.Sides[k].B)
				}
			}
			for i, b := range m.Blocks {
				for j, l := range b.Linears() {
					linear("block "+strconv.Itoa(i)+" linear "+strconv.Itoa(j), l, &g.blocks[i].Linears[j])
				}
				for _, module := range m.Config.Adapters.Modules() {
					a, ag := *b.Adapter(module), *g.blocks[i].Adapter(module)
					linear(module+" down", &a.Down, &ag.Down)
					linear(module+" up", &a.Up, &ag.Up)
				}
				check("input norm", b.InputNorm, g.blocks[i].InputNorm)
				check("post norm", b.PostNorm, g.blocks[i].PostNorm)
				if b.QNorm != nil {
					check("q norm", b.QNorm, g.blocks[i].QNorm)
					check("k norm", b.KNorm, g.blocks[i].KNorm)
				}
			}
			check("final norm", m.Norm, g.head.Norm)
			linear("head", &m.Head, &g.head.Head)
			check("embedding", m.Embed, g.embed)

			// The gradient at the input, moved one activation at a time.
			x := make([]float64, len(dx))
			r.Embed(m.Embed, fx.ids, x)
			if m.Positions != nil {
				r.AddPositions(m.Positions, x, len(fx.ids))
			}
			v := wide(noise(&seed, len(x), 1))
			want := slope(x, v, func() float64 {
				y := slices.Clone(x)
				for _, b := range m.Blocks {
					r.Forward(b, y, len(fx.ids), nil)
				}
				return 0.5 * Sum(r.NLL(m.Norm, &m.Head, y, len(fx.ids), targets))
			})
			if got := dot(dx, v); math.Abs(got-want) > 1e-6*math.Abs(want) {
				t.Errorf("x: slope %.10g, differences say %.10g", got, want)
			}
		})
	}
}

// Gradients must not depend on the number of threads.
func TestBackwardIsDeterministic(t *testing.T) {
	pools := []*linalg.Pool{linalg.NewPool(2), linalg.NewPool(3)}
	defer pools[0].Close()
	defer pools[1].Close()
	rapid.Check(t, func(t *rapid.T) {
		m := randomModel(t)
		n := rapid.SampledFrom([]int{1, 2, 63, 64, 65, 150}).Draw(t, "tokens")
		ids, targets := make([]int32, n), make([]int32, n)
		for i := range ids {
			ids[i] = int32(rapid.IntRange(0, m.Config.Vocab-1).Draw(t, "id"))
			targets[i] = int32(rapid.IntRange(-1, m.Config.Vocab-1).Draw(t, "target"))
		}
		loss, dx, g := differentiate(NewRunner(m.Config, nil), m, ids, targets, 1)
		named := g.named(m.Config)
		for _, p := range pools {
			l, d, g := differentiate(NewRunner(m.Config, p), m, ids, targets, 1)
			if l != loss && !math.IsNaN(l) || !sameBits(d, dx) {
				t.Fatalf("loss %v on a pool, %v serially; gradient at x equal: %v", l, loss, sameBits(d, dx))
			}
			for name, want := range named {
				if got := g.named(m.Config)[name]; !sameBits(got, want) {
					t.Fatalf("gradient of %s has other bits on a pool", name)
				}
			}
		}
	})
}

// The callback must see what W would receive, and W's sum must go on growing.
func TestWeightCallback(t *testing.T) {
	fx := openFixture(t, "testdata/llama", "golden.safetensors")
	m := fx.model(t)
	r := NewRunner(fx.config, nil)
	n := len(fx.ids)
	x := make([]float32, n*fx.config.Hidden)
	r.Embed(m.Embed, fx.ids, x)
	var tape Tape
	b := m.Blocks[0]
	r.ForwardTape(b, x, n, &tape)
	seed := uint64(5)
	dy := noise(&seed, len(x), 1)
	var g BlockGrad
	calls := 0
	for j, l := range b.Linears() {
		g.Linears[j].W = make([]float32, len(l.W))
		g.Linears[j].Weight = func(full []float32) {
			calls++
			if !sameBits(full, g.Linears[j].W) {
				t.Errorf("linear %d: callback sees another gradient than W", j)
			}
		}
	}
	dx := slices.Clone(dy)
	r.Backward(b, &tape, dx, &g)
	if calls != 7 {
		t.Errorf("%d callbacks; expected 7", calls)
	}
	once := slices.Clone(g.Linears[2].W)
	for j := range g.Linears {
		g.Linears[j].Weight = nil
	}
	again := slices.Clone(dy)
	r.Backward(b, &tape, again, &g)
	if !sameBits(again, dx) {
		t.Error("a second backward pass over one tape gives another gradient at x")
	}
	if e := worst(g.Linears[2].W, once); math.Abs(e-1) > 1e-4 {
		t.Errorf("after two passes the sum differs from one by %v; expected 1", e)
	}
}
