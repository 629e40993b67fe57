package merge

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg"
)

// valueOf finishes b and serves its leaves from memory.
func valueOf(b *artifact.Builder) *artifact.Value {
	tree, leaves := b.Finish()
	data := map[artifact.Digest][]byte{}
	for _, l := range leaves {
		data[l.Digest] = l.Data
	}
	return &artifact.Value{Tree: tree, Load: func(e artifact.Entry) ([]byte, error) { return data[e.Digest], nil }}
}

// matrix is the one tensor of a part.
type matrix struct {
	shape []int
	data  []float32
}

func row(x ...float32) matrix { return matrix{[]int{1, len(x)}, x} }

const testTensor = "self_attn.q_proj.weight"

func (m matrix) value() *artifact.Value {
	b := artifact.NewBuilder()
	b.PutFloat32(testTensor, m.shape, slices.Clone(m.data))
	return valueOf(b)
}

// runKernel runs a method's kernel on one tensor. base may be nil.
func runKernel[A any](t testing.TB, m *Method[A], pool *linalg.Pool, args A, base *artifact.Value, extra map[string]*artifact.Value, models ...matrix) *artifact.Value {
	t.Helper()
	params, err := json.Marshal([]tensorParams[A]{{Name: testTensor, Class: linear, Args: args}})
	if err != nil {
		t.Fatal(err)
	}
	in := map[string]*artifact.Value{}
	if base != nil {
		in[baseInput] = base
	}
	for i, x := range models {
		in[modelInput(i)] = x.value()
	}
	for n, v := range extra {
		in[n] = v
	}
	out := artifact.NewBuilder()
	c := &action.Context{Context: context.Background(), Params: params, Pool: pool, In: in,
		Out: map[string]*artifact.Builder{"merged": out, "report": artifact.NewBuilder()}}
	if err := m.kernel.Run(c); err != nil {
		t.Fatal(err)
	}
	return valueOf(out)
}

// merged is the result of a method on one tensor.
func merged[A any](t testing.TB, m *Method[A], args A, base *matrix, models ...matrix) []float32 {
	t.Helper()
	var b *artifact.Value
	if base != nil {
		b = base.value()
	}
	x, err := runKernel(t, m, nil, args, b, nil, models...).Float32(testTensor)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// plus adds a delta to a base.
func plus(base matrix, delta ...float32) matrix {
	s := slices.Clone(base.data)
	for i := range s {
		s[i] += delta[i]
	}
	return matrix{base.shape, s}
}

func equalTo(t *testing.T, what string, got []float32, want ...float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
	for i, x := range got {
		if math.Abs(float64(x)-want[i]) > 1e-6 {
			t.Fatalf("%s: %v, want %v", what, got, want)
		}
	}
}

func sum(weights ...float64) combination { return combination{Weights: weights, Lambda: 1} }

func TestLinear(t *testing.T) {
	a, b := row(1, 2, -4), row(3, 0, 4)
	equalTo(t, "mean", merged(t, linearMethod, average{[]float64{1, 1}, true}, nil, a, b), 2, 1, 0)
	equalTo(t, "weighted mean", merged(t, linearMethod, average{[]float64{3, 1}, true}, nil, a, b), 1.5, 1.5, -2)
	equalTo(t, "sum", merged(t, linearMethod, average{[]float64{1, 2}, false}, nil, a, b), 7, 2, 4)
}

func TestTaskArithmetic(t *testing.T) {
	base := row(1, 1, 1)
	a, b := plus(base, 3, -1, 0.5), plus(base, 1, 2, 0)
	equalTo(t, "sum", merged(t, taskArithmetic, sum(1, 1), &base, a, b), 5, 2, 1.5)
	equalTo(t, "weights", merged(t, taskArithmetic, sum(0.5, -1), &base, a, b), 1.5, -1.5, 1.25)
	equalTo(t, "lambda", merged(t, taskArithmetic, combination{Weights: []float64{1, 1}, Lambda: 0.5}, &base, a, b), 3, 1.5, 1.25)
	equalTo(t, "normalized", merged(t, taskArithmetic, combination{Weights: []float64{1, 3}, Lambda: 1, Normalize: true}, &base, a, b), 2.5, 2.25, 1.125)
}

// A single delta gives the model back bit for bit, also where float32 would
// round the difference.
func TestSingleDeltaIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "n")
		number := rapid.Custom(func(t *rapid.T) float32 {
			return float32(rapid.IntRange(-1<<23, 1<<23).Draw(t, "m")) * float32(math.Ldexp(1, -rapid.IntRange(10, 30).Draw(t, "e")))
		})
		base := row(rapid.SliceOfN(number, n, n).Draw(t, "base")...)
		m := row(rapid.SliceOfN(number, n, n).Draw(t, "model")...)
		params, _ := json.Marshal([]tensorParams[combination]{{Name: testTensor, Class: linear, Args: sum(1)}})
		out := artifact.NewBuilder()
		c := &action.Context{Context: context.Background(), Params: params,
			In:  map[string]*artifact.Value{baseInput: base.value(), modelInput(0): m.value()},
			Out: map[string]*artifact.Builder{"merged": out}}
		if err := taskArithmetic.kernel.Run(c); err != nil {
			t.Fatal(err)
		}
		if got, _ := valueOf(out).Float32(testTensor); !slices.Equal(got, m.data) {
			t.Fatalf("%v, want %v", got, m.data)
		}
	})
}

