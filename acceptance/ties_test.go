package acceptance

import (
	"context"
	"math"
	"slices"
	"testing"
)

func TestTieRules(t *testing.T) {
	for _, c := range []struct {
		rule TieRule
		in   []float32
		want []float32
	}{
		{TieLower, []float32{1, -1, 1, 1}, []float32{1, -1, 0, 0}},
		{TieHigher, []float32{1, -1, 1, 1}, []float32{0, 0, 1, 1}},
		{TieTorch, []float32{1, -1, 1, 1}, []float32{0, 0, 1, 1}},
		{TieTorch, []float32{2, 1, -1, 1}, []float32{2, 0, -1, 0}},
		{TieLower, []float32{1, 3, -2, 4}, []float32{0, 3, 0, 4}},
		{TieHigher, []float32{1, 3, -2, 4}, []float32{0, 3, 0, 4}},
		{TieTorch, []float32{1, 3, -2, 4}, []float32{0, 3, 0, 4}},
		{TieLower, []float32{2, 1, -1, 1}, []float32{2, 1, 0, 0}},
		{TieHigher, []float32{2, 1, -1, 1}, []float32{2, 0, 0, 1}},
	} {
		got := slices.Clone(c.in)
		c.rule.prune(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %v: %v; expected %v", c.rule, c.in, got, c.want)
		}
	}
}

// Pruned by magnitude with ties broken as torch breaks them, the model is the
// golden row's; the difference to the program's row is the rule alone.
func TestMagnitudeRowWithTorchTies(t *testing.T) {
	if !long() {
		t.Skip("the golden row has 20 windows; COMPRESSC_LONG_TESTS=1 measures them")
	}
	const want, tolerance = 1161.26, 0.0005
	r := reference(t)
	got, err := MagnitudePerplexity(context.Background(), r, TieTorch, 20)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("perplexity %.2f; expected %.2f", got, want)
	if math.Abs(got/want-1) > tolerance {
		t.Errorf("perplexity %.2f; expected %.2f within %g", got, want, tolerance)
	}
}
