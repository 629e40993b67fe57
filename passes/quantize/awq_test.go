package quantize

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
)

// The example of the method's description: channels of mean magnitude 1 and 10.
func TestAWQFactors(t *testing.T) {
	s := awqFactors([]float64{1, 10}, .5)
	for j, want := range []float64{.562341, 1.778279} {
		if math.Abs(float64(s[j])-want) > 1e-6 {
			t.Errorf("factor %d is %v, expected %v", j, s[j], want)
		}
	}
	for _, c := range []struct {
		name  string
		a     []float64
		alpha float64
		want  []float32
	}{
		{"constant", []float64{3.7, 3.7, 3.7}, .35, []float32{1, 1, 1}},
		{"no exponent", []float64{0, 1, 100}, 0, []float32{1, 1, 1}},
		{"never used", []float64{0, 1}, .5, []float32{1e-2, 1e2}},
		{"all never used", []float64{0, 0}, .95, []float32{1, 1}},
	} {
		if s := awqFactors(c.a, c.alpha); !slices.Equal(s, c.want) {
			t.Errorf("%s: %v, expected %v", c.name, s, c.want)
		}
	}
}

func drawn(t *rapid.T, name string, n int) []float32 {
	return rapid.SliceOfN(rapid.Float32Range(-2, 2), n, n).Draw(t, name)
}

// Channels of equal magnitude are rounded bit for bit as rounding to nearest does.
func TestAWQWithoutDifferencesIsRounding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := awqLayer{Out: 3, In: 8, Spec: grid.Spec{Bits: rapid.IntRange(2, 8).Draw(t, "bits"), GroupSize: 4, ScaleDType: grid.F16}}
		w := drawn(t, "w", l.Out*l.In)
		a := slices.Repeat([]float64{rapid.Float64Range(1e-3, 1e3).Draw(t, "magnitude")}, l.In)
		got, err := awqRound(nil, w, l, awqFactors(a, rapid.Float64Range(0, .95).Draw(t, "alpha")))
		if err != nil {
			t.Fatal(err)
		}
		q, err := grid.Quantize(nil, w, l.Out, l.In, l.Spec, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]float32, len(w))
		q.Dequantize(want)
		if !slices.Equal(got, want) {
			t.Fatalf("%v instead of %v", got, want)
		}
	})
}

// The ranges found by Gram blocks are those that a direct sum over tokens finds:
// no other range of a group has a smaller sum.
func TestAWQRangesByTokens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const tokens, steps, shrink = 6, 20, .5
		l := awqLayer{Out: 2, In: 8, Spec: grid.Spec{Bits: rapid.IntRange(2, 4).Draw(t, "bits"), GroupSize: 4}}
		w, x := drawn(t, "w", l.Out*l.In), drawn(t, "x", tokens*l.In)
		h := make([]float64, l.In*l.In)
		for i := range l.In {
			for j := range l.In {
				for k := range tokens {
					h[i*l.In+j] += float64(x[k*l.In+i]) * float64(x[k*l.In+j])
				}
			}
		}
		original := slices.Clone(w)
		if _, err := awqClip(nil, w, l, h, steps, shrink); err != nil {
			t.Fatal(err)
		}
		whole := l.Spec
		whole.GroupSize = grid.RowGroup
		direct := func(r, g int, limited []float32) float64 {
			q, err := grid.Quantize(nil, limited, 1, len(limited), whole, nil)
			if err != nil {
				t.Fatal(err)
			}
			v := make([]float32, len(limited))
			q.Dequantize(v)
			sum := 0.0
			for k := range tokens {
				e := 0.0
				for j := range v {
					c := g*4 + j
					e += float64(x[k*l.In+c]) * (float64(v[j]) - float64(original[r*l.In+c]))
				}
				sum += e * e
			}
			return sum
		}
		for r := range l.Out {
			for g := range 2 {
				at := r*l.In + g*4
				got := direct(r, g, w[at:at+4])
				most := float32(0)
				for _, v := range original[at : at+4] {
					most = max(most, v, -v)
				}
				for i := range 10 {
					part := make([]float32, 4)
					clamp(part, original[at:at+4], float32(float64(most)*(1-float64(i)/steps)))
					if other := direct(r, g, part); got > other+1e-9*(1+other) {
						t.Fatalf("row %d, group %d: %v; less %d/20 gives %v", r, g, got, i, other)
					}
				}
			}
		}
	})
}

// Statistics of scaled inputs are what the scaled inputs' own would be.
func TestScaledGram(t *testing.T) {
	x, s := []float64{3, -5, 2, 8}, []float32{2, .5}
	h := make([]float64, 4)
	want := make([]float64, 4)
	for k := range 2 {
		for i := range 2 {
			for j := range 2 {
				h[i*2+j] += x[k*2+i] * x[k*2+j]
				want[i*2+j] += x[k*2+i] / float64(s[i]) * (x[k*2+j] / float64(s[j]))
			}
		}
	}
	if got := scaledGram(h, s); !slices.Equal(got, want) {
		t.Errorf("%v, expected %v", got, want)
	}
	if got := scaledGram(h, nil); &got[0] != &h[0] {
		t.Error("copied without factors")
	}
}

// The ranges do not depend on the number of threads.
func TestAWQRangesOnThreads(t *testing.T) {
	l := awqLayer{Out: 37, In: 24, Spec: grid.Spec{Bits: 3, GroupSize: 16, PartialGroup: true}}
	w, h := make([]float32, l.Out*l.In), make([]float64, l.In*l.In)
	for i := range w {
		w[i] = float32((i*7919)%1013)/500 - 1
	}
	for i := range l.In {
		for j := range l.In {
			h[i*l.In+j] = 1 / float64(1+max(i-j, j-i))
		}
	}
	one, three := slices.Clone(w), slices.Clone(w)
	a, err := awqClip(nil, one, l, h, 20, .5)
	if err != nil {
		t.Fatal(err)
	}
	pool := linalg.NewPool(3)
	defer pool.Close()
	b, err := awqClip(pool, three, l, h, 20, .5)
	if err != nil || a != b || !slices.Equal(one, three) {
		t.Errorf("mean share %v and %v (%v)", a, b, err)
	}
	if !(a < 1 && a >= .55) || slices.Equal(one, w) {
		t.Errorf("mean share %v: nothing was limited", a)
	}
}
