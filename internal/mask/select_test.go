package mask

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// scoresGen draws scores with many ties, both zeros and infinities.
func scoresGen(n int) *rapid.Generator[[]float32] {
	return rapid.SliceOfN(rapid.OneOf(
		rapid.Float32Range(-2, 2),
		rapid.SampledFrom([]float32{0, float32(math.Copysign(0, -1)), 1, 1, 2, float32(math.Inf(1)), float32(math.Inf(-1)), 1e-45}),
		rapid.Map(rapid.IntRange(0, 5), func(i int) float32 { return float32(i) }),
	), n, n)
}

// smallestByStableSort is the plain definition of what is dropped.
func smallestByStableSort(s []float32, k int) map[int]bool {
	idx := make([]int, len(s))
	for i := range idx {
		idx[i] = i
	}
	slices.SortStableFunc(idx, func(a, b int) int { return cmp.Compare(s[a], s[b]) })
	dropped := map[int]bool{}
	for _, i := range idx[:k] {
		dropped[i] = true
	}
	return dropped
}

func TestRowsAndMatrixDropTheSmallest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(1, 4).Draw(t, "rows"), rapid.IntRange(1, 150).Draw(t, "cols")
		s := scoresGen(rows*cols).Draw(t, "scores")
		f := rapid.Float64Range(0, 1).Draw(t, "fraction")
		m, err := Rows(s, rows, cols, f)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := Matrix(s, rows, cols, f)
		if err != nil {
			t.Fatal(err)
		}
		wide := make([]float64, len(s))
		for i, v := range s {
			wide[i] = float64(v)
		}
		if w64, err := Rows(wide, rows, cols, f); err != nil || !w64.Equal(m) {
			t.Fatalf("float64 scores give another mask (%v)", err)
		}
		all := smallestByStableSort(s, Count(rows*cols, f))
		for r := range rows {
			row := smallestByStableSort(s[r*cols:(r+1)*cols], Count(cols, f))
			for c := range cols {
				if m.Keep(r, c) == row[c] {
					t.Fatalf("Rows: [%d,%d] kept %v", r, c, m.Keep(r, c))
				}
				if whole.Keep(r, c) == all[r*cols+c] {
					t.Fatalf("Matrix: [%d,%d] kept %v", r, c, whole.Keep(r, c))
				}
			}
		}
	})
}

func TestNMKeepsTheLargest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(1, 3).Draw(t, "rows"), rapid.IntRange(1, 80).Draw(t, "cols")
		m := rapid.IntRange(2, MaxGroup).Draw(t, "m")
		n := rapid.IntRange(1, m-1).Draw(t, "n")
		if rapid.Bool().Draw(t, "2:4") {
			n, m = 2, 4
		}
		s := scoresGen(rows*cols).Draw(t, "scores")
		p := Pattern{N: n, M: m}
		mk, err := Select(s, rows, cols, p)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := rows*cols-mk.CountKept(), p.Dropped(rows, cols); got != want {
			t.Fatalf("dropped %d, expected %d", got, want)
		}
		if _, _, bad := mk.Violation(p); bad {
			t.Fatal("pattern violated")
		}
		for r := range rows {
			for c := 0; c < cols; c += m {
				end := min(c+m, cols)
				idx := make([]int, 0, m)
				for j := c; j < end; j++ {
					idx = append(idx, j)
				}
				slices.SortStableFunc(idx, func(a, b int) int { return cmp.Compare(s[r*cols+a], s[r*cols+b]) })
				drop := len(idx) - (n*(end-c)+m-1)/m
				for i, j := range idx {
					if mk.Keep(r, j) != (i >= drop) {
						t.Fatalf("row %d group %d: column %d kept %v", r, c, j, mk.Keep(r, j))
					}
				}
			}
		}
	})
}

// The published example: weights [1, −1, 1.5, 0.5] with input norms² [4, 4, 1, 1].
func TestWandaExample(t *testing.T) {
	w := []float32{1, -1, 1.5, .5}
	norms, err := Norms([]float64{4, 4, 1, 1})
	if err != nil {
		t.Fatal(err)
	}
	s := Wanda(nil, w, 1, 4, norms)
	if want := []float64{2, 2, 1.5, .5}; !slices.Equal(s, want) {
		t.Fatalf("scores %v, expected %v", s, want)
	}
	m, err := NM(s, 1, 4, 2, 4)
	if err != nil || m.Bytes()[0] != 0b0011 {
		t.Fatalf("mask %04b (%v), expected columns 0 and 1", m.Bytes()[0], err)
	}
	// By magnitude, column 3 goes, and of the tie 0/1 the lower column.
	m, err = NM(Magnitude(w), 1, 4, 2, 4)
	if err != nil || m.Bytes()[0] != 0b0110 {
		t.Fatalf("magnitude mask %04b (%v), expected columns 1 and 2", m.Bytes()[0], err)
	}
}

func TestWandaWithEqualNormsIsMagnitude(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cols := rapid.IntRange(1, 40).Draw(t, "cols")
		w := rapid.SliceOfN(rapid.Float32Range(-1, 1), 2*cols, 2*cols).Draw(t, "w")
		norms := slices.Repeat([]float64{.5}, cols)
		a, _ := Rows(Wanda(nil, w, 2, cols, norms), 2, cols, .5)
		b, _ := Rows(Magnitude(w), 2, cols, .5)
		if !a.Equal(b) {
			t.Fatal("masks differ")
		}
	})
}

