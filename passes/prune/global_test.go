package prune

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/passes/blockwise"
)

// remove is what the actions of a global decision do, on layers of one row: both
// histograms, the counts, and each layer's mask.
func remove(t interface {
	Helper()
	Fatal(...any)
}, layers [][]float32, gone []*mask.Mask, spread bool, k int64, floors []int64) (counts []int64, masks []*mask.Mask) {
	t.Helper()
	var upper, lower [][]int32
	var ls []globalLayer
	keysOf := make([][]uint32, len(layers))
	for i, w := range layers {
		work := &blockwise.Work{Name: "layer", Out: 1, In: len(w), W: w, Mask: gone[i]}
		scores := make([]float64, len(w))
		for j, x := range mask.Magnitude(w) {
			scores[j] = float64(x)
		}
		keys, pruned, err := rank[struct{}]{Spread: spread}.keys(work, scores)
		if err != nil {
			t.Fatal(err)
		}
		keysOf[i] = keys
		upper = append(upper, upperBits(keys, pruned))
		ls = append(ls, globalLayer{Name: "layer", Weights: int64(len(w)), Floor: floors[i]})
	}
	bin, _ := reach(upper, k)
	for i := range layers {
		lower = append(lower, lowerBits(keysOf[i], upper[i][1], bin))
	}
	counts = removals(lower, k, ls)
	for i, w := range layers {
		var s selection[struct{}]
		s.Scope = "layer"
		s.Allocate(float64(counts[i]) / float64(len(w)))
		scores := make([]float64, len(w))
		for j, x := range mask.Magnitude(w) {
			scores[j] = float64(x)
		}
		m, err := s.choose(&blockwise.Work{Out: 1, In: len(w), Mask: gone[i]}, scores)
		if err != nil {
			t.Fatal(err)
		}
		masks = append(masks, m)
	}
	return counts, masks
}

func kept(m *mask.Mask, w []float32) (out []float32) {
	for j, x := range w {
		if m.Keep(0, j) {
			out = append(out, x)
		}
	}
	return out
}

// TestGlobalThreshold is the worked example: ten weights of which six go.
func TestGlobalThreshold(t *testing.T) {
	layers := [][]float32{{.1, .2, .3, .4}, {1, 2, 3, 4}, {.05, .06}}
	for _, c := range []struct {
		name   string
		floor  int64
		counts []int64
		kept   [][]float32
	}{
		{"one threshold empties two layers", 0, []int64{4, 0, 2}, [][]float32{nil, {1, 2, 3, 4}, nil}},
		{"a floor of one moves two removals", 1, []int64{3, 2, 1}, [][]float32{{.4}, {3, 4}, {.06}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := []int64{c.floor, c.floor, c.floor}
			counts, masks := remove(t, layers, make([]*mask.Mask, 3), false, 6, f)
			if !slices.Equal(counts, c.counts) {
				t.Fatalf("removed %v, expected %v", counts, c.counts)
			}
			for i, m := range masks {
				if got := kept(m, layers[i]); !slices.Equal(got, c.kept[i]) {
					t.Errorf("layer %d keeps %v, expected %v", i, got, c.kept[i])
				}
			}
		})
	}
}

func TestGlobalTiesGoByLayer(t *testing.T) {
	layers := [][]float32{{1, 1, 2}, {1, .5, 1}}
	counts, masks := remove(t, layers, make([]*mask.Mask, 2), false, 4, []int64{0, 0})
	if !slices.Equal(counts, []int64{2, 2}) || !masks[1].Keep(0, 2) || masks[1].Keep(0, 0) {
		t.Fatalf("removed %v", counts)
	}
}

