package train

import (
	"math"
	"slices"
	"testing"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/nn"
)

// merged is the weight an adapter over W leaves with the given factors.
func merged(t *testing.T, p LinearPlan, w, a, b []float32, out, in int) []float32 {
	t.Helper()
	if err := p.check(out, in); err != nil {
		t.Fatal(err)
	}
	ad := newAdapter(site[float32]{p, "layer", 0, starter{Kaiming, 0}, &nn.Linear{Out: out, In: in, W: w}, shared[float32]{}})
	ps := ad.params()
	copy(ps[0].Data, a)
	copy(ps[1].Data, b)
	got := make([]float32, out*in)
	ad.merge(nil, got)
	return got
}

// The exact cases of Zimmer et al.'s parametrisations on W = diag(2, 3).
func TestMergeByHand(t *testing.T) {
	w := []float32{2, 0, 0, 3}
	m := mask.FromNonZero(w, 2, 2)
	for _, c := range []struct {
		plan    LinearPlan
		a, b    []float32
		expects []float32
	}{
		{LinearPlan{Kind: ScaleLoRA, Rank: 1}, []float32{1, 1}, []float32{1, 2}, []float32{2, 0, 0, 6}},
		{LinearPlan{Kind: MaskLoRA, Rank: 1, Scale: 2, Mask: m}, []float32{1, 1}, []float32{1, 1}, []float32{4, 0, 0, 5}},
		{LinearPlan{Kind: LoRAPrune, Rank: 1, Scale: 2, Mask: m}, []float32{1, 1}, []float32{1, 1}, []float32{4, 0, 0, 5}},
		{LinearPlan{Kind: LoRA, Rank: 1, Scale: 2}, []float32{1, 1}, []float32{1, 1}, []float32{4, 2, 2, 5}},
	} {
		if got := merged(t, c.plan, w, c.a, c.b, 2, 2); !slices.Equal(got, c.expects) {
			t.Errorf("%s: merged %v; expected %v", c.plan.Kind, got, c.expects)
		}
	}
}

