package prune

import (
	"cmp"
	"math"
	"slices"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/passes/blockwise"
)

// channelScores says what the reader w [out, in] of the channels loses by each:
// wifv is the variance of its output that is lost where the channel is replaced
// by its mean.
func channelScores(metric string, w []float32, m *blockwise.Moments) []float64 {
	in := len(m.Mean)
	out := len(w) / in
	s := make([]float64, in)
	for r := range out {
		for j, x := range w[r*in : (r+1)*in] {
			v := float64(x)
			switch metric {
			case "wifv":
				s[j] += float64(v * v)
			case "wifn":
				s[j] += math.Abs(v)
			}
		}
	}
	for j := range s {
		variance := m.M2[j] / max(m.Count-1, 1)
		switch metric {
		case "wifv":
			s[j] *= variance
		case "ifv":
			s[j] = variance
		case "wifn":
			s[j] = s[j] / float64(out) * math.Sqrt(m.M2[j]/m.Count+float64(m.Mean[j]*m.Mean[j]))
		}
	}
	return s
}

// standardise turns scores into their distances from the mean in standard
// deviations, in place; scores that are all equal become 0.
func standardise(s []float64) {
	n := float64(len(s))
	sum := 0.0
	for _, x := range s {
		sum += x
	}
	mean := sum / n
	sq := 0.0
	for _, x := range s {
		d := x - mean
		sq += float64(d * d)
	}
	std := math.Sqrt(sq / max(n-1, 1))
	for j, x := range s {
		s[j] = 0
		if std > 0 {
			s[j] = (x - mean) / std
		}
	}
}

// means returns the mean of each run of width numbers.
func means(s []float64, width int) []float64 {
	out := make([]float64, len(s)/width)
	for u := range out {
		for _, x := range s[u*width : (u+1)*width] {
			out[u] += x
		}
		out[u] /= float64(width)
	}
	return out
}

// flapUnits are the scores of a block's key heads, with their query heads, and
// of its neurons.
type flapUnits struct{ groups, neurons []float64 }

// flapKept are the numbers of what a block keeps, ascending.
type flapKept struct{ groups, neurons []int32 }

// flapBudget says how much is kept.
type flapBudget struct {
	Ratio     float64 `json:"ratio"`
	Structure string  `json:"structure"`
	// RemoveGroups are the key heads to remove with -mm.
	RemoveGroups int `json:"remove_groups,omitempty"`
	MinGroups    int `json:"min_groups"`
	MinNeurons   int `json:"min_neurons"`
	RoundTo      int `json:"round_to"`
	// GroupCosts are the parameters of a key head with its query heads, by block,
	// in units of the model's width; a neuron has 3.
	GroupCosts []int64 `json:"group_costs"`
}

const neuronCost = 3

func (a *FLAPArgs) budget(c *arch.Config) flapBudget {
	b := flapBudget{Ratio: a.Ratio, Structure: a.Structure, MinGroups: a.MinHeads, MinNeurons: a.MinNeurons, RoundTo: a.RoundTo}
	s := c.Shape(0)
	b.RemoveGroups = a.RemoveHeads / (s.Heads / s.KVHeads)
	for i := range c.Layers {
		s := c.Shape(i)
		b.GroupCosts = append(b.GroupCosts, int64(2*s.Heads/s.KVHeads+2)*int64(c.HeadDim))
	}
	return b
}

// choose ranks the units of all blocks.
func (p flapBudget) choose(blocks []flapUnits) []flapKept {
	groups, neurons := p.counts(blocks)
	kept := make([]flapKept, len(blocks))
	for b, u := range blocks {
		kept[b] = flapKept{best(u.groups, groups[b]), best(u.neurons, neurons[b])}
	}
	return kept
}

// counts returns how many key heads and neurons each block keeps.
func (p flapBudget) counts(blocks []flapUnits) (groups, neurons []int) {
	groups, neurons = make([]int, len(blocks)), make([]int, len(blocks))
	switch p.Structure {
	case "ul-um", "ul-mm":
		for b, u := range blocks {
			groups[b], neurons[b] = p.alone(len(u.groups), len(u.neurons), p.GroupCosts[b])
		}
		return groups, neurons
	}
	total := int64(0)
	for b, u := range blocks {
		total += int64(len(u.groups))*p.GroupCosts[b] + int64(len(u.neurons))*neuronCost
	}
	target := float64(float64(total) * (1 - p.Ratio))
	var ranked []unit
	spent := int64(0)
	take := func(u unit) {
		if u.neuron {
			neurons[u.block]++
			spent += neuronCost
		} else {
			groups[u.block]++
			spent += p.GroupCosts[u.block]
		}
	}
	// What each block keeps in any case comes first, best first.
	for b, u := range blocks {
		for i, s := range descending(u.groups) {
			x := unit{score: s, block: b, rank: i}
			if i < p.MinGroups {
				take(x)
			} else {
				ranked = append(ranked, x)
			}
		}
		for i, s := range descending(u.neurons) {
			x := unit{score: s, block: b, rank: i, neuron: true}
			if i < p.MinNeurons {
				take(x)
			} else {
				ranked = append(ranked, x)
			}
		}
	}
	// A stable sort: ties go by block, heads first, then by rank.
	slices.SortStableFunc(ranked, func(x, y unit) int { return cmp.Compare(y.score, x.score) })
	if p.Structure == "al-mm" {
		left := -p.RemoveGroups
		for _, x := range ranked {
			if !x.neuron {
				left++
			}
		}
		rest := ranked[:0:0]
		for _, x := range ranked {
			if x.neuron {
				rest = append(rest, x)
			} else if left > 0 {
				left--
				take(x)
			}
		}
		ranked = rest
	}
	for _, x := range ranked {
		cost := int64(neuronCost)
		if !x.neuron {
			cost = p.GroupCosts[x.block]
		}
		// The nearest prefix: the next unit is taken where it ends no further
		// from the target than it began.
		if math.Abs(float64(spent+cost)-target) > math.Abs(float64(spent)-target) {
			break
		}
		take(x)
	}
	for b := range neurons {
		neurons[b] = p.rounded(neurons[b], len(blocks[b].neurons))
	}
	return groups, neurons
}