// combined is the definition of a combination, element by element.
func combined(c combination, deltas [][]float64, i int) float64 {
	vote := 0.0
	for t, d := range deltas {
		switch x := float64(c.Weights[t] * d[i]); {
		case c.Sign != "count":
			vote += x
		case x > 0:
			vote++
		case x < 0:
			vote--
		}
	}
	sum, div := 0.0, 0.0
	for t, d := range deltas {
		x := float64(c.Weights[t] * d[i])
		if c.Sign == "" || x != 0 && (x > 0) == (vote >= 0) {
			sum += x
			div += c.Weights[t]
		}
	}
	if c.Normalize && div != 0 {
		sum /= div
	}
	return sum
}

// A stretch is combined to the bits of the definition, zeros of either sign and
// what is no number included.
func TestCombination(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.OneOf(rapid.Float64Range(-2, 2), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, -1, 0.5, math.NaN(), math.Inf(1), math.Inf(-1), 5e-324}))
		n, tasks := rapid.IntRange(1, 20).Draw(t, "n"), rapid.IntRange(1, 4).Draw(t, "tasks")
		c := combination{Lambda: 1, Normalize: rapid.Bool().Draw(t, "normalize"), Sign: rapid.SampledFrom([]string{"", "sum", "count"}).Draw(t, "sign")}
		var deltas [][]float64
		for range tasks {
			c.Weights = append(c.Weights, rapid.SampledFrom([]float64{1, 0.25, -1, 3, 0}).Draw(t, "weight"))
			deltas = append(deltas, rapid.SliceOfN(number, n, n).Draw(t, "delta"))
		}
		lo := rapid.IntRange(0, n-1).Draw(t, "lo")
		got := make([]float64, n-lo)
		c.combine(new(scratch), got, c.Weights, deltas, lo)
		for i, x := range got {
			want := combined(c, deltas, lo+i)
			if math.Float64bits(x) != math.Float64bits(want) && !(x != x && want != want) {
				t.Fatalf("element %d of %+v %v is %v, want %v", lo+i, c, deltas, x, want)
			}
		}
	})
}

func tiesOf(density float64, n int) tiesParams {
	return tiesParams{combination{slices.Repeat([]float64{1}, n), 1, true, "sum"}, Density{density}.of(n)}
}