// TestGlobalBySpread: layers that are multiples of each other lose alike.
func TestGlobalBySpread(t *testing.T) {
	a := []float32{-4, -1, 2, 3, 8, -9, 5, 6}
	b := make([]float32, len(a))
	for i, x := range a {
		b[i] = x / 64
	}
	counts, _ := remove(t, [][]float32{a, b}, make([]*mask.Mask, 2), true, 8, []int64{0, 0})
	if !slices.Equal(counts, []int64{4, 4}) {
		t.Errorf("removed %v of equal layers in their own units", counts)
	}
	counts, _ = remove(t, [][]float32{a, b}, make([]*mask.Mask, 2), false, 8, []int64{0, 0})
	if !slices.Equal(counts, []int64{0, 8}) {
		t.Errorf("removed %v of layers as they are", counts)
	}
	counts, _ = remove(t, [][]float32{{3, 3}, {0, 0}}, make([]*mask.Mask, 2), true, 2, []int64{0, 0})
	if !slices.Equal(counts, []int64{0, 2}) {
		t.Errorf("removed %v of a constant layer and an empty one", counts)
	}
}

func TestGlobalDecision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "layers")
		layers, gone, floors := make([][]float32, n), make([]*mask.Mask, n), make([]int64, n)
		total, pruned, floor := int64(0), int64(0), int64(0)
		for i := range layers {
			// Few values, so that there are ties, and neighbours that differ in the
			// lower bits alone.
			layers[i] = rapid.SliceOfN(rapid.SampledFrom([]float32{0, -1, 1, 1.0000001, 1.0000002, -3, 1e-30, 1e30}), 1, 20).Draw(t, "w")
			if rapid.Bool().Draw(t, "masked") {
				gone[i] = mask.FromNonZero(layers[i], 1, len(layers[i]))
				pruned += int64(len(layers[i]) - gone[i].CountKept())
			}
			floors[i] = rapid.Int64Range(0, int64(len(layers[i]))).Draw(t, "floor")
			total, floor = total+int64(len(layers[i])), floor+floors[i]
		}
		k := rapid.Int64Range(0, total).Draw(t, "k")
		if k > total-floor {
			k = total - floor
		}
		k = max(k, pruned)
		counts, masks := remove(t, layers, gone, false, k, floors)
		sum := int64(0)
		largest, smallest := 0.0, math.Inf(1)
		floored := false
		for i, c := range counts {
			sum += c
			before := int64(0)
			if gone[i] != nil {
				before = int64(len(layers[i]) - gone[i].CountKept())
			}
			if c > max(int64(len(layers[i]))-floors[i], before) {
				t.Fatalf("layer %d of %d keeps fewer than %d", i, len(layers[i]), floors[i])
			}
			floored = floored || c >= int64(len(layers[i]))-floors[i]
			if got := int64(len(layers[i]) - masks[i].CountKept()); got != c {
				t.Fatalf("layer %d: %d removed, %d decided", i, got, c)
			}
			for j, x := range mask.Magnitude(layers[i]) {
				switch {
				case gone[i] != nil && !gone[i].Keep(0, j):
					if masks[i].Keep(0, j) {
						t.Fatalf("layer %d: weight %d came back", i, j)
					}
				case masks[i].Keep(0, j):
					smallest = min(smallest, float64(x))
				default:
					largest = max(largest, float64(x))
				}
			}
		}
		if sum != k {
			t.Fatalf("%d removed, expected %d", sum, k)
		}
		if !floored && largest > smallest {
			t.Fatalf("%v removed and %v kept, with no floor in the way", largest, smallest)
		}
	})
}

func TestProportional(t *testing.T) {
	for _, c := range []struct {
		n       int64
		weights []int64
		want    []int64
	}{
		{2, []int64{0, 3, 0}, []int64{0, 2, 0}},
		{3, []int64{1, 1, 1}, []int64{1, 1, 1}},
		{2, []int64{1, 1, 1}, []int64{1, 1, 0}},
		{5, []int64{9, 1}, []int64{5, 0}},
		{0, []int64{4}, []int64{0}},
		{1 << 40, []int64{1 << 41, 1 << 41}, []int64{1 << 39, 1 << 39}},
	} {
		if got := proportional(c.n, c.weights); !slices.Equal(got, c.want) {
			t.Errorf("%d by %v: %v, expected %v", c.n, c.weights, got, c.want)
		}
	}
}
