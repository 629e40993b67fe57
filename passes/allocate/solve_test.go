package allocate

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestTwoUnits is the worked example: sizes 1 and 3, distortions 5 and 6 for
// removing a unit whole.
func TestTwoUnits(t *testing.T) {
	for _, c := range []struct {
		budget int64
		want   []int
		sum    float64
	}{
		{1, []int{0, 1}, 6}, // three quarters removed
		{3, []int{1, 0}, 5}, // one quarter
		{0, []int{1, 1}, 11},
		{4, []int{0, 0}, 0},
	} {
		p := problem{Costs: [][]int64{{1, 0}, {3, 0}}, Distortions: [][]float64{{0, 5}, {0, 6}}, Budget: c.budget, Quanta: 100}
		got, err := p.solve()
		if err != nil || !slices.Equal(got, c.want) || total(p.Distortions, got) != c.sum {
			t.Errorf("budget %d: %v (%v), expected %v", c.budget, got, err, c.want)
		}
	}
}

func TestBudgetOutOfReach(t *testing.T) {
	p := problem{Costs: [][]int64{{4, 2}, {4, 3}}, Distortions: [][]float64{{0, 1}, {0, 1}}, Budget: 4, Quanta: 10}
	if got, err := p.solve(); err == nil {
		t.Fatalf("got %v for a budget below the least cost", got)
	}
}

// drawProblem draws units whose costs fall and whose distortions do what they
// like.
func drawProblem(t *rapid.T) problem {
	levels := rapid.IntRange(1, 4).Draw(t, "levels")
	units := rapid.IntRange(1, 5).Draw(t, "units")
	p := problem{Quanta: 1 << 40}
	least, most := int64(0), int64(0)
	for range units {
		c := rapid.SliceOfNDistinct(rapid.Int64Range(1, 60), levels, levels, rapid.ID).Draw(t, "costs")
		slices.Sort(c)
		slices.Reverse(c)
		p.Costs = append(p.Costs, c)
		p.Distortions = append(p.Distortions, rapid.SliceOfN(rapid.SampledFrom([]float64{0, 1, 2, 3.5, 7, 20, math.Inf(1), math.NaN()}), levels, levels).Draw(t, "distortions"))
		least, most = least+c[levels-1], most+c[0]
	}
	p.Budget = rapid.Int64Range(least, most).Draw(t, "budget")
	return p
}

// bruteForce is the least sum over all allocations within the budget.
func bruteForce(p problem) float64 {
	d := monotone(p.Distortions)
	best := math.Inf(1)
	var walk func(u int, cost int64, sum float64)
	walk = func(u int, cost int64, sum float64) {
		if u == len(p.Costs) {
			if cost <= p.Budget {
				best = min(best, sum)
			}
			return
		}
		for l, c := range p.Costs[u] {
			walk(u+1, cost+c, sum+d[u][l])
		}
	}
	walk(0, 0, 0)
	return best
}

func (p problem) cost(levels []int) (c int64) {
	for u, l := range levels {
		c += p.Costs[u][l]
	}
	return c
}

func TestNoAllocationIsBetter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t)
		got, err := p.solve()
		if err != nil {
			t.Fatal(err)
		}
		if p.cost(got) > p.Budget {
			t.Fatalf("%v costs %d of %d", got, p.cost(got), p.Budget)
		}
		if sum, best := total(monotone(p.Distortions), got), bruteForce(p); sum != best {
			t.Fatalf("%v sums to %v, the best to %v", got, sum, best)
		}
	})
}

func TestFewQuantaKeepTheBudgetAndBeatUniform(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t)
		p.Quanta = rapid.Int64Range(1, 40).Draw(t, "quanta")
		got, err := p.solve()
		if err != nil {
			t.Fatal(err)
		}
		if p.cost(got) > p.Budget {
			t.Fatalf("%v costs %d of %d", got, p.cost(got), p.Budget)
		}
		d := monotone(p.Distortions)
		if u := p.uniform(); total(d, got) > total(d, u) {
			t.Fatalf("%v is worse than %v for all", got, u)
		}
	})
}

func TestAggregate(t *testing.T) {
	if m, x := aggregate("mean", []float64{1, 3}), aggregate("max", []float64{1, 3}); m != 2 || x != 3 {
		t.Fatalf("mean %v, max %v", m, x)
	}
	if x := aggregate("max", []float64{1, math.NaN()}); x == x {
		t.Fatalf("a window that diverged aggregates to %v", x)
	}
}
