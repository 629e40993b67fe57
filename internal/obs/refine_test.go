package obs

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
)

func mustRefine(t testing.TB, f *Factor, h []float64, w []float32, out int, r *Result, passes int) {
	t.Helper()
	if err := Refine(nil, f, h, w, out, r, passes); err != nil {
		t.Fatal(err)
	}
}

// The cases below were worked out by hand, with damping 0.

// What the greedy sweep cannot repair (TestGreedyCounterExample) a pass repairs:
// with δ = (−1, t, 1) the error is 5t²−2t+2, smallest at t = 0.2.
func TestRefineKeptWeight(t *testing.T) {
	h := []float64{3, 3, 1, 3, 5, 2, 1, 2, 1}
	w := []float32{1, 1, -1}
	keep := mask.New(1, 3)
	keep.Set(0, 0, false)
	keep.Set(0, 2, false)
	f := mustPrepare(t, nil, h, 3, 0, nil)
	for passes, want := range map[int]float64{0: 5, 1: 1.8, 3: 1.8} {
		res, err := Sweep(nil, f, w, 1, Options{Mask: keep})
		if err != nil {
			t.Fatal(err)
		}
		mustRefine(t, f, h, w, 1, res, passes)
		if e := OutputEnergy(nil, w, res.Weights, 1, 3, h); math.Abs(e-want) > 1e-5 || math.Abs(res.Loss-want) > 1e-5 {
			t.Errorf("%d passes: error %v, loss %v, expected %v", passes, e, res.Loss, want)
		}
		if passes > 0 {
			expect(t, res, []float32{0, 1.2, 0}, 1.8)
		}
	}
}

// The codes 0, 1, 7 that the sweep leaves on scale 1 (TestRoundTwo) are the best
// of their kind; δ·H·v = 0.8 and v·H·v = 51 take the scale to 1 − 0.8/51.
func TestRefineScale(t *testing.T) {
	h := []float64{2, 1, 0, 1, 2, 0, 0, 0, 1}
	w := []float32{.4, .4, 7}
	spec := grid.Spec{Bits: 3, GroupSize: -1}
	res := mustSweep(t, h, 3, 0, nil, w, 1, Options{Grid: &spec})
	mustRefine(t, mustPrepare(t, nil, h, 3, 0, nil), h, w, 1, res, 1)
	s := float32(1 - .8/51)
	expect(t, res, []float32{0, s, 7 * s}, .56-.64/51)
	if !slices.Equal(res.Quantized.Codes, []uint8{0, 1, 7}) {
		t.Fatalf("codes %v", res.Quantized.Codes)
	}
	// In f16 the neighbours of 1 − 0.8/51 below 1 are 2⁻¹¹ apart.
	spec.ScaleDType = grid.F16
	res = mustSweep(t, h, 3, 0, nil, w, 1, Options{Grid: &spec})
	mustRefine(t, mustPrepare(t, nil, h, 3, 0, nil), h, w, 1, res, 1)
	if got := res.Quantized.Scales[0]; got != 2016./2048 {
		t.Fatalf("scale %v, expected the stored one nearest to %v", got, s)
	}
}

// From codes as bad as can be a pass finds the best ones of uncorrelated
// inputs: those of rounding to nearest.
func TestRefineMovesCodes(t *testing.T) {
	// The middle input never fires: its weight stays at zero.
	h := []float64{2, 0, 0, 0, 0, 0, 0, 0, 1}
	w := []float32{3, 5, -4}
	f := mustPrepare(t, nil, h, 3, 0, nil)
	spec := gridSpec(3, -1)
	q, err := grid.New(spec, 1, 3)
	if err != nil {
		t.Fatal(err)
	}
	q.Scales[0], q.Zeros[0] = 1, 4
	q.Codes = []uint8{4, 4, 4} // zeros, for which no scale is best
	res := &Result{Weights: make([]float32, 3), Quantized: q, Loss: 34}
	mustRefine(t, f, h, w, 1, res, 1)
	expect(t, res, []float32{3, 0, -4}, 0)
	if !slices.Equal(q.Codes, []uint8{7, 4, 0}) || q.Scales[0] != 1 {
		t.Fatalf("codes %v, scale %v", q.Codes, q.Scales[0])
	}
}

