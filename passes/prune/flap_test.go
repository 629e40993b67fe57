package prune

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/passes/blockwise"
)

// rowsOf are windows of a site as the walk sees them.
func momentsOf(width int, windows ...[]float32) *blockwise.Moments {
	m := blockwise.NewMoments(width)
	for _, w := range windows {
		m.Add(nil, w)
	}
	return m
}

// x is 1 and 3 in turn and the column of W is [1, 2]ᵀ.
func TestFLAPOneChannelByHand(t *testing.T) {
	m := momentsOf(1, []float32{1, 3}, []float32{1, 3})
	if m.Mean[0] != 2 || m.M2[0]/(m.Count-1) != 4.0/3 {
		t.Errorf("mean %v, variance %v; expected 2 and 4/3", m.Mean[0], m.M2[0]/(m.Count-1))
	}
	w := []float32{1, 2}
	for _, c := range []struct {
		metric string
		want   float64
	}{{"wifv", 20.0 / 3}, {"ifv", 4.0 / 3}, {"wifn", 1.5 * math.Sqrt(5)}} {
		if s := channelScores(c.metric, w, m)[0]; math.Abs(s-c.want) > 1e-15*c.want {
			t.Errorf("%s is %v; expected %v", c.metric, s, c.want)
		}
	}
	if b := meanBias(w, 2, 1, nil, m.Mean, nil); !slices.Equal(b, []float32{2, 4}) {
		t.Errorf("bias is %v; expected [2 4]", b)
	}
	if b := meanBias(w, 2, 1, nil, m.Mean, []float32{1, -1}); !slices.Equal(b, []float32{3, 3}) {
		t.Errorf("bias beside one that was there is %v; expected [3 3]", b)
	}
	if b := meanBias(w, 2, 1, []int32{0}, m.Mean, nil); !slices.Equal(b, []float32{0, 0}) {
		t.Errorf("bias with nothing removed is %v; expected zeros", b)
	}
}

// The mean squared error at the output from one channel that is replaced by its
// mean is its score times (N−1)/N.
func TestFLAPScoreIsTheErrorOfTheOutput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "tokens")
		x := rapid.SliceOfN(rapid.Float32Range(-9, 9), n, n).Draw(t, "x")
		w := rapid.SliceOfN(rapid.Float32Range(-3, 3), 3, 3).Draw(t, "w")
		m := momentsOf(1, x)
		err := 0.0
		for _, v := range x {
			for _, c := range w {
				d := float64(c) * (float64(v) - m.Mean[0])
				err += d * d / float64(n)
			}
		}
		want := channelScores("wifv", w, m)[0] * float64(n-1) / float64(n)
		if math.Abs(err-want) > 1e-12*(1+want) {
			t.Errorf("the error is %v; expected %v", err, want)
		}
	})
}

// However windows are cut, moments are those of all rows; and a channel that is
// constant has no spread at all, whatever its size.
func TestMomentsOfWindows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.Float32Range(-1e6, 1e6).Draw(t, "constant")
		var windows [][]float32
		var all []float64
		for range rapid.IntRange(1, 5).Draw(t, "windows") {
			var w []float32
			for range rapid.IntRange(1, 30).Draw(t, "rows") {
				v := rapid.Float32Range(-5, 5).Draw(t, "v")
				w = append(w, v, c)
				all = append(all, float64(v))
			}
			windows = append(windows, w)
		}
		m := momentsOf(2, windows...)
		mean, m2 := 0.0, 0.0
		for _, v := range all {
			mean += v / float64(len(all))
		}
		for _, v := range all {
			m2 += (v - mean) * (v - mean)
		}
		if m.Count != float64(len(all)) || math.Abs(m.Mean[0]-mean) > 1e-12*10 || math.Abs(m.M2[0]-m2) > 1e-9*(1+m2) {
			t.Errorf("moments are %v, %v of %v; expected %v, %v of %d", m.Mean[0], m.M2[0], m.Count, mean, m2, len(all))
		}
		if m.Mean[1] != float64(c) || m.M2[1] != 0 {
			t.Errorf("a constant %v has mean %v and spread %v", c, m.Mean[1], m.M2[1])
		}
	})
}

func TestStandardise(t *testing.T) {
	s := []float64{1, 2, 3}
	standardise(s)
	if !slices.Equal(s, []float64{-1, 0, 1}) {
		t.Errorf("1, 2, 3 become %v; expected -1, 0, 1", s)
	}
	s = []float64{5, 5}
	standardise(s)
	if !slices.Equal(s, []float64{0, 0}) {
		t.Errorf("equal scores become %v; expected zeros", s)
	}
}

