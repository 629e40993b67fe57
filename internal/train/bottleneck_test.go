package train

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/nn"
)

// adapted is a small decoder whose adapters add as much as its sublayers do.
func adapted(t *testing.T) (*nn.Model, []int32) {
	t.Helper()
	m, ids := tiny(t, "llama")
	c := *m.Config
	c.Adapters = arch.Adapters{Placement: arch.AdaptersBoth, Order: 2, Width: 6, Rank: 1}
	out := *m
	out.Config, out.Blocks = &c, nil
	seed := uint64(4)
	for _, b := range m.Blocks {
		with := *b
		for _, module := range c.Adapters.Modules() {
			a := &nn.Bottleneck{}
			for i, l := range c.Adapters.Layers(module, c.Hidden) {
				layer := nn.Linear{Out: l.Out, In: l.In}
				for _, v := range noise(&seed, l.Out*l.In) {
					layer.W = append(layer.W, float32(v))
				}
				for _, v := range noise(&seed, l.Out) {
					layer.Bias = append(layer.Bias, float32(v))
				}
				*[]*nn.Linear{&a.Down, &a.Up}[i] = layer
			}
			*with.Adapter(module) = a
		}
		out.Blocks = append(out.Blocks, &with)
	}
	return &out, ids
}

// A model that has adapters trains with them in every pass, and they stay as they
// are.
func TestTrainsWithGivenAdapters(t *testing.T) {
	m, ids := adapted(t)
	_, masks := halved(t, m)
	var given [][]float32
	for _, b := range m.Blocks {
		given = append(given, slices.Clone(b.AfterMLP.Down.W), slices.Clone(b.AfterAttention.Up.Bias))
	}
	batch := [][]int32{ids[:20]}
	for _, kind := range []Kind{Full, LoRA, MaskLoRA, Compacter} {
		plan := kindPlan(m.Config, kind, 2, masks)
		for _, memory := range []int64{0, 1 << 30} {
			losses, err := start(t, m, plan, nil, memory).Run(background, 0, 6, func(int) [][]int32 { return batch }, func(int) float64 { return 1e-2 })
			if err != nil || !(losses[5] < losses[0]) {
				t.Errorf("%s: losses %v, %v", kind, losses, err)
			}
		}
		precise, err := New(widen(m), plan, nil, Options{Optimizer: DefaultAdamW()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := precise.Gradients(background, batch); err != nil {
			t.Fatal(err)
		}
		for _, p := range precise.params {
			v, old := slices.Clone(p.grad), slices.Clone(p.Data) // the direction of steepest ascent
			norm := math.Sqrt(sumSquares(v))
			at := func(s float64) float64 {
				for i := range old {
					p.Data[i] = old[i] + s*v[i]/max(norm, 1e-300)
				}
				precise.version++
				l, err := precise.Loss(background, batch)
				if err != nil {
					t.Fatal(err)
				}
				return l
			}
			const h = 1e-5
			if got := (at(h) - at(-h)) / (2 * h); math.Abs(got-norm) > 1e-6*max(norm, 1e-2) {
				t.Errorf("%s, %s: gradient of norm %.9g, differences say %.9g", kind, p.Name, norm, got)
			}
			at(0)
		}
	}
	for i, b := range m.Blocks {
		if !sameBits(b.AfterMLP.Down.W, given[2*i]) || !sameBits(b.AfterAttention.Up.Bias, given[2*i+1]) {
			t.Errorf("block %d: the given adapters changed", i)
		}
	}
	plan := kindPlan(m.Config, bottlenecks, 0, nil)
	if _, err := New(m, plan, nil, Options{}); err == nil || !strings.Contains(err.Error(), "adapters already") {
		t.Errorf("further adapters: %v", err)
	}
}

// Adapters start near adding nothing, and are counted as the paper counts them.
func TestAdaptersStart(t *testing.T) {
	m, ids := tiny(t, "llama")
	c := m.Config
	for _, placement := range []string{arch.AdaptersFFN, arch.AdaptersBoth} {
		plan := Plan{Seed: 3, Adapters: arch.Adapters{Placement: placement, Order: 2, Width: 4, Rank: 1}}
		tr := start(t, m, plan, nil, 0)
		if got, want := tr.Trained(), plan.Adapters.Parameters(c.Hidden, c.Layers); got != want {
			t.Errorf("%s: %d values are trained; expected %d", placement, got, want)
		}
		before, err := start(t, m, Plan{Norms: true}, nil, 0).Loss(background, [][]int32{ids})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tr.Loss(background, [][]int32{ids}); err != nil || math.Abs(got-before) > 1e-3*before || got == before {
			t.Errorf("%s: starts at loss %v, %v; the model's is %v", placement, got, err, before)
		}
	}
	if _, err := New(m, Plan{Adapters: arch.Adapters{Placement: "ffn", Order: 3, Width: 4, Rank: 1}}, nil, Options{}); err == nil {
		t.Error("adapters whose products do not divide them are trained")
	}
}
