package obs

import (
	"errors"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
)

// The cases below were worked out by hand, with damping 0.

func TestPruneOneOfTwo(t *testing.T) {
	h := []float64{2, 1, 1, 2}
	res := mustSweep(t, h, 2, 0, nil, []float32{1, 1}, 1, Options{Pattern: pattern("0.5")})
	// Losses 1.5 and 2; without the update of the second weight it would be 2.
	expect(t, res, []float32{0, 1.5}, 1.5)
	if res.Mask.Keep(0, 0) || !res.Mask.Keep(0, 1) {
		t.Fatal("wrong mask")
	}
}

func TestPruneTwoOfFour(t *testing.T) {
	h := []float64{4, 2, 0, 0, 2, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}
	w := []float32{1, -1, 1.5, .5}
	// Losses 3, 4, 2.25, 0.25. Magnitude would drop column 3 and one of 0 and 1,
	// at a loss of 4.25.
	for _, s := range []string{"2:4", "0.5"} {
		expect(t, mustSweep(t, h, 4, 0, nil, w, 1, Options{Pattern: pattern(s)}), []float32{1, -1, 0, 0}, 2.5)
	}
	byMagnitude, _ := mask.NM(mask.Magnitude(w), 1, 4, 2, 4)
	pruned := slices.Clone(w)
	byMagnitude.Apply(pruned)
	if e := OutputEnergy(nil, w, pruned, 1, 4, h); e != 4.25 {
		t.Fatalf("magnitude: error %v, expected 4.25", e)
	}
}

// The sweep is greedy: columns already passed cannot help any more, so a fixed
// mask may come out worse than with no update at all.
func TestGreedyCounterExample(t *testing.T) {
	h := []float64{3, 3, 1, 3, 5, 2, 1, 2, 1}
	w := []float32{1, 1, -1}
	keep := mask.New(1, 3)
	keep.Set(0, 0, false)
	keep.Set(0, 2, false)
	res := mustSweep(t, h, 3, 0, nil, w, 1, Options{Mask: keep})
	if e := OutputEnergy(nil, w, res.Weights, 1, 3, h); math.Abs(e-5) > 1e-5 {
		t.Fatalf("error %v with the sweep, expected 5", e)
	}
	keep.Apply(w)
	if e := OutputEnergy(nil, []float32{1, 1, -1}, w, 1, 3, h); e != 2 {
		t.Fatalf("error %v without updates, expected 2", e)
	}
	if res.Mask != keep {
		t.Fatal("the result has another mask")
	}
}

func TestRoundTwo(t *testing.T) {
	// The third input is independent and sets the scale to 1 (7 over 2³−1). The
	// first weight rounds to 0, which moves the second from 0.4 to 0.6.
	h := []float64{2, 1, 0, 1, 2, 0, 0, 0, 1}
	w := []float32{.4, .4, 7}
	spec := grid.Spec{Bits: 3, GroupSize: -1}
	for _, live := range []bool{false, true} {
		res := mustSweep(t, h, 3, 0, nil, w, 1, Options{Grid: &spec, LiveGrids: live})
		expect(t, res, []float32{0, 1, 7}, .56)
	}
	rtn, _ := grid.Quantize(nil, w, 1, 3, spec, nil)
	values := make([]float32, 3)
	rtn.Dequantize(values)
	if e := OutputEnergy(nil, w, values, 1, 3, h); math.Abs(e-.96) > 1e-6 || !slices.Equal(values, []float32{0, 0, 7}) {
		t.Fatalf("round to nearest: %v with error %v, expected 0.96", values, e)
	}
}

func expect(t *testing.T, res *Result, weights []float32, loss float64) {
	t.Helper()
	for i, v := range weights {
		if math.Abs(float64(res.Weights[i]-v)) > 1e-6 {
			t.Fatalf("weights %v, expected %v", res.Weights, weights)
		}
	}
	if math.Abs(res.Loss-loss) > 1e-6 {
		t.Fatalf("loss %v, expected %v", res.Loss, loss)
	}
}