func TestTIES(t *testing.T) {
	base := row(0, 0, 0)
	a, b := row(3, -1, .1), row(1, 2, .2)
	equalTo(t, "two of three", merged(t, ties, tiesOf(2./3, 2), &base, a, b), 2, 2, 0)
	equalTo(t, "opposite signs", merged(t, ties, tiesOf(2./3, 2), &base, a, row(-1, 2, .2)), 3, 2, 0)
	equalTo(t, "one model", merged(t, ties, tiesOf(1./3, 1), &base, a), 3, 0, 0)
	equalTo(t, "no trim", merged(t, ties, tiesOf(1, 2), &base, a, b), 2, 2, .15)

	sum := tiesOf(1, 2)
	sum.Normalize = false
	equalTo(t, "sum", merged(t, ties, sum, &base, a, b), 4, 2, .3)
	// A vote of zero elects +.
	equalTo(t, "tied vote", merged(t, ties, tiesOf(1, 2), &base, row(-1, 0, 1), row(1, 0, -1)), 1, 0, 1)
	count := tiesOf(1, 3)
	count.Sign = "count"
	three := []matrix{row(-9, -9, 0), row(1, 1, 1), row(2, 0, 2)}
	equalTo(t, "by sum", merged(t, ties, tiesOf(1, 3), &base, three...), -9, -9, 1.5)
	equalTo(t, "by count", merged(t, ties, count, &base, three...), 1.5, 1, 1.5)
	weighted := tiesOf(1, 2)
	weighted.Weights = []float64{1, 4}
	equalTo(t, "weights vote", merged(t, ties, weighted, &base, row(3, 0, 0), row(-1, 2, 2)), -1, 2, 2)
	each := tiesOf(1, 2)
	each.Density = []float64{1. / 3, 1}
	equalTo(t, "a density each", merged(t, ties, each, &base, a, b), 2, 2, .2)
}

// The largest are those of a sorted list, of equals the first.
func TestLargest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, width := rapid.IntRange(1, 60).Draw(t, "rows"), rapid.IntRange(1, 2000).Draw(t, "width")
		n := rows * width
		levels := rapid.IntRange(1, 50).Draw(t, "levels")
		seed := rapid.Uint32().Draw(t, "seed")
		m := matrix{[]int{rows, width}, make([]float32, n)}
		for i := range m.data {
			seed = seed*1664525 + 1013904223
			m.data[i] = float32(int(seed>>8)%levels-levels/2) * 0.37
		}
		keep := rapid.IntRange(1, n).Draw(t, "keep")
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		abs := func(i int) float32 { return max(m.data[i], -m.data[i]) }
		slices.SortStableFunc(order, func(x, y int) int {
			switch {
			case abs(x) > abs(y):
				return -1
			case abs(x) < abs(y):
				return 1
			}
			return 0
		})
		want := make([]float32, n)
		for _, i := range order[:keep] {
			want[i] = m.data[i]
		}
		zero := matrix{m.shape, make([]float32, n)}
		for _, threads := range []int{1, 3} {
			pool := linalg.NewPool(threads)
			v := runKernelRapid(t, pool, tiesParams{combination{[]float64{1}, 1, true, "sum"}, []float64{float64(keep) / float64(n)}}, zero, m)
			pool.Close()
			if !slices.Equal(v, want) {
				t.Fatalf("%d threads: not the %d largest of %d with %d levels", threads, keep, n, levels)
			}
		}
	})
}

func runKernelRapid(t *rapid.T, pool *linalg.Pool, a tiesParams, base, m matrix) []float32 {
	params, _ := json.Marshal([]tensorParams[tiesParams]{{Name: testTensor, Class: linear, Args: a}})
	out := artifact.NewBuilder()
	c := &action.Context{Context: context.Background(), Params: params, Pool: pool,
		In:  map[string]*artifact.Value{baseInput: base.value(), modelInput(0): m.value()},
		Out: map[string]*artifact.Builder{"merged": out}}
	if err := ties.kernel.Run(c); err != nil {
		t.Fatal(err)
	}
	x, _ := valueOf(out).Float32(testTensor)
	return x
}