// unit is a key head or a neuron by its rank within its block.
type unit struct {
	score       float64
	block, rank int
	neuron      bool
}

// alone cuts one block by the ratio: as many key heads as come nearest, the rest
// of the budget in neurons.
func (p flapBudget) alone(groups, neurons int, cost int64) (int, int) {
	g := int(math.Round((1 - p.Ratio) * float64(groups)))
	if p.Structure == "ul-mm" {
		g = groups - p.RemoveGroups
	}
	g = min(groups, max(g, p.MinGroups))
	left := float64((1-p.Ratio)*float64(int64(groups)*cost+int64(neurons)*neuronCost)) - float64(int64(g)*cost)
	n := min(neurons, max(int(math.Round(left/neuronCost)), p.MinNeurons))
	return g, p.rounded(n, neurons)
}

// rounded returns the multiple of RoundTo that is nearest to n and within what
// there is.
func (p flapBudget) rounded(n, all int) int {
	if n == all || p.RoundTo <= 1 {
		return n
	}
	r := max((n+p.RoundTo/2)/p.RoundTo, (p.MinNeurons+p.RoundTo-1)/p.RoundTo, 1) * p.RoundTo
	return min(r, all)
}

// uniform are the shapes that follow from the arguments alone: every block cut
// by the ratio.
func (a *FLAPArgs) uniform(c *arch.Config) []arch.BlockShape {
	p := a.budget(c)
	if p.Structure == "al-mm" {
		p.RemoveGroups /= c.Layers
		p.Structure = "ul-mm"
	}
	out := make([]arch.BlockShape, c.Layers)
	for b := range out {
		s := c.Shape(b)
		g, n := p.alone(s.KVHeads, s.Intermediate, p.GroupCosts[b])
		out[b] = arch.BlockShape{Heads: g * s.Heads / s.KVHeads, KVHeads: g, Intermediate: n}
	}
	return out
}

// descending returns scores, largest first.
func descending(s []float64) []float64 {
	d := slices.Clone(s)
	slices.SortFunc(d, func(x, y float64) int { return cmp.Compare(y, x) })
	return d
}

// best returns the numbers of the n largest scores, ascending; of equal ones the
// first.
func best(s []float64, n int) []int32 {
	order := make([]int32, len(s))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(x, y int32) int { return cmp.Compare(s[y], s[x]) })
	order = slices.Clone(order[:n])
	slices.Sort(order)
	return order
}

// pick returns the entries of x at the places; nil of nil.
func pick(x []float32, at []int32) []float32 {
	if x == nil {
		return nil
	}
	out := make([]float32, len(at))
	for i, j := range at {
		out[i] = x[j]
	}
	return out
}

// slice returns the rows and columns of w [out, in] that are kept, nil for all,
// and those of its mask.
func slice(w []float32, out, in int, rows, cols []int32, m *mask.Mask) ([]float32, *mask.Mask) {
	rows, cols = orAll(rows, out), orAll(cols, in)
	s := make([]float32, 0, len(rows)*len(cols))
	var sm *mask.Mask
	if m != nil {
		sm = mask.New(len(rows), len(cols))
	}
	for i, r := range rows {
		for k, c := range cols {
			s = append(s, w[int(r)*in+int(c)])
			if m != nil && !m.Keep(int(r), int(c)) {
				sm.Set(i, k, false)
			}
		}
	}
	return s, sm
}

// maskOut returns a copy of w [out, in] with zeros for what is not kept, and the
// mask that says so, on top of m.
func maskOut(w []float32, out, in int, rows, cols []int32, m *mask.Mask) ([]float32, *mask.Mask) {
	z := mask.New(out, in)
	if m != nil {
		z = m.Clone()
	}
	keep := func(list []int32, n int) []bool {
		k := make([]bool, n)
		for _, i := range orAll(list, n) {
			k[i] = true
		}
		return k
	}
	kr, kc := keep(rows, out), keep(cols, in)
	for r := range out {
		for c := range in {
			if !kr[r] || !kc[c] {
				z.Set(r, c, false)
			}
		}
	}
	cut := slices.Clone(w)
	z.Apply(cut)
	return cut, z
}

func orAll(list []int32, n int) []int32 {
	if list != nil {
		return list
	}
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	return all
}