// Permuting the inputs with the weights permutes an unstructured mask. Scores
// are made distinct: ties are broken by position.
func TestPermutationMovesTheMask(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cols := rapid.IntRange(1, 60).Draw(t, "cols")
		order := rapid.Permutation(indices(cols)).Draw(t, "order")
		distinct := rapid.Permutation(indices(cols)).Draw(t, "ranks")
		s, ps := make([]float64, cols), make([]float64, cols)
		for i := range s {
			s[i] = float64(distinct[i])
		}
		for i, o := range order {
			ps[i] = s[o]
		}
		f := rapid.Float64Range(0, .99).Draw(t, "fraction")
		a, _ := Rows(s, 1, cols, f)
		b, _ := Rows(ps, 1, cols, f)
		for i, o := range order {
			if a.Keep(0, o) != b.Keep(0, i) {
				t.Fatalf("column %d moved to %d changed", o, i)
			}
		}
	})
}

func indices(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func TestNaNIsRefused(t *testing.T) {
	s := []float32{1, 2, 3, float32(math.NaN())}
	for name, f := range map[string]func() (*Mask, error){
		"Rows":   func() (*Mask, error) { return Rows(s, 2, 2, .5) },
		"Matrix": func() (*Mask, error) { return Matrix(s, 2, 2, .5) },
		"NM":     func() (*Mask, error) { return NM(s, 2, 2, 1, 2) },
	} {
		if _, err := f(); !errors.Is(err, ErrNaN) || err.Error() != "mask: score is not a number at [1, 1]; check the weights and the calibration for overflow" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, v := range []float64{-1, math.NaN(), math.Inf(1)} {
		if _, err := Norms([]float64{0, v}); err == nil {
			t.Errorf("Norms accepted %v", v)
		}
	}
}

func TestBucketIsMonotone(t *testing.T) {
	values := []float64{math.Inf(-1), -math.MaxFloat64, -2, -1.5, -1, -1e-300, -5e-324, 0, 5e-324, 1e-300, 1, 1.03, 1.07, 2, math.MaxFloat64, math.Inf(1)}
	for i := range values[1:] {
		if bucket(values[i]) > bucket(values[i+1]) {
			t.Errorf("bucket(%v) = %#x > bucket(%v) = %#x", values[i], bucket(values[i]), values[i+1], bucket(values[i+1]))
		}
	}
	if bucket(math.Copysign(0, -1)) != bucket(0.) || bucket(-1.) == bucket(1.) {
		t.Error("zeros differ or signs do not")
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Float32().Draw(t, "a"), rapid.Float32().Draw(t, "b")
		if a <= b && bucket(a) > bucket(b) {
			t.Fatalf("%v %v", a, b)
		}
	})
}

// Counting and partitioning find the same cut.
func TestHistogramAgreesWithQuickselect(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := scoresGen(rapid.IntRange(1, 300).Draw(t, "len")).Draw(t, "scores")
		k := rapid.IntRange(1, len(s)).Draw(t, "k")
		got := cutByHistogram(s, make([]float32, len(s)), k)
		limit := kthSmallest(slices.Clone(s), k-1)
		if want := (Cut[float32]{limit, k - below(s, limit)}); got != want {
			t.Fatalf("%v, expected %v", got, want)
		}
	})
}

// Inputs on which a naive quickselect is quadratic: each of these would take
// minutes.
func TestSelectionTraps(t *testing.T) {
	const n = 1 << 18
	for name, f := range map[string]func(i int) float32{
		"constant":   func(int) float32 { return 1 },
		"ascending":  func(i int) float32 { return float32(i) },
		"descending": func(i int) float32 { return float32(n - i) },
		"organ pipe": func(i int) float32 { return float32(min(i, n-i)) },
		"sawtooth":   func(i int) float32 { return float32(i % 5) },
	} {
		s := make([]float32, n)
		for i := range s {
			s[i] = f(i)
		}
		m, err := Matrix(s, 512, n/512, .5)
		if err != nil || m.CountKept() != n/2 {
			t.Errorf("%s: kept %d (%v)", name, m.CountKept(), err)
		}
	}
}

func BenchmarkSelect(b *testing.B) {
	const rows, cols = 1536, 576
	s := make([]float32, rows*cols)
	x := uint32(1)
	for i := range s {
		x = x*1664525 + 1013904223
		s[i] = float32(x >> 8)
	}
	for _, p := range []Pattern{{N: 2, M: 4}, {N: 4, M: 8}, {Fraction: .5}} {
		b.Run(fmt.Sprint(p), func(b *testing.B) {
			for b.Loop() {
				_, _ = Select(s, rows, cols, p)
			}
		})
	}
	b.Run("matrix", func(b *testing.B) {
		for b.Loop() {
			_, _ = Matrix(s, rows, cols, .5)
		}
	})
}

// Whole fours of float64 scores have a loop of their own, which chooses as the one for
// every pattern and type does.
func TestTwoOfFour(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols := rapid.IntRange(1, 3).Draw(t, "rows"), 8*rapid.IntRange(1, 6).Draw(t, "bytes")
		narrow := rapid.SliceOfN(rapid.SampledFrom([]float32{0, float32(math.Copysign(0, -1)), 1, 2, -1, 3}), rows*cols, rows*cols).Draw(t, "scores")
		wide := make([]float64, len(narrow))
		for i, v := range narrow {
			wide[i] = float64(v)
		}
		got, err := NM(wide, rows, cols, 2, 4)
		want, err2 := NM(narrow, rows, cols, 2, 4)
		if err != nil || err2 != nil || !got.Equal(want) {
			t.Fatalf("%v (%v), expected %v (%v)", got, err, want, err2)
		}
		wide[rapid.IntRange(0, len(wide)-1).Draw(t, "bad")] = math.NaN()
		if _, err := NM(wide, rows, cols, 2, 4); !errors.Is(err, ErrNaN) {
			t.Fatalf("a score that is no number: %v", err)
		}
	})
}
