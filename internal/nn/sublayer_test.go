package nn

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/arch"
)

// What attention and MLP add, each by itself, is what the block adds.
func TestSublayersAddUpToTheBlock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := randomModel(t)
		c, b := m.Config, m.Blocks[0]
		n := rapid.SampledFrom([]int{1, 5, 130, 1100}).Draw(t, "tokens")
		windows := rapid.IntRange(1, 4).Draw(t, "windows")
		seed := rapid.Uint64().Draw(t, "x seed")
		x := noise(&seed, windows*n*c.Hidden, 1)
		sites := map[string][]float32{}
		want := slices.Clone(x)
		r := NewRunner(c, nil)
		r.ForwardWindows(b, want, windows, n, func(_ int, site string, rows []float32, _ int) {
			sites[site] = append(sites[site], rows...)
		}, false)
		attention, mlp := make([]float32, len(x)), make([]float32, len(x))
		r.Attention(b, sites[arch.SiteAttnIn], windows, n, attention)
		r.MLP(b, sites[arch.SiteMLPIn], windows*n, mlp)
		for i := range x {
			got := x[i] + attention[i] + mlp[i]
			if d := math.Abs(float64(got - want[i])); !(d <= 1e-4*(1+math.Abs(float64(want[i])))) {
				t.Fatalf("element %d: %v instead of %v", i, got, want[i])
			}
		}
	})
}