// refineByDefinition is the descent as it is defined: one row, every gradient
// from scratch, no blocks.
func refineByDefinition(w, now []float64, h []float64, n int, lambda float64, free func(c int) bool, q *grid.Quantized, row int) {
	gradient := func(c int) (g float64) {
		for k := range n {
			v := h[c*n+k]
			if k == c {
				v += lambda
			}
			g += v * (now[k] - w[k])
		}
		return g
	}
	loss := func() (sum float64) {
		for c := range n {
			sum += (now[c] - w[c]) * gradient(c)
		}
		return sum
	}
	for c := range n {
		if q != nil {
			if lo, hi := q.Columns(q.Group(c), n); lo == c {
				slope, curve := 0.0, 0.0
				for i := lo; i < hi; i++ {
					slope += now[i] * gradient(i)
					for j := lo; j < hi; j++ {
						curve += now[i] * h[i*n+j] * now[j]
					}
					curve += lambda * now[i] * now[i]
				}
				if curve > 0 {
					before, was := loss(), slices.Clone(now)
					s := q.Scale(row, q.Group(c))
					old := *s
					*s = q.Storable(float32(float64(*s) * (1 - slope/curve)))
					for i := lo; i < hi; i++ {
						now[i] = float64(q.Rounder(row, q.Group(c)).Value(q.Codes[row*n+i]))
					}
					if !(loss() < before) { // what was gained is lost in the rounding of the values
						*s = old
						copy(now, was)
					}
				}
			}
		}
		if !free(c) {
			continue
		}
		now[c] -= gradient(c) / (h[c*n+c] + lambda)
		if q != nil {
			code, v := q.Rounder(row, q.Group(c)).Round(float32(now[c]))
			q.Codes[row*n+c], now[c] = code, float64(v)
		}
	}
}

func TestRefineAgainstDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		out, n := rapid.IntRange(1, 3).Draw(t, "out"), rapid.SampledFrom([]int{1, 7, 30, 150}).Draw(t, "n")
		w, h := layer(rapid.Uint64().Draw(t, "seed"), out, n, n+10)
		o := randomOptions(t, w, out, n, false)
		f, err := Prepare(nil, h, n, .01, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := Sweep(nil, f, w, out, o)
		if err != nil {
			t.Fatal(err)
		}
		var q *grid.Quantized
		if o.Grid != nil {
			c := *res.Quantized
			c.Codes, c.Scales = slices.Clone(c.Codes), slices.Clone(c.Scales)
			q = &c
		}
		want := make([]float64, len(w))
		for r := range out {
			row := make([]float64, n)
			for c := range n {
				row[c], want[r*n+c] = float64(w[r*n+c]), float64(res.Weights[r*n+c])
			}
			free := func(c int) bool { return res.Mask == nil || res.Mask.Keep(r, c) }
			refineByDefinition(row, want[r*n:(r+1)*n], h, n, f.Lambda, free, q, r)
		}
		if err := Refine(nil, f, h, w, out, res, 1); err != nil {
			t.Fatal(err)
		}
		for i, v := range want {
			// Far below a step of any grid, far above a scale that one of the two
			// finds no better by the last bits of a sum.
			if got := float64(res.Weights[i]); math.Abs(got-v) > 1e-4*(1+math.Abs(v)) {
				t.Fatalf("[%d,%d]: %v, expected %v", i/n, i%n, got, v)
			}
		}
	})
}

func TestRefineProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		out, n := rapid.IntRange(1, 70).Draw(t, "out"), rapid.SampledFrom([]int{1, 3, 16, 45, 70, 200}).Draw(t, "n")
		w, h := layer(rapid.Uint64().Draw(t, "seed"), out, n, n+20)
		if n > 3 { // a dead input
			for i := range n {
				h[2*n+i], h[i*n+2] = 0, 0
			}
		}
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
		if o.Grid != nil && rapid.Bool().Draw(t, "f16") {
			o.Grid.ScaleDType = grid.F16
		}
		upper := slices.Clone(h) // all that may be read
		for i := range n {
			for j := range i {
				upper[i*n+j] = math.NaN()
			}
		}
		live := slices.Clone(w) // dead inputs count as zero
		for i := range live {
			if f.Dead[i%n] {
				live[i] = 0
			}
		}
		damped := slices.Clone(h)
		for i := range n {
			damped[i*n+i] += f.Lambda
		}
		refined := func(threads, passes int) *Result {
			p := linalg.NewPool(threads)
			defer p.Close()
			res, err := Sweep(p, f, w, out, o)
			if err == nil {
				err = Refine(p, f, upper, w, out, res, passes)
			}
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		swept := refined(1, 0)
		loss := OutputEnergy(nil, live, swept.Weights, out, n, damped)
		scale := OutputEnergy(nil, live, nil, out, n, damped)
		for passes := 1; passes <= 3; passes++ {
			res := refined(1, passes)
			now := OutputEnergy(nil, live, res.Weights, out, n, damped)
			// Quantised values are exact; others are rounded to float32 at the end.
			slack, rounding := 1e-13*scale, 0.0
			if o.Grid == nil {
				slack = 1e-6*loss + 1e-12*scale
				rounding = 0x1p-22 * math.Sqrt(now*scale)
			}
			if now > loss+slack {
				t.Fatalf("pass %d raised the loss from %v to %v", passes, loss, now)
			}
			if loss = now; math.Abs(now-res.Loss) > 1e-5*now+1e-9+rounding {
				t.Fatalf("loss %v, error of the result %v", res.Loss, now)
			}
			checkRefined(t, res, swept, o, out, n)
			again := refined(3, passes)
			if !sameBits(again.Weights, res.Weights) || again.Loss != res.Loss {
				t.Fatal("3 threads: another result")
			}
		}
	})
}