func dareOf(density float64, rescale string, seed uint64, n int) dareParams {
	return dareParams{sum(slices.Repeat([]float64{1}, n)...), Density{density}.of(n), rescale, seed, "model.layers.0." + testTensor}
}

func TestDARE(t *testing.T) {
	base := row(1, 1, 1)
	a, b := plus(base, 3, -1, 0.5), plus(base, 1, 2, 0)
	if got, want := merged(t, dare, dareOf(1, "inverse", 5, 2), &base, a, b), merged(t, taskArithmetic, sum(1, 1), &base, a, b); !slices.Equal(got, want) {
		t.Errorf("density 1: %v, task arithmetic %v", got, want)
	}

	const n = 100000
	zero, tau := matrix{[]int{10, n / 10}, make([]float32, n)}, matrix{[]int{10, n / 10}, make([]float32, n)}
	for i := range tau.data {
		tau.data[i] = float32(i%7) - 3
	}
	kept := func(x []float32) (k int) {
		for i, v := range x {
			if v != 0 || tau.data[i] == 0 {
				k++
			}
		}
		return k
	}
	got := merged(t, dare, dareOf(0.3, "inverse", 5, 1), &zero, tau)
	for i, v := range got {
		if v != 0 && math.Abs(float64(v)-float64(tau.data[i])/0.3) > 1e-5 {
			t.Fatalf("element %d is %v of %v", i, v, tau.data[i])
		}
	}
	zeros := n / 7 // τ that are zero count as kept
	if k := kept(got); math.Abs(float64(k)-(float64(zeros)+0.3*float64(n-zeros))) > 4*math.Sqrt(0.21*n) {
		t.Errorf("%d of %d are kept", k, n)
	}
	for i, v := range merged(t, dare, dareOf(0.3, "none", 5, 1), &zero, tau) {
		if v != 0 && v != tau.data[i] {
			t.Fatalf("not rescaled: element %d is %v of %v", i, v, tau.data[i])
		}
	}
	l1 := func(x []float32) (s float64) {
		for _, v := range x {
			s += math.Abs(float64(v))
		}
		return s
	}
	if got, want := l1(merged(t, dare, dareOf(0.3, "l1", 5, 1), &zero, tau)), l1(tau.data); math.Abs(got/want-1) > 1e-6 {
		t.Errorf("the sum of magnitudes is %g, was %g", got, want)
	}
	if slices.Equal(got, merged(t, dare, dareOf(0.3, "inverse", 6, 1), &zero, tau)) {
		t.Error("another seed drops the same")
	}
	two := dareOf(0.5, "none", 5, 2)
	two.Weights = []float64{1, -1}
	if x := merged(t, dare, two, &zero, tau, tau); l1(x) == 0 {
		t.Error("both models lose the same differences")
	}
}

// The mean over many draws is the difference itself.
func TestDAREKeepsTheMean(t *testing.T) {
	const draws, density = 10000, 0.4
	base, tau := row(0, 0, 0), row(3, -1, .5)
	mean := make([]float64, 3)
	for s := range uint64(draws) {
		for i, x := range merged(t, dare, dareOf(density, "inverse", s, 1), &base, tau) {
			mean[i] += float64(x) / draws
		}
	}
	for i, m := range mean {
		x := float64(tau.data[i])
		if sigma := math.Abs(x) * math.Sqrt((1-density)/density/draws); math.Abs(m-x) > 3*sigma {
			t.Errorf("the mean of %v is %v, 3σ is %v", x, m, 3*sigma)
		}
	}
}

