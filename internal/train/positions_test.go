package train

import (
	"math"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/nn"
)

// Learned positions, biases and the gains and biases of LayerNorm are parameters
// like others: their gradients against central differences in float64, and what
// is merged is what was trained.
func TestPositionsAreTrained(t *testing.T) {
	c, err := arch.ParseConfig([]byte(`{"model_type": "gpt2", "n_embd": 12, "n_head": 2, "n_layer": 2, "n_inner": 20, "n_positions": 16, "vocab_size": 40}`))
	if err != nil {
		t.Fatal(err)
	}
	sizes, seed := map[string]int{}, uint64(3)
	for _, x := range c.OuterTensors() {
		sizes[x.Name] = int(x.Elements())
	}
	for i := range c.Layers {
		for _, x := range c.BlockTensors() {
			sizes[c.BlockPrefix(i)+x.Name] = int(x.Elements())
		}
	}
	m, err := nn.LoadModel(c, func(name string) ([]float32, error) {
		x := make([]float32, sizes[name])
		for i, v := range noise(&seed, len(x)) {
			x[i] = float32(v)
		}
		return x, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wm := widen(m)
	wm.Positions = wide(m.Positions)
	plan := Plan{Biases: true, Norms: true, Embedding: true, Linear: func(int, arch.LinearSpec) LinearPlan { return LinearPlan{Kind: Full} }}
	tr, err := New(wm, plan, nil, Options{Optimizer: DefaultAdamW()})
	if err != nil {
		t.Fatal(err)
	}
	batch := [][]int32{{1, 5, 9, 2, 1, 7, 30}, {3, 3, 8, 11}}
	if _, err := tr.Gradients(background, batch); err != nil {
		t.Fatal(err)
	}
	named := map[string][]float64{}
	for _, p := range tr.params {
		named[p.Name] = p.Data
		v, old := noise(&seed, len(p.Data)), slices.Clone(p.Data)
		const h = 1e-5
		at := func(s float64) float64 {
			for i := range old {
				p.Data[i] = old[i] + s*v[i]
			}
			tr.version++
			l, err := tr.Loss(background, batch)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		want, got := (at(h)-at(-h))/(2*h), 0.0
		copy(p.Data, old)
		for i, g := range p.grad {
			got += g * v[i]
		}
		if math.Abs(got-want) > 1e-6*max(math.Abs(want), 1e-2) {
			t.Errorf("%s: slope %v, differences say %v", p.Name, got, want)
		}
	}
	if named[c.PositionName()] == nil {
		t.Error("positions are no parameter")
	}
	seen := map[string]bool{}
	err = tr.Merged(func(name string, _ []int, data []float64) error {
		seen[name] = true
		if len(data) != sizes[name] {
			t.Errorf("%s has %d elements, expected %d", name, len(data), sizes[name])
		}
		return nil
	})
	if err != nil || len(seen) != len(sizes) {
		t.Errorf("%d of %d tensors are merged, %v", len(seen), len(sizes), err)
	}
}
