package quantize

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/passes/blockwise"
)

func fitImportantly(t interface{ Fatal(...any) }, w *blockwise.Work, spec grid.Spec, importance []float64) (plain, fitted *grid.Quantized) {
	for _, q := range []**grid.Quantized{&plain, &fitted} {
		var err error
		if *q, err = grid.Quantize(nil, w.W, w.Out, w.In, spec, w.Mask); err != nil {
			t.Fatal(err)
		}
	}
	fitImportant(w, fitted, importance)
	return plain, fitted
}

// Two weights that get the same code whatever the range: the scale is their mean
// under the weights √(σ² + w²) and 100·√(σ² + w²), σ² = 0.58.
func TestImatrixScale(t *testing.T) {
	w := &blockwise.Work{W: []float32{1, .4}, Out: 1, In: 2}
	_, q := fitImportantly(t, w, grid.Spec{Bits: 2, GroupSize: 2, Symmetric: true}, []float64{1, 100})
	a, b := math.Sqrt(1.58), 100*math.Sqrt(.74)
	if want := (a + .4*b) / (a + b); math.Abs(float64(q.Scales[0])-want) > 1e-6 || !slices.Equal(q.Codes, []uint8{3, 3}) {
		t.Errorf("scale %v, codes %v; expected %v, [3 3]", q.Scales, q.Codes, want)
	}
	if s, ok := leastSquares([]float32{0, 1, 2, 3.2}, []float64{1, 1, 1, 1}, []uint8{0, 1, 2, 3}, 0); !ok || s != float32(14.6)/14 {
		t.Errorf("scale %v, expected 14.6/14", s)
	}
	if _, ok := leastSquares([]float32{1, 1}, []float64{1, 1}, []uint8{2, 2}, 2); ok {
		t.Error("a scale for codes that are all zero points")
	}
}

// The fit is never worse than rounding by what it minimises, keeps zeros, and
// does not depend on the number of tokens that the importance was summed over.
func TestImatrixFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const out, in, group = 3, 16, 8
		spec := grid.Spec{Bits: rapid.IntRange(2, 8).Draw(t, "bits"), GroupSize: group, Symmetric: rapid.Bool().Draw(t, "symmetric"), ScaleDType: grid.F16}
		w := &blockwise.Work{W: drawn(t, "w", out*in), Out: out, In: in}
		importance := rapid.SliceOfN(rapid.Float64Range(0, 1e3), in, in).Draw(t, "importance")
		if rapid.Bool().Draw(t, "masked") {
			m := mask.New(out, in)
			for i, keep := range rapid.SliceOfN(rapid.Bool(), out*in, out*in).Draw(t, "keep") {
				m.Set(i/in, i%in, keep)
			}
			w.Mask = m
		}
		plain, fitted := fitImportantly(t, w, spec, importance)
		loss := func(q *grid.Quantized) (sum float64) {
			y := make([]float32, out*in)
			q.Dequantize(y)
			for r := range out {
				squares := 0.0
				kept := make([]float64, in)
				for c := range in {
					if w.Mask == nil || w.Mask.Keep(r, c) {
						kept[c] = float64(w.W[r*in+c])
					} else if y[r*in+c] != 0 {
						t.Fatalf("pruned weight [%d, %d] is %v", r, c, y[r*in+c])
					}
					squares += kept[c] * kept[c]
				}
				for c, x := range kept {
					d := x - float64(y[r*in+c])
					sum += importance[c] * math.Sqrt(squares/in+x*x) * d * d
				}
			}
			return sum
		}
		if a, b := loss(fitted), loss(plain); a > b*(1+1e-12) {
			t.Fatalf("error %v, rounding alone %v", a, b)
		}
		doubled := slices.Clone(importance)
		for c := range doubled {
			doubled[c] *= 4
		}
		if _, again := fitImportantly(t, w, spec, doubled); !bytes.Equal(again.Codes, fitted.Codes) || !slices.Equal(again.Scales, fitted.Scales) || !bytes.Equal(again.Zeros, fitted.Zeros) {
			t.Fatal("four times the importance gives other codes")
		}
	})
}