// checkRefined checks that nothing but kept weights, codes and scales changed.
func checkRefined(t *rapid.T, res, swept *Result, o Options, out, n int) {
	if (res.Mask == nil) != (swept.Mask == nil) || res.Mask != nil && !res.Mask.Equal(swept.Mask) {
		t.Fatal("another mask")
	}
	for i, v := range res.Weights {
		if res.Mask != nil && !res.Mask.Keep(i/n, i%n) && math.Float32bits(v) != 0 {
			t.Fatalf("dropped weight [%d,%d] is %v", i/n, i%n, v)
		}
	}
	q := res.Quantized
	if q == nil {
		return
	}
	values := make([]float32, out*n)
	q.Dequantize(values)
	if !slices.Equal(values, res.Weights) {
		t.Fatal("weights are not what the codes read back as")
	}
	if !slices.Equal(q.Zeros, swept.Quantized.Zeros) {
		t.Fatal("other zero points")
	}
	for _, u := range q.Codes {
		if int(u) > q.MaxCode() {
			t.Fatalf("code %d", u)
		}
	}
	for _, s := range q.Scales {
		if !(s > 0) || o.Grid.ScaleDType == grid.F16 && half.FromF16(half.ToF16(s)) != s {
			t.Fatalf("scale %v", s)
		}
	}
}

// Where the passes end nothing better is left: of codes, no other value of any
// single one; of kept weights, the least-squares solution.
func TestRefineEndsAtOptimum(t *testing.T) {
	const out, n = 5, 40
	w, h := layer(11, out, n, 4*n)
	f := mustPrepare(t, nil, h, n, .01, nil)
	for i := range n {
		h[i*n+i] += f.Lambda
	}
	undamped := slices.Clone(h)
	for i := range n {
		undamped[i*n+i] -= f.Lambda
	}
	t.Run("codes", func(t *testing.T) {
		spec := gridSpec(3, 8)
		res, err := Sweep(nil, f, w, out, Options{Grid: &spec})
		if err != nil {
			t.Fatal(err)
		}
		mustRefine(t, f, undamped, w, out, res, 1000)
		done := slices.Clone(res.Weights)
		mustRefine(t, f, undamped, w, out, res, 1)
		if !sameBits(done, res.Weights) {
			t.Fatal("a further pass still moves something")
		}
		best := OutputEnergy(nil, w, res.Weights, out, n, h)
		for i, was := range res.Weights {
			for u := range spec.MaxCode() + 1 {
				res.Weights[i] = res.Quantized.Rounder(i/n, res.Quantized.Group(i%n)).Value(uint8(u))
				if e := OutputEnergy(nil, w, res.Weights, out, n, h); e < best*(1-1e-12) {
					t.Fatalf("[%d,%d]: code %d gives %v, less than %v", i/n, i%n, u, e, best)
				}
			}
			res.Weights[i] = was
		}
	})
	t.Run("kept weights", func(t *testing.T) {
		res, err := Sweep(nil, f, w, out, Options{Pattern: pattern("2:4")})
		if err != nil {
			t.Fatal(err)
		}
		mustRefine(t, f, undamped, w, out, res, 1000)
		for r := range out {
			for c := range n {
				if !res.Mask.Keep(r, c) {
					continue
				}
				g := 0.0
				for k := range n {
					g += h[c*n+k] * (float64(res.Weights[r*n+k]) - float64(w[r*n+k]))
				}
				if math.Abs(g) > 1e-5*h[c*n+c] {
					t.Errorf("[%d,%d]: gradient %v at a minimum", r, c, g)
				}
			}
		}
	})
}

func TestRefineMisusePanics(t *testing.T) {
	w, h := layer(1, 2, 8, 20)
	f := mustPrepare(t, nil, h, 8, .01, nil)
	res := mustSweep(t, h, 8, .01, nil, w, 2, Options{Pattern: pattern("0.5")})
	for name, call := range map[string]func(){
		"Hessian": func() { _ = Refine(nil, f, h[1:], w, 2, res, 1) },
		"weights": func() { _ = Refine(nil, f, h, w, 1, res, 1) },
		"passes":  func() { _ = Refine(nil, f, h, w, 2, res, -1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call()
		}()
	}
}