// At the start every parametrisation of every rank is the given weight, to the
// bit: also where (1/√r)²·r is not 1 in float32.
func TestStartIsTheGivenWeight(t *testing.T) {
	const out, in = 13, 19
	seed := uint64(1)
	w := make([]float32, out*in)
	for i, v := range noise(&seed, len(w)) {
		w[i] = float32(v)
	}
	m, err := mask.Rows(mask.Magnitude(w), out, in, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	m.Apply(w)
	for _, kind := range []Kind{LoRA, LoRAPrune, MaskLoRA, ScaleLoRA} {
		for rank := 1; rank <= out; rank++ {
			p := LinearPlan{Kind: kind, Rank: rank, Scale: 1.7, Mask: m}
			if kind == ScaleLoRA {
				p.Scale = 0
			}
			got := make([]float32, len(w))
			newAdapter(site[float32]{p, "layer", 3, starter{Kaiming, 0}, &nn.Linear{Out: out, In: in, W: w}, shared[float32]{}}).merge(nil, got)
			if !sameBits(got, w) {
				t.Errorf("%s rank %d does not start at the given weight", kind, rank)
			}
		}
	}
}

// keepMasked's unrolled loop must agree with the mask, whatever the width.
func TestKeepMasked(t *testing.T) {
	for in := 1; in <= 33; in++ {
		const rows = 3
		m := mask.New(rows, in)
		x := make([]float32, rows*in)
		for i := range x {
			x[i] = float32(i + 1)
			m.Set(i/in, i%in, (i*7+i/5)%3 == 0)
		}
		keepMasked(m, x, in, 1, rows)
		for i, v := range x {
			want := float32(i + 1)
			if i >= in && !m.Keep(i/in, i%in) {
				want = 0
			}
			if v != want {
				t.Fatalf("width %d, element %d: %v; expected %v", in, i, v, want)
			}
		}
	}
}

func TestFormulaInit(t *testing.T) {
	a := make([]float32, 3*4)
	initA(starter{Formula, 0}, a, "", 2, 4)
	// i = 2, j = 3, k = 2: 2·7919 + 3·104729 + 2·1299709 = 2929443, mod 65536 = 45859.
	if want := float32((45859.0/32768 - 1) / 2); a[2*4+3] != want {
		t.Errorf("A[2, 3] is %v; expected %v", a[2*4+3], want)
	}
	b := make([]float32, 1000)
	initA(starter{Kaiming, 7}, b, "x", 0, 100)
	lo, hi := slices.Min(b), slices.Max(b)
	if lo < -0.1 || hi > 0.1 || lo > -0.099 || hi < 0.099 {
		t.Errorf("Kaiming start for 100 inputs lies in [%v, %v]; expected to fill [−0.1, 0.1]", lo, hi)
	}
	c := make([]float32, 1000)
	initA(starter{Kaiming, 7}, c, "y", 0, 100)
	if slices.Equal(b, c) {
		t.Error("two layers start alike")
	}
}

// A linear regression with a rank-one answer: W* = W + uvᵀ, loss ½‖(W' − W*)X‖².
// A mask that keeps everything makes W' = W + s·BA, so s·BA must become uvᵀ.
func TestLinearRegression(t *testing.T) {
	const out, in, n, scale = 6, 5, 40, 1
	seed := uint64(2)
	w, u, v, x := noise(&seed, out*in), noise(&seed, out), noise(&seed, in), noise(&seed, in*n)
	p := LinearPlan{Kind: MaskLoRA, Rank: 1, Scale: scale, Mask: mask.New(out, in)}
	ad := newAdapter(site[float64]{p, "layer", 0, starter{Kaiming, 1}, &nn.LinearOf[float64]{Out: out, In: in, W: w}, nil})
	var g nn.LinearGradOf[float64]
	ad.sinks(nil, &g)
	c := core[float64]{opt: DefaultAdamW(), params: ad.params()}
	c.begin()
	formed, diff, grad := make([]float64, out*in), make([]float64, out*n), make([]float64, out*in)
	var first, last float64
	const steps = 3000
	for s := range steps {
		ad.merge(nil, formed)
		for i := range out {
			for j := range in {
				formed[i*in+j] -= w[i*in+j] + u[i]*v[j]
			}
		}
		nn.Gemm(nil, false, false, out, n, in, 1, formed, in, x, n, 0, diff, n)
		last = sumSquares(diff) / (2 * n)
		if s == 0 {
			first = last
		}
		nn.Gemm(nil, false, true, out, in, n, 1/float64(n), diff, n, x, n, 0, grad, in)
		c.zeroGradients()
		g.Weight(grad)
		if err := c.apply(last, Schedule{Kind: "cosine", Rate: 0.02, Steps: steps}.At(s)); err != nil {
			t.Fatal(err)
		}
	}
	if !(last < 1e-6*first) {
		t.Errorf("loss went from %v to %v; expected below 1e-6 of the start", first, last)
	}
	a, b := c.params[0].Data, c.params[1].Data
	for i := range out {
		for j := range in {
			if got, want := scale*b[i]*a[j], u[i]*v[j]; math.Abs(got-want) > 1e-3 {
				t.Fatalf("(s·BA)[%d, %d] is %v; expected %v", i, j, got, want)
			}
		}
	}
}

// Two steps of AdamW worked by hand: gradients 0.5 and −0.25 on p = 1, rate 0.1,
// decay 0.01.
//
// Step 1: p ← 1·(1 − 0.001) = 0.999; m = 0.05, v = 0.00025; m̂ = 0.5, √v̂ = 0.5;
// p ← 0.999 − 0.1·0.5/(0.5 + 1e-8) = 0.899000002.
// Step 2: p ← 0.899000002·0.999 = 0.898101002; m = 0.9·0.05 − 0.025 = 0.02;
// v = 0.999·0.00025 + 0.001·0.0625 = 0.00031225; m̂ = 0.02/0.19 = 0.105263158;
// v̂ = 0.00031225/0.001999 = 0.156203102, √v̂ = 0.395225381;
// p ← 0.898101002 − 0.1·0.105263158/0.395225391 = 0.871467299.
// Without decay: 0.900000002 − 0.026633703 = 0.873366299.
func TestAdamWByHand(t *testing.T) {
	o := AdamW{Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.01}
	p := newParam("p", []float64{1}, 1)
	gain := newParam("gain", []float64{1}, 1)
	gain.NoDecay = true
	params := []*ParamOf[float64]{p, gain}
	(&core[float64]{opt: o, params: params}).begin()
	for s, c := range []struct{ grad, p, gain float64 }{
		{0.5, 0.899000002, 0.900000002},
		{-0.25, 0.871467299, 0.873366299},
	} {
		p.grad[0], gain.grad[0] = c.grad, c.grad
		update(o, stepOf[float64]{nil, params, s + 1, 0.1, 1})
		if math.Abs(p.Data[0]-c.p) > 1e-9 || math.Abs(gain.Data[0]-c.gain) > 1e-9 {
			t.Errorf("after step %d: %.9f, without decay %.9f; expected %.9f and %.9f", s+1, p.Data[0], gain.Data[0], c.p, c.gain)
		}
	}
}

func TestClip(t *testing.T) {
	pool := linalg.NewPool(2)
	defer pool.Close()
	p, q := newParam("p", make([]float32, 3*chunk+1), 3*chunk+1), newParam("q", make([]float32, 1), 1)
	p.grad[0], p.grad[3*chunk], q.grad[0] = 2, 3, 6
	norm := gradNorm(pool, []*Param{p, q})
	if norm != 7 {
		t.Errorf("norm %v; expected 7", norm)
	}
	if f := clipFactor(1, norm); math.Abs(f-1.0/7) > 1e-7 {
		t.Errorf("factor %v; expected 1/7", f)
	}
	if f := clipFactor(1, 0.5); f != 1 {
		t.Errorf("factor below the limit %v; expected 1", f)
	}
	if f := clipFactor(0, norm); f != 1 {
		t.Errorf("factor without a limit %v; expected 1", f)
	}
}

func TestSchedule(t *testing.T) {
	for _, c := range []struct {
		s    Schedule
		at   int
		want float64
	}{
		{Schedule{"linear", 1, 10, 40}, 0, 0.1},
		{Schedule{"linear", 1, 10, 40}, 9, 1 - 9.0/40},
		{Schedule{"linear", 1, 10, 40}, 4, 0.5 * (1 - 4.0/40)},
		{Schedule{"linear", 2, 0, 40}, 0, 2},
		{Schedule{"linear", 2, 0, 40}, 39, 2 * (1 - 39.0/40)},
		{Schedule{"cosine", 2, 0, 40}, 0, 2},
		{Schedule{"cosine", 2, 0, 40}, 20, 1},
		{Schedule{"cosine", 2, 0, 40}, 10, 1 + math.Sqrt2/2},
		{Schedule{"constant", 2, 4, 0}, 1, 1},
		{Schedule{"constant", 2, 4, 0}, 1000, 2},
	} {
		if got := c.s.At(c.at); math.Abs(got-c.want) > 1e-15 {
			t.Errorf("%+v at %d: %v; expected %v", c.s, c.at, got, c.want)
		}
		if err := c.s.Check(); err != nil {
			t.Errorf("%+v: %v", c.s, err)
		}
	}
	for _, s := range []Schedule{{Kind: "step"}, {Kind: "linear"}, {Kind: "constant", Warmup: -1}} {
		if s.Check() == nil {
			t.Errorf("%+v passes the check", s)
		}
	}
	if WarmupSteps(0.1, 205) != 20 || WarmupSteps(12, 205) != 12 || WarmupSteps(0, 205) != 0 {
		t.Error("warm-up steps are wrong")
	}
}