func TestUncorrelatedInputsNeedNoUpdate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const out = 5
		n := rapid.IntRange(1, 40).Draw(t, "n")
		w, _ := layer(rapid.Uint64().Draw(t, "seed"), out, n, 0)
		h := make([]float64, n*n)
		for i := range n {
			h[i*n+i] = 3
		}
		f, err := Prepare(nil, h, n, rapid.SampledFrom([]float64{0, .01}).Draw(t, "damping"), nil)
		if err != nil {
			t.Fatal(err)
		}
		block := rapid.IntRange(1, 40).Draw(t, "block")
		res, err := Sweep(nil, f, w, out, Options{Pattern: pattern("0.4"), Block: block})
		if err != nil {
			t.Fatal(err)
		}
		for i1 := 0; i1 < n; i1 += block {
			width := min(block, n-i1)
			part := make([]float32, 0, out*width)
			for r := range out {
				part = append(part, w[r*n+i1:r*n+i1+width]...)
			}
			want, _ := mask.Matrix(mask.Magnitude(part), out, width, .4)
			for r := range out {
				for c := range width {
					i := r*n + i1 + c
					if want.Keep(r, c) != (res.Weights[i] == w[i]) || want.Keep(r, c) == (res.Weights[i] == 0) {
						t.Fatalf("[%d,%d]: %v became %v", r, i1+c, w[i], res.Weights[i])
					}
				}
			}
		}
		// On a diagonal Hessian, not only a constant one, rounding is rounding to
		// nearest, in any order.
		for i := range n {
			h[i*n+i] = float64(1 + i*i%7)
		}
		spec := grid.Spec{Bits: 3, GroupSize: 8, Symmetric: true, PartialGroup: true}
		f, err = Prepare(nil, h, n, .01, DescendingDiagonal(h, n))
		if err != nil {
			t.Fatal(err)
		}
		gptq, err := Sweep(nil, f, w, out, Options{Grid: &spec, Block: block})
		if err != nil {
			t.Fatal(err)
		}
		rtn, _ := grid.Quantize(nil, w, out, n, spec, nil)
		if !slices.Equal(gptq.Quantized.Codes, rtn.Codes) {
			t.Fatal("codes differ from round to nearest")
		}
	})
}

func TestWeightsOnTheGridStay(t *testing.T) {
	w, h := layer(8, 6, 64, 100)
	spec := grid.Spec{Bits: 8, GroupSize: 16}
	rtn, _ := grid.Quantize(nil, w, 6, 64, spec, nil)
	rtn.Dequantize(w)
	again, _ := grid.Quantize(nil, w, 6, 64, spec, nil)
	res := mustSweep(t, h, 64, .01, DescendingDiagonal(h, 64), w, 6, Options{Grid: &spec})
	if !slices.Equal(res.Quantized.Codes, again.Codes) {
		t.Fatal("codes differ from round to nearest")
	}
	if e := RelativeOutputError(nil, w, res.Weights, 6, 64, h); e > 1e-12 {
		t.Fatalf("error %v", e)
	}
}

// randomOptions draws every kind of sweep that the Options allow.
func randomOptions(t *rapid.T, w []float32, out, n int, ordered bool) Options {
	o := Options{Block: rapid.SampledFrom([]int{0, 1, 5, 16, 32, 33}).Draw(t, "block")}
	switch kind := rapid.IntRange(0, 3).Draw(t, "pruning"); {
	case kind == 1 && !ordered:
		m := rapid.IntRange(2, 8).Draw(t, "m")
		o.Pattern = mask.Pattern{N: rapid.IntRange(1, m-1).Draw(t, "n"), M: m}
	case kind == 2:
		o.Pattern = mask.Pattern{Fraction: rapid.Float64Range(0, .9).Draw(t, "fraction")}
	case kind == 3:
		o.Mask, _ = mask.Rows(mask.Magnitude(w), out, n, .4)
	}
	if rapid.Bool().Draw(t, "quantised") {
		o.Grid = &grid.Spec{
			Bits:         rapid.IntRange(2, 6).Draw(t, "bits"),
			GroupSize:    rapid.SampledFrom([]int{-1, 8, 24, 40}).Draw(t, "group"),
			Symmetric:    rapid.Bool().Draw(t, "symmetric"),
			PartialGroup: true,
		}
		o.LiveGrids = !ordered && rapid.Bool().Draw(t, "live")
		if o.LiveGrids && o.Pattern.IsNM() && o.Grid.GroupSize > 0 {
			o.Grid.GroupSize = 3 * o.Pattern.M
		}
	}
	return o
}