// Two blocks of one key head of cost 6 and two, and four neurons of cost 3 each.
func TestFLAPBudget(t *testing.T) {
	blocks := []flapUnits{
		{groups: []float64{1, 5}, neurons: []float64{9, 0, 3, 3}},
		{groups: []float64{2, 4}, neurons: []float64{8, 7, 6, -1}},
	}
	base := flapBudget{Ratio: 0.5, Structure: "al-am", MinGroups: 1, MinNeurons: 1, RoundTo: 1, GroupCosts: []int64{6, 6}}
	with := func(f func(*flapBudget)) flapBudget { p := base; f(&p); return p }
	for _, c := range []struct {
		name   string
		budget flapBudget
		want   string
	}{
		// The target is 24 of 48: 18 are kept in any case, then 7 and 6.
		{"all compete", base, "[{[1] [0]} {[1] [0 1 2]}]"},
		{"least neurons", with(func(p *flapBudget) { p.MinNeurons = 2 }), "[{[1] [0 2]} {[1] [0 1]}]"},
		{"least heads", with(func(p *flapBudget) { p.MinGroups = 2; p.Ratio = 0.3 }), "[{[0 1] [0]} {[0 1] [0 1]}]"},
		{"each layer", with(func(p *flapBudget) { p.Structure = "ul-um" }), "[{[1] [0 2]} {[1] [0 1]}]"},
		{"heads by hand", with(func(p *flapBudget) { p.Structure = "al-mm"; p.RemoveGroups = 1; p.Ratio = 0.25 }), "[{[1] [0 2 3]} {[0 1] [0 1 2]}]"},
		{"heads by hand in each layer", with(func(p *flapBudget) { p.Structure = "ul-mm"; p.RemoveGroups = 1; p.Ratio = 0.25 }), "[{[1] [0 1 2 3]} {[1] [0 1 2 3]}]"},
		{"multiples", with(func(p *flapBudget) { p.RoundTo = 2 }), "[{[1] [0 2]} {[1] [0 1 2 3]}]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := fmt.Sprint(c.budget.choose(blocks)); got != c.want {
				t.Errorf("kept %v; expected %v", got, c.want)
			}
		})
	}
}

// What is kept is the nearest prefix, within half a unit of the budget unless
// minima forbid it, and keeps whatever the rest would rank above.
func TestFLAPBudgetIsMet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const cost = 64
		p := flapBudget{Ratio: rapid.Float64Range(0.05, 0.6).Draw(t, "ratio"), Structure: "al-am", MinGroups: 1, MinNeurons: 4, RoundTo: 1}
		total := 0.0
		blocks := make([]flapUnits, rapid.IntRange(1, 6).Draw(t, "blocks"))
		for b := range blocks {
			score := rapid.Float64Range(-3, 3)
			blocks[b] = flapUnits{rapid.SliceOfN(score, 3, 3).Draw(t, "groups"), rapid.SliceOfN(score, 128, 128).Draw(t, "neurons")}
			p.GroupCosts = append(p.GroupCosts, cost)
			total += 3*cost + 128*neuronCost
		}
		kept, spent, worst := p.choose(blocks), 0.0, math.Inf(1)
		for b, k := range kept {
			spent += float64(len(k.groups)*cost + len(k.neurons)*neuronCost)
			if len(k.groups) < 1 || len(k.neurons) < 4 || !slices.IsSorted(k.groups) || !slices.IsSorted(k.neurons) {
				t.Fatalf("block %d keeps %v", b, k)
			}
			if len(k.neurons) > 4 {
				worst = min(worst, slices.Min(each(blocks[b].neurons, k.neurons)))
			}
		}
		if d := math.Abs(spent - (1-p.Ratio)*total); d > cost/2 {
			t.Errorf("kept %v of %v at ratio %v: %v from the budget, more than half a unit", spent, total, p.Ratio, d)
		}
		for b, k := range kept {
			for j, s := range blocks[b].neurons {
				if s > worst && !slices.Contains(k.neurons, int32(j)) {
					t.Errorf("block %d drops neuron %d of score %v, and one of %v is kept", b, j, s, worst)
				}
			}
		}
	})
}

func each(s []float64, at []int32) []float64 {
	var out []float64
	for _, i := range at {
		out = append(out, s[i])
	}
	return out
}

func TestSliceAndMask(t *testing.T) {
	w := []float32{1, 2, 3, 4, 5, 6}
	m := mask.New(2, 3)
	m.Set(0, 2, false)
	s, sm := slice(w, 2, 3, nil, []int32{0, 2}, m)
	if !slices.Equal(s, []float32{1, 3, 4, 6}) || sm.Keep(0, 1) || !sm.Keep(1, 1) {
		t.Errorf("columns 0 and 2 are %v", s)
	}
	if s, sm := slice(w, 2, 3, []int32{1}, nil, nil); !slices.Equal(s, []float32{4, 5, 6}) || sm != nil {
		t.Errorf("row 1 is %v", s)
	}
	z, zm := maskOut(w, 2, 3, nil, []int32{0, 2}, m)
	if !slices.Equal(z, []float32{1, 0, 0, 4, 0, 6}) || zm.CountKept() != 3 {
		t.Errorf("masked to %v, of which %d are kept", z, zm.CountKept())
	}
	if w[1] != 2 || !m.Keep(0, 1) {
		t.Error("the weights or the mask that were given changed")
	}
}
