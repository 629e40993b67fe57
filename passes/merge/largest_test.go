package merge

import (
	"context"
	"math"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// opened is a tensor of which the deltas are given, with a base of zeros.
func opened(t interface{ Fatal(...any) }, deltas ...matrix) *Tensor {
	zero := matrix{deltas[0].shape, make([]float32, len(deltas[0].data))}
	var models []*artifact.Value
	for _, d := range deltas {
		models = append(models, d.value())
	}
	x, err := openTensor(&action.Context{Context: context.Background()}, testTensor, linear, zero.value(), models)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// thresholdOf is the definition: the n-th largest magnitude, how many of those
// equal to it are kept, and where they lie.
func thresholdOf(x *Tensor, m matrix, n int) threshold {
	order := make([]uint32, len(m.data))
	for i, v := range m.data {
		order[i] = magnitude(float64(v))
	}
	magnitudes := slices.Clone(order)
	slices.Sort(order)
	slices.Reverse(order)
	h := threshold{bits: order[n-1], before: make([]int, x.Chunks()+1)}
	for _, v := range order[:n] {
		h.ties += int(bit(v == h.bits))
	}
	for i, v := range magnitudes {
		h.before[i/(x.step*x.width)+1] += int(bit(v == h.bits))
	}
	for k := range x.Chunks() {
		h.before[k+1] += h.before[k]
	}
	if h.ties == h.before[x.Chunks()] {
		h.before = nil
	}
	return h
}

// same reports whether two thresholds keep the same, but for zeros.
func same(a, b threshold) bool {
	return a.bits == 0 && b.bits == 0 || a.bits == b.bits && a.ties == b.ties && slices.Equal(a.before, b.before)
}

// Wherever a threshold lies, a bracket either finds it or does not claim to, and
// counting all finds it.
func TestThresholds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, width := rapid.IntRange(1, 40).Draw(t, "rows"), rapid.IntRange(1, 1500).Draw(t, "width")
		levels := rapid.SampledFrom([]uint32{1, 2, 30, 5000, 1 << 30}).Draw(t, "levels")
		seed := rapid.Uint32().Draw(t, "seed")
		m := matrix{[]int{rows, width}, make([]float32, rows*width)}
		for i := range m.data {
			seed = seed*1664525 + 1013904223
			m.data[i] = (float32(seed>>2%levels) - float32(levels/2)) * 0.37
			if levels == 30 && seed>>28 == 0 {
				m.data[i] = []float32{float32(math.Inf(1)), float32(math.NaN()), 1e-45}[seed>>8%3]
			}
		}
		x := opened(t, m)
		n := rapid.IntRange(1, len(m.data)).Draw(t, "n")
		want := thresholdOf(x, m, n)

		all := largest{make([]threshold, 1)}
		if err := all.count(x, []int{n}, []int{0}); err != nil || !same(all.of[0], want) {
			t.Fatalf("counted: %+v, want %+v (%v)", all.of[0], want, err)
		}
		near := func() uint32 {
			return min(topMagnitude, max(1, want.bits+uint32(rapid.IntRange(-3, 3).Draw(t, "off"))<<rapid.IntRange(0, 28).Draw(t, "shift")))
		}
		in := bracket{near(), near()}
		if rapid.Bool().Draw(t, "everything") {
			in = everything
		}
		limit := rapid.SampledFrom([]int{0, len(m.data) / 3, len(m.data)}).Draw(t, "limit")
		some := largest{make([]threshold, 1)}
		left, err := some.gather(x, []int{n}, []int{0}, []bracket{in}, limit)
		if err != nil || len(left) == 0 && !same(some.of[0], want) {
			t.Fatalf("in %+v: %+v, want %+v (%v)", in, some.of[0], want, err)
		}
		if len(left) > 0 && limit == len(m.data) && in.lo <= want.bits && want.bits <= in.hi {
			t.Fatalf("%+v was not found in %+v", want, in)
		}
		found, err := findLargest(x, []int{n})
		if err != nil || n < len(m.data) && !same(found.of[0], want) {
			t.Fatalf("found: %+v, want %+v (%v)", found.of[0], want, err)
		}
	})
}

// A sample of rows that are unlike the others misleads, and does no harm.
func TestSampleMisleads(t *testing.T) {
	const rows, width = 640, 100
	for _, scale := range []float32{0, 1000} {
		m := matrix{[]int{rows, width}, make([]float32, rows*width)}
		for i := range m.data {
			m.data[i] = float32(i%977) - 400
		}
		taken := max(32, rows/16)
		for k := range taken {
			row := (2*k + 1) * rows / (2 * taken)
			for e := range width {
				m.data[row*width+e] *= scale
			}
		}
		x := opened(t, m)
		n := []int{rows * width / 5}
		guess, err := sampled(x, n, []int{0})
		if err != nil {
			t.Fatal(err)
		}
		s := largest{make([]threshold, 1)}
		left, err := s.gather(x, n, []int{0}, guess, len(m.data))
		if err != nil || !reflect.DeepEqual(left, []int{0}) {
			t.Errorf("rows times %v: left %v of a bracket %+v (%v)", scale, left, guess[0], err)
		}
		found, err := findLargest(x, n)
		if want := thresholdOf(x, m, n[0]); err != nil || !same(found.of[0], want) {
			t.Errorf("rows times %v: %+v, want %+v (%v)", scale, found.of[0], want, err)
		}
	}
}