func TestSweepProperties(t *testing.T) {
	pools := []int{2, 3}
	rapid.Check(t, func(t *rapid.T) {
		out, n := rapid.IntRange(1, 70).Draw(t, "out"), rapid.IntRange(1, 70).Draw(t, "n")
		w, h := layer(rapid.Uint64().Draw(t, "seed"), out, n, n+20)
		ordered := rapid.Bool().Draw(t, "ordered")
		var order []int
		if ordered {
			order = DescendingDiagonal(h, n)
		}
		f, err := Prepare(nil, h, n, .01, order)
		if err != nil {
			t.Fatal(err)
		}
		o := randomOptions(t, w, out, n, ordered)
		before := slices.Clone(w)
		res, err := Sweep(nil, f, w, out, o)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(w, before) {
			t.Fatal("the weights given were changed")
		}
		checkMask(t, res, o, out, n)
		if o.Grid != nil {
			values := make([]float32, len(w))
			res.Quantized.Dequantize(values)
			if !slices.Equal(values, res.Weights) {
				t.Fatal("weights are not what the codes read back as")
			}
		}
		// The loss that adds up column by column is the loss of the result.
		for i := range n {
			h[i*n+i] += f.Lambda
		}
		if e := OutputEnergy(nil, w, res.Weights, out, n, h); math.Abs(e-res.Loss) > 1e-5*e+1e-9 {
			t.Fatalf("loss %v, error of the result %v", res.Loss, e)
		}
		for _, threads := range pools {
			p := linalg.NewPool(threads)
			again, err := Sweep(p, f, w, out, o)
			p.Close()
			if err != nil || !sameBits(again.Weights, res.Weights) || again.Loss != res.Loss {
				t.Fatalf("%d threads: another result (%v)", threads, err)
			}
		}
	})
}

