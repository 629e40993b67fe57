package obs

import (
	"math"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/mask"
)

// The cases below were worked out by hand, with damping 0.

func TestPruneOneOfTwo(t *testing.T) {
	h := []float64{2, 1, 1, 2}
	res := mustSweep(t, h, 2, 0, nil, []float32{1, 1}, 1, Options{Pattern: mask.Pattern{Fraction: .5}})
	if want := []float32{0, 1.5}; !slices.Equal(res.Weights, want) {
		t.Fatalf("weights %v, expected %v", res.Weights, want)
	}
	if math.Abs(res.Loss-1.5) > 1e-12 {
		t.Fatalf("loss %v, expected 1.5", res.Loss)
	}
	if res.Mask.Keep(0, 0) || !res.Mask.Keep(0, 1) {
		t.Fatal("wrong mask")
	}
}
