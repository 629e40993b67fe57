package train

import (
	"math"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/nn"
)

// A model that already has low-rank sides, as error compensation leaves them,
// trains beside them: they count in every pass and stay as they are.
func TestTrainsBesideGivenSides(t *testing.T) {
	m, ids := tiny(t, "llama")
	m, masks := halved(t, m)
	seed := uint64(8)
	narrow := func(n int) []float32 {
		out := make([]float32, n)
		for i, v := range noise(&seed, n) {
			out[i] = float32(0.2 * v)
		}
		return out
	}
	var given [][]float32
	for _, b := range m.Blocks {
		for _, l := range b.Linears() {
			s := nn.Side{A: narrow(2 * l.In), B: narrow(l.Out * 2), Rank: 2, Scale: 1.5}
			given = append(given, slices.Clone(s.A), slices.Clone(s.B))
			l.Sides = []nn.Side{s}
		}
	}
	batch := [][]int32{ids[:20]}
	r := nn.NewRunner(m.Config, nil)
	x := make([]float32, 20*m.Config.Hidden)
	r.Embed(m.Embed, ids[:20], x)
	for _, b := range m.Blocks {
		r.Forward(b, x, 20, nil)
	}
	var want float64
	for _, v := range r.NLL(m.Norm, &m.Head, x, 20, append(slices.Clone(ids[1:20]), -1)) {
		want += v
	}
	want /= 19
	for _, kind := range kinds {
		plan := kindPlan(m.Config, kind, 3, masks)
		tr := start(t, m, plan, nil, 0)
		if got, err := tr.Loss(background, batch); err != nil || got != want && !kind.startsNear() {
			t.Errorf("%s starts at loss %v, error %v; the model's is %v", kind, got, err, want)
		}
		losses, err := tr.Run(background, 0, 6, func(int) [][]int32 { return batch }, func(int) float64 { return 1e-2 })
		if err != nil {
			t.Fatal(err)
		}
		if !(losses[5] < losses[0]) {
			t.Errorf("%s: losses %v do not fall", kind, losses)
		}

		precise, err := New(widen(m), plan, nil, Options{Optimizer: DefaultAdamW()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := precise.Gradients(background, batch); err != nil {
			t.Fatal(err)
		}
		for _, p := range precise.params[:2] {
			v := slices.Clone(p.grad) // the direction of steepest ascent
			old := slices.Clone(p.Data)
			var norm float64
			for _, g := range v {
				norm += g * g
			}
			at := func(s float64) float64 {
				for i := range old {
					p.Data[i] = old[i] + s*v[i]/math.Sqrt(max(norm, 1e-300))
				}
				precise.version++
				l, err := precise.Loss(background, batch)
				if err != nil {
					t.Fatal(err)
				}
				return l
			}
			const h = 1e-5
			if got := (at(h) - at(-h)) / (2 * h); math.Abs(got-math.Sqrt(norm)) > 1e-6*max(math.Sqrt(norm), 1e-3) {
				t.Errorf("%s, %s: gradient of norm %.9g, differences say %.9g", kind, p.Name, math.Sqrt(norm), got)
			}
			at(0)
		}
	}
	for i, b := range m.Blocks {
		for j, l := range b.Linears() {
			k := 2 * (7*i + j)
			if len(l.Sides) != 1 || !sameBits(l.Sides[0].A, given[k]) || !sameBits(l.Sides[0].B, given[k+1]) {
				t.Fatalf("block %d, linear %d: the given side changed", i, j)
			}
		}
	}
}
