package train

import (
	"math"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/nn"
)

// blockExamples are inputs of block 1 and what the given, unpruned block makes
// of them.
func blockExamples(m *nn.Model, ids []int32) []Example {
	r := nn.NewRunner(m.Config, nil)
	var out []Example
	for _, w := range [][]int32{ids[:16], ids[10:30], ids[22:]} {
		x := make([]float32, len(w)*m.Config.Hidden)
		r.Embed(m.Embed, w, x)
		r.Forward(m.Blocks[0], x, len(w), nil)
		y := slices.Clone(x)
		r.Forward(m.Blocks[1], y, len(w), nil)
		out = append(out, Example{x, y})
	}
	return out
}

// Fitting a pruned block to the dense one's outputs must bring it nearer, give
// the same bits on any pool and in any cut, and keep the mask.
func TestReconstruct(t *testing.T) {
	dense, ids := tiny(t, "qwen3")
	examples := blockExamples(dense, ids)
	pruned, masks := halved(t, dense)
	pool := linalg.NewPool(2)
	defer pool.Close()
	batch := func(s int) []Example { return examples[s%3 : s%3+1] }
	rate := Schedule{Kind: "linear", Rate: 1e-2, Warmup: 4, Steps: 40}.At
	const steps = 40
	for _, kind := range kinds {
		if kind == bottlenecks { // no part of what one block is fitted with
			continue
		}
		plan := kindPlan(dense.Config, kind, 4, masks)
		make1 := func(p *linalg.Pool) *BlockTrainer {
			b, err := NewBlock(dense.Config, 1, pruned.Blocks[1], plan, p, DefaultAdamW())
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		whole := make1(nil)
		before, err := whole.Loss(examples)
		if err != nil {
			t.Fatal(err)
		}
		losses, err := whole.Run(background, 0, steps, batch, rate)
		if err != nil {
			t.Fatal(err)
		}
		after, err := whole.Loss(examples)
		if err != nil {
			t.Fatal(err)
		}
		if !(after < 0.9*before) {
			t.Errorf("%s: error went from %v to %v", kind, before, after)
		}
		cut := make1(pool)
		got, err := cut.Run(background, 0, 17, batch, rate)
		if err != nil {
			t.Fatal(err)
		}
		saved := copyState(cut.State())
		cut = make1(pool)
		if err := cut.Restore(saved); err != nil {
			t.Fatal(err)
		}
		rest, err := cut.Run(background, 17, steps, batch, rate)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(append(got, rest...), losses) {
			t.Errorf("%s: a cut run on two threads has other losses", kind)
		}
		sameState(t, string(kind), cut.State(), whole.State())
		if kind == LoRA {
			continue
		}
		names := 0
		err = whole.Merged(func(name string, _ []int, data []float32) error {
			for j, l := range dense.Config.Linears() {
				if name != "model.layers.1."+l.Weight() {
					continue
				}
				names++
				for i, v := range data {
					if !masks(1, j).Keep(i/l.In, i%l.In) && v != 0 {
						t.Fatalf("%s: %s: dropped weight %d became %v", kind, name, i, v)
					}
				}
			}
			return nil
		})
		if err != nil || names != 7 {
			t.Errorf("%s: %d merged layers, error %v", kind, names, err)
		}
	}
}

// The loss's gradient against central differences, over a batch of windows of
// different lengths.
func TestReconstructGradients(t *testing.T) {
	dense, ids := tiny(t, "llama")
	pruned, masks := halved(t, dense)
	var examples []ExampleOf[float64]
	for _, e := range blockExamples(dense, ids) {
		examples = append(examples, ExampleOf[float64]{wide(e.In), wide(e.Out)})
	}
	b, err := NewBlock(dense.Config, 1, widen(pruned).Blocks[1], kindPlan(dense.Config, MaskLoRA, 2, masks), nil, DefaultAdamW())
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(4)
	for _, p := range b.params {
		for i, v := range noise(&seed, len(p.Data)) {
			p.Data[i] += 0.1 * v
		}
	}
	b.version++
	if _, err := b.Gradients(examples); err != nil {
		t.Fatal(err)
	}
	for _, p := range b.params {
		v, old := noise(&seed, len(p.Data)), slices.Clone(p.Data)
		at := func(s float64) float64 {
			for i := range old {
				p.Data[i] = old[i] + s*v[i]
			}
			b.version++
			l, err := b.Loss(examples)
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		const h = 1e-5
		want := (at(h) - at(-h)) / (2 * h)
		at(0)
		var got float64
		for i, g := range p.grad {
			got += g * v[i]
		}
		if math.Abs(got-want) > 1e-6*max(math.Abs(want), 1e-3) {
			t.Errorf("%s: slope %.10g, differences say %.10g", p.Name, got, want)
		}
	}
	if _, err := b.Loss(nil); err == nil {
		t.Error("an empty batch is accepted")
	}
	if _, err := b.Loss([]ExampleOf[float64]{{make([]float64, 24), make([]float64, 48)}}); err == nil {
		t.Error("outputs of another length than the inputs are accepted")
	}
}