func TestSLERP(t *testing.T) {
	a, b := row(1, 0), row(0, 2)
	equalTo(t, "quarter circle", merged(t, slerp, slerpParams{.5}, nil, a, b), math.Sqrt(.5), 2*math.Sqrt(.5))
	if got := merged(t, slerp, slerpParams{0}, nil, a, b); !slices.Equal(got, a.data) {
		t.Errorf("t = 0: %v", got)
	}
	if got := merged(t, slerp, slerpParams{1}, nil, a, b); !slices.Equal(got, b.data) {
		t.Errorf("t = 1: %v", got)
	}
	equalTo(t, "same direction", merged(t, slerp, slerpParams{.25}, nil, row(1, 2), row(2, 4)), 1.25, 2.5)
	equalTo(t, "opposite", merged(t, slerp, slerpParams{.25}, nil, row(1, 2), row(-1, -2)), .5, 1)
	equalTo(t, "nothing", merged(t, slerp, slerpParams{.5}, nil, row(0, 0), row(0, 2)), 0, math.Sqrt2)
	third := merged(t, slerp, slerpParams{1. / 3}, nil, row(1, 0), row(0, 1))
	equalTo(t, "a third", third, math.Cos(math.Pi/6), math.Sin(math.Pi/6))
}

func TestGradient(t *testing.T) {
	for _, c := range []struct {
		g           Gradient
		depth, want float64
	}{
		{Gradient{.5}, 0, .5}, {Gradient{.5}, 1, .5},
		{Gradient{0, 1}, 0, 0}, {Gradient{0, 1}, .25, .25}, {Gradient{0, 1}, 1, 1},
		{Gradient{0, .5, .3, .7, 1}, .5, .3}, {Gradient{0, .5, .3, .7, 1}, .125, .25},
	} {
		if got := c.g.At(c.depth); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v at %v is %v, want %v", c.g, c.depth, got, c.want)
		}
	}
}

// Every method gives the same bits on one, two and three threads, on a tensor of
// many chunks.
func TestThreads(t *testing.T) {
	shape := []int{301, 333}
	fill := func(seed int) matrix {
		m := matrix{shape, make([]float32, shape[0]*shape[1])}
		x := uint32(seed)
		for i := range m.data {
			x = x*1664525 + 1013904223
			m.data[i] = float32(int32(x)) / (1 << 33)
		}
		return m
	}
	base, a, b := fill(1), fill(2), fill(3)
	run := func(pool *linalg.Pool) map[string]artifact.Digest {
		d := map[string]artifact.Digest{}
		two := tiesOf(.3, 2)
		d["linear"] = runKernel(t, linearMethod, pool, average{[]float64{1, 2}, true}, nil, nil, a, b).Tree.Digest()
		d["task_arithmetic"] = runKernel(t, taskArithmetic, pool, sum(1, .5), base.value(), nil, a, b).Tree.Digest()
		d["ties"] = runKernel(t, ties, pool, two, base.value(), nil, a, b).Tree.Digest()
		d["dare"] = runKernel(t, dare, pool, dareOf(.4, "l1", 3, 2), base.value(), nil, a, b).Tree.Digest()
		d["consensus"] = runKernel(t, consensus, pool, consensusParams{total{"ties", .3}, .4, 1, .5}, base.value(), nil, a, b).Tree.Digest()
		d["slerp"] = runKernel(t, slerp, pool, slerpParams{.3}, nil, nil, a, b).Tree.Digest()
		return d
	}
	want := run(nil)
	for _, threads := range []int{2, 3} {
		pool := linalg.NewPool(threads)
		got := run(pool)
		pool.Close()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d threads: %v, one: %v", threads, got, want)
		}
	}
}

// Side paths are multiplied out.
func TestSidesAreWeights(t *testing.T) {
	b := artifact.NewBuilder()
	b.PutFloat32(testTensor, []int{2, 2}, []float32{1, 2, 3, 4})
	b.PutFloat32("self_attn.q_proj.side0.A", []int{1, 2}, []float32{1, -1})
	b.PutFloat32("self_attn.q_proj.side0.BT", []int{1, 2}, []float32{10, 20})
	v := valueOf(b)
	r, err := openReader(v, testTensor, linear)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]float32, 2)
	got, err := r.read(1, 2, buf)
	if err != nil {
		t.Fatal(err)
	}
	equalTo(t, "row 1", got, 23, -16)
	if whole, _ := v.Float32(testTensor); whole[2] != 3 {
		t.Error("the stored weights were written to")
	}
}
