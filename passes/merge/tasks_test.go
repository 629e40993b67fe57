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
	"github.com/compressc/compressc/internal/linalg/rng"
)

func square(n int, x ...float32) matrix { return matrix{[]int{len(x) / n, n}, x} }

// tsvmDelta decomposes the tasks' deltas from zero and merges them.
func tsvmDelta(t testing.TB, pool *linalg.Pool, share string, weights []float64, deltas ...matrix) []float32 {
	t.Helper()
	shape := deltas[0].shape
	zero := matrix{shape, make([]float32, shape[0]*shape[1])}
	in := map[string]*artifact.Value{}
	for i, d := range deltas {
		in[taskInput(i)] = runKernel(t, decompose, pool, decomposeParams{Keep: min(shape[0], shape[1])}, zero.value(), nil, d)
	}
	if weights == nil {
		weights = slices.Repeat([]float64{1}, len(deltas))
	}
	params, err := json.Marshal(orthogonalParams{Layers: []layerParams{{testTensor, shape[0], shape[1]}}, Weights: weights, Share: share})
	if err != nil {
		t.Fatal(err)
	}
	out := artifact.NewBuilder()
	c := &action.Context{Context: context.Background(), Params: params, Pool: pool, In: in, Out: map[string]*artifact.Builder{"delta": out}}
	if err := orthogonal.Run(c); err != nil {
		t.Fatal(err)
	}
	base := zero.value()
	x, err := runKernel(t, apply, pool, applyParams{weights, 1}, base, map[string]*artifact.Value{"delta": valueOf(out)}, deltas...).Float32(testTensor)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestTSVM(t *testing.T) {
	a, b := square(2, 3, 0, 0, 0), square(2, 0, 0, 0, 2)
	equalTo(t, "orthogonal tasks add up", tsvmDelta(t, nil, "equal", nil, a, b), 3, 0, 0, 2)
	equalTo(t, "tasks that overlap", tsvmDelta(t, nil, "equal", nil, square(2, 2, 0, 0, 0), square(2, 1, 1, 1, 1)), 2, 0, 0, 2)
	equalTo(t, "in the other order", tsvmDelta(t, nil, "equal", nil, square(2, 1, 1, 1, 1), square(2, 2, 0, 0, 0)), 2, 0, 0, 2)
	equalTo(t, "weights", tsvmDelta(t, nil, "equal", []float64{2, 0.5}, a, b), 6, 0, 0, 1)
	equalTo(t, "a task that learnt nothing", tsvmDelta(t, nil, "equal", nil, a, square(2, 0, 0, 0, 0)), 3, 0, 0, 0)
	equalTo(t, "nothing learnt", tsvmDelta(t, nil, "equal", nil, square(2, 0, 0, 0, 0), square(2, 0, 0, 0, 0)), 0, 0, 0, 0)
	// More tasks than directions: the mean.
	equalTo(t, "three tasks of two directions", tsvmDelta(t, nil, "equal", nil, a, b, square(2, 0, 3, 0, 0)), 1, 1, 0, 2./3)
	equalTo(t, "by energy", tsvmDelta(t, nil, "energy", nil, a, b), 3, 0, 0, 2)
	equalTo(t, "by sparsity", tsvmDelta(t, nil, "sparsity", nil, a, b), 3, 0, 0, 2)
}

// What rounding leaves of large weights is no direction: two tasks of small updates
// of rank 2 come to four directions, whatever they lie on, and add up where they
// are orthogonal.
func TestTSVMPassesRoundingOver(t *testing.T) {
	const n = 32
	s := rng.New(1, "weights")
	base := matrix{[]int{n, n}, make([]float32, n*n)}
	for i := range base.data {
		base.data[i] = float32(s.NormAt(uint64(i)))
	}
	// Functions of one bit of a row's or a column's place are orthogonal.
	sign := func(i, bit int) float64 { return float64(1 - 2*(i>>bit&1)) }
	in := map[string]*artifact.Value{}
	want := make([]float64, n*n)
	for k := range 2 {
		m := matrix{base.shape, slices.Clone(base.data)}
		for e := range want {
			i, j := e/n, e%n
			x := 1e-3*sign(i, 2*k)*sign(j, 2*k) + 1e-4*sign(i, 2*k+1)*sign(j, 2*k+1)
			want[e] += x
			m.data[e] = float32(float64(base.data[e]) + x)
		}
		v := runKernel(t, decompose, nil, decomposeParams{Keep: n / 2}, base.value(), nil, m)
		x, err := readTask(v, testTensor, n)
		if err != nil || x.rank != 2 {
			t.Fatalf("task %d has %d directions of %v, want 2 (%v)", k, x.rank, x.sigma, err)
		}
		if gap := cutGap([]task{x}, []int{n / 2}); gap != 1 {
			t.Errorf("a cut behind all directions has a gap of %v", gap)
		}
		in[taskInput(k)] = v
	}
	tasks := make([]task, 2)
	for k := range tasks {
		tasks[k], _ = readTask(in[taskInput(k)], testTensor, n)
	}
	got := mergeDirections(nil, layerParams{testTensor, n, n}, tasks, []int{n / 2, n / 2}, []float64{1, 1})
	for i, x := range got {
		if math.Abs(x-want[i]) > 3e-7 {
			t.Fatalf("element %d is %v, want %v", i, x, want[i])
		}
	}
}

// The order of tasks does not matter, nor does the number of threads.
func TestTSVMOrder(t *testing.T) {
	fill := func(seed uint32, rows, cols int) matrix {
		m := matrix{[]int{rows, cols}, make([]float32, rows*cols)}
		for i := range m.data {
			seed = seed*1664525 + 1013904223
			m.data[i] = float32(int32(seed)) / (1 << 31)
		}
		return m
	}
	for _, shape := range [][2]int{{12, 20}, {20, 12}, {9, 9}} {
		a, b, c := fill(1, shape[0], shape[1]), fill(2, shape[0], shape[1]), fill(3, shape[0], shape[1])
		x := tsvmDelta(t, nil, "equal", nil, a, b, c)
		y := tsvmDelta(t, nil, "equal", nil, c, a, b)
		for i := range x {
			if math.Abs(float64(x[i])-float64(y[i])) > 1e-6 {
				t.Fatalf("%v: element %d is %v, in another order %v", shape, i, x[i], y[i])
			}
		}
		for _, threads := range []int{2, 3} {
			pool := linalg.NewPool(threads)
			z := tsvmDelta(t, pool, "equal", nil, a, b, c)
			pool.Close()
			if !slices.Equal(x, z) {
				t.Errorf("%v: other bits with %d threads", shape, threads)
			}
		}
	}
	// In float64, before results are stored, to 1e-10.
	tasks := func(order ...int) []task {
		all := []task{}
		for _, i := range order {
			m := fill(uint32(i), 8, 8)
			p := (*linalg.Pool)(nil)
			d := make([]float64, 64)
			for k, x := range m.data {
				d[k] = float64(x)
			}
			u, s, vt := p.ThinSVD(8, 8, d)
			tk := task{rank: 8, u: make([]float32, 64), a: make([]float32, 64), sigma: s}
			for k := range 8 {
				for e := range 8 {
					tk.u[k*8+e], tk.a[k*8+e] = float32(u[e*8+k]), float32(s[k]*vt[k*8+e])
				}
			}
			all = append(all, tk)
		}
		return all
	}
	l := layerParams{testTensor, 8, 8}
	x := mergeDirections(nil, l, tasks(1, 2), []int{4, 4}, []float64{1, 1})
	y := mergeDirections(nil, l, tasks(2, 1), []int{4, 4}, []float64{1, 1})
	for i := range x {
		if math.Abs(x[i]-y[i]) > 1e-10 {
			t.Fatalf("element %d is %v, in the other order %v", i, x[i], y[i])
		}
	}
}

func TestShares(t *testing.T) {
	of := func(small ...float64) (list []task) {
		for _, s := range small {
			list = append(list, task{stats: taskStats{Small: s}})
		}
		return list
	}
	for _, c := range []struct {
		how   string
		tasks []task
		r     int
		want  string
	}{
		{"equal", of(0, 0), 7, "[3 3]"},
		{"equal", of(0, 0, 0), 2, "[]"},
		{"sparsity", of(0, 0), 7, "[4 3]"},
		{"sparsity", of(.5, 0), 8, "[3 5]"},
		{"sparsity", of(1, 1), 8, "[4 4]"},
		{"sparsity", of(1, 0, 0), 3, "[1 1 1]"},
		{"energy", []task{{energies: []float64{100, 1, 0, 0}}, {energies: []float64{5, 5, 5, 5}}}, 6, "[1 4]"},
		{"energy", []task{{energies: []float64{5, 5, 5, 5}}, {energies: []float64{5, 5, 5, 5}}}, 4, "[2 2]"},
	} {
		if got := fmt.Sprint(shares(c.how, c.tasks, c.r)); got != c.want {
			t.Errorf("%s of %d: %s, want %s", c.how, c.r, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 6).Draw(t, "tasks")
		r := rapid.IntRange(n, 40).Draw(t, "r")
		var tasks []task
		for range n {
			tasks = append(tasks, task{stats: taskStats{Small: rapid.Float64Range(0, 1).Draw(t, "small")}})
		}
		got := shares("sparsity", tasks, r)
		if sumInts(got) > r || slices.Min(got) < 1 {
			t.Fatalf("%v of %d", got, r)
		}
	})
}

func TestOutliers(t *testing.T) {
	d := slices.Repeat([]float64{1, -1}, 50)
	d[0] = 100
	s, limit := statsOf(d)
	if s.Outliers != 0.01 || limit > 35 || limit < 30 || s.Small != 0 {
		t.Errorf("%+v, limit %v", s, limit)
	}
	w := taskWeights(orthogonalParams{Weights: []float64{1, 1}, ByOutliers: true}, []task{{stats: taskStats{Outliers: .5}}, {}})
	if math.Abs(w[0]-2./3) > 1e-12 || math.Abs(w[1]-4./3) > 1e-12 {
		t.Errorf("weights %v", w)
	}
	zero := row(make([]float32, 100)...)
	spiky := row(slices.Repeat([]float32{1, -1}, 50)...)
	spiky.data[0] = 100
	v := runKernel(t, decompose, nil, decomposeParams{Keep: 1, Clip: true}, zero.value(), nil, spiky)
	e, err := v.Float64(testTensor + ".energies")
	if err != nil || math.Abs(e[0]-(99+float64(limit*limit))) > 1e-6 {
		t.Errorf("energy %v, %v", e, err)
	}
}

// masksOf returns the masks of tasks at a λ.
func masksOf(t *testing.T, r total, lambda float64, deltas ...matrix) [][]int {
	t.Helper()
	zero := matrix{deltas[0].shape, make([]float32, len(deltas[0].data))}
	var models []*artifact.Value
	for _, d := range deltas {
		models = append(models, d.value())
	}
	x, err := openTensor(&action.Context{Context: context.Background()}, testTensor, linear, zero.value(), models)
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.choice(x)
	if err != nil {
		t.Fatal(err)
	}
	masks := make([][]int, len(deltas))
	err = x.Each(func(c *Chunk) {
		r.each(c, s, func(lo int, all []float64) {
			for k := range masks {
				users := make([]float64, len(all))
				c.mask(users, k, lo, lambda, all)
				for _, n := range users {
					masks[k] = append(masks[k], int(n))
				}
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return masks
}

func TestConsensus(t *testing.T) {
	tasks := []matrix{row(1, -.5, .2, 0), row(.8, .6, 0, .1), row(0, .4, -.1, .9)}
	zero := row(0, 0, 0, 0)
	for _, c := range []struct {
		lambda float64
		masks  string
		keeps  []float64
	}{
		{1, "[[1 0 1 0] [0 1 0 0] [0 1 0 1]]", []float64{0, .5, 0, 0}},
		{.4, "[[1 1 1 0] [1 1 0 0] [0 1 1 1]]", []float64{1.8, .5, .1, 0}},
	} {
		if got := fmt.Sprint(masksOf(t, total{Rule: "sum"}, c.lambda, tasks...)); got != c.masks {
			t.Errorf("λ = %v: masks %s, want %s", c.lambda, got, c.masks)
		}
		merge := func(threshold int, scale float64) []float32 {
			x, err := runKernel(t, consensus, nil, consensusParams{total{Rule: "sum"}, c.lambda, threshold, scale}, zero.value(), nil, tasks...).Float32(testTensor)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		equalTo(t, "two agree", merge(2, 1), c.keeps...)
		equalTo(t, "all", merge(0, .5), .9, .25, .05, .5)
		equalTo(t, "more than there are", merge(4, 1), 0, 0, 0, 0)
	}
	// One task alone keeps what is not zero, whatever λ.
	if masks := masksOf(t, total{Rule: "sum"}, 1, tasks[0]); fmt.Sprint(masks) != "[[1 1 1 0]]" {
		t.Errorf("one task: %v", masks)
	}
	// Trimmed to two of four, elected, summed: τ_MT = (1.8, 1, 0, .9).
	if masks := masksOf(t, total{"ties", .5}, 1, tasks...); fmt.Sprint(masks) != "[[1 0 0 0] [0 1 0 0] [0 0 0 1]]" {
		t.Errorf("ties: %v", masks)
	}
}

// Tasks that change different weights come back bit for bit, at every λ.
func TestTALLDisjoint(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 60).Draw(rt, "n")
		k := rapid.IntRange(2, 5).Draw(rt, "tasks")
		number := rapid.Custom(func(t *rapid.T) float32 { return float32(rapid.IntRange(-1000000, 1000000).Draw(t, "x")) / 65536 })
		base := row(rapid.SliceOfN(number, n, n).Draw(rt, "base")...)
		var models []matrix
		for range k {
			models = append(models, row(slices.Clone(base.data)...))
		}
		for i := range n {
			if o := rapid.IntRange(0, k).Draw(rt, "owner"); o < k {
				models[o].data[i] = number.Draw(rt, "new")
			}
		}
		for _, lambda := range []float64{0, 0.2, 0.4, 1, 2} {
			for m := range models {
				x, err := runKernel(t, tall, nil, tallParams{total{Rule: "sum"}, lambda, m}, base.value(), nil, models...).Float32(testTensor)
				if err != nil || !slices.Equal(x, models[m].data) {
					rt.Fatalf("λ = %v: task %d is %v, want %v (%v)", lambda, m, x, models[m].data, err)
				}
			}
		}
	})
}