// checkMask checks counts and zeros of what was dropped.
func checkMask(t *rapid.T, res *Result, o Options, out, n int) {
	switch {
	case o.Pattern.IsZero() && o.Mask == nil:
		if res.Mask != nil {
			t.Fatal("a mask out of nothing")
		}
		return
	case o.Pattern.IsNM():
		if got, want := out*n-res.Mask.CountKept(), o.Pattern.Dropped(out, n); got != want {
			t.Fatalf("%d dropped, expected %d", got, want)
		}
		if r, c, bad := res.Mask.Violation(o.Pattern); bad {
			t.Fatalf("pattern violated at [%d,%d]", r, c)
		}
	case o.Mask == nil && !o.LiveGrids:
		want := 0
		for i := 0; i < n; i += min(o.block(), n) {
			want += mask.Count(out*min(o.block(), n-i), o.Pattern.Fraction)
		}
		if got := out*n - res.Mask.CountKept(); got != want {
			t.Fatalf("%d dropped, expected %d", got, want)
		}
	}
	for r := range out {
		for c := range n {
			if !res.Mask.Keep(r, c) && math.Float32bits(res.Weights[r*n+c]) != 0 {
				t.Fatalf("dropped weight [%d,%d] is %v", r, c, res.Weights[r*n+c])
			}
		}
	}
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// The block size is a matter of speed only, unless a fraction is chosen in it.
func TestBlockSizeDoesNotMatter(t *testing.T) {
	const out, n = 40, 160
	w, h := layer(4, out, n, 400)
	keep, _ := mask.NM(mask.Magnitude(w), out, n, 2, 4)
	spec := grid.Spec{Bits: 4, GroupSize: 32, Symmetric: true}
	row := grid.Spec{Bits: 4, GroupSize: -1}
	natural := mustPrepare(t, nil, h, n, .01, nil)
	ordered := mustPrepare(t, nil, h, n, .01, DescendingDiagonal(h, n))
	for name, c := range map[string]struct {
		f *Factor
		o Options
	}{
		"2:4":               {natural, Options{Pattern: pattern("2:4")}},
		"3:7":               {natural, Options{Pattern: pattern("3:7")}},
		"2:4 and 4 bit":     {natural, Options{Pattern: pattern("2:4"), Grid: &spec}},
		"mask":              {ordered, Options{Mask: keep}},
		"rows":              {natural, Options{Grid: &row}},
		"groups, ordered":   {ordered, Options{Grid: &spec}},
		"groups, live":      {natural, Options{Grid: &spec, LiveGrids: true}},
		"mask and live":     {natural, Options{Grid: &spec, Mask: keep, LiveGrids: true}},
		"mask, ordered":     {ordered, Options{Grid: &spec, Mask: keep}},
		"2:4, 4 bit, live":  {natural, Options{Pattern: pattern("2:4"), Grid: &spec, LiveGrids: true}},
		"8:16, 4 bit, live": {natural, Options{Pattern: pattern("8:16"), Grid: &row, LiveGrids: true}},
	} {
		var want *Result
		for _, block := range []int{n, 1, 4, 32, 100, 128} {
			c.o.Block = block
			res, err := Sweep(nil, c.f, w, out, c.o)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if want == nil {
				want = res
				continue
			}
			if want.Quantized != nil && !slices.Equal(res.Quantized.Codes, want.Quantized.Codes) {
				t.Errorf("%s: block %d gives other codes", name, block)
			}
			if want.Mask != nil && !res.Mask.Equal(want.Mask) {
				t.Errorf("%s: block %d gives another mask", name, block)
			}
			if math.Abs(res.Loss-want.Loss) > 1e-10*want.Loss {
				t.Errorf("%s: block %d: loss %v, expected %v", name, block, res.Loss, want.Loss)
			}
		}
	}
}

func TestContradictoryOptions(t *testing.T) {
	w, h := layer(1, 2, 8, 20)
	natural := mustPrepare(t, nil, h, 8, .01, nil)
	ordered := mustPrepare(t, nil, h, 8, .01, DescendingDiagonal(h, 8))
	spec := gridSpec(4, 4)
	for name, c := range map[string]struct {
		f *Factor
		o Options
	}{
		"mask and pattern":  {natural, Options{Mask: mask.New(2, 8), Pattern: pattern("0.5")}},
		"2:4 in order":      {ordered, Options{Pattern: pattern("2:4")}},
		"live in order":     {ordered, Options{Grid: &spec, LiveGrids: true}},
		"live without grid": {natural, Options{LiveGrids: true}},
		"straddling groups": {natural, Options{Grid: &spec, LiveGrids: true, Pattern: pattern("2:3")}},
	} {
		if _, err := Sweep(nil, c.f, w, 2, c.o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := gridSpec(4, 3)
	if _, err := Sweep(nil, natural, w, 2, Options{Grid: &bad}); !errors.Is(err, grid.ErrSpec) {
		t.Errorf("group 3 of 8: %v", err)
	}
	if _, err := Sweep(nil, natural, w, 2, Options{Pattern: mask.Pattern{Fraction: 2}}); !errors.Is(err, mask.ErrPattern) {
		t.Errorf("fraction 2: %v", err)
	}
	w[3] = float32(math.NaN())
	if _, err := Sweep(nil, natural, w, 2, Options{}); !errors.Is(err, grid.ErrNotFinite) {
		t.Errorf("NaN: %v", err)
	}
}

// The caller's memory is what a result's weights lie in, and holds what new memory
// would; other sizes are refused.
func TestSweepInto(t *testing.T) {
	w, h := layer(9, 20, 24, 72)
	spec := gridSpec(4, 8)
	want := mustSweep(t, h, 24, .01, nil, w, 20, Options{Grid: &spec})
	into := slices.Repeat([]float32{7}, len(w))
	got := mustSweep(t, h, 24, .01, nil, w, 20, Options{Grid: &spec, Into: into})
	if &got.Weights[0] != &into[0] || !slices.Equal(into, want.Weights) {
		t.Fatal("the weights lie elsewhere or differ")
	}
	defer func() {
		if recover() == nil {
			t.Fatal("no panic about too little room")
		}
	}()
	mustSweep(t, h, 24, .01, nil, w, 20, Options{Into: into[1:]})
}
