package train

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/nn"
)

// Slots of AdaLoRA's parameters: running means of a value's importance |p·g|
// and of how far it strays, and, of E, 1 where a triplet is in use.
const (
	importanceSlot  = "importance"
	uncertaintySlot = "uncertainty"
	keptSlot        = "kept"
)

// energySuffix ends the name of the parameter E of an update.
const energySuffix = ".lora_E"

func countTriplets(p LinearPlan, out, in int) int64 { return int64(p.Rank) * int64(out+in+1) }

// triplets is AdaLoRA: directions (row of A, number in E, column of B) whose E
// starts at 0.
type triplets[T nn.Float] struct {
	*derived[T]
	a, e, b *ParamOf[T]
}

func newTriplets[T nn.Float](s site[T]) adapter[T] {
	l, r := s.layer, s.plan.Rank
	t := &triplets[T]{derived: newDerived(s, r, T(s.plan.Scale))}
	t.a = newParam(s.name+".lora_A", make([]T, r*l.In), r, l.In)
	t.e = newParam(s.name+energySuffix, make([]T, r), r)
	t.b = newParam(s.name+".lora_B", make([]T, l.Out*r), l.Out, r)
	t.e.NoDecay = true // decay would fight importance
	for _, p := range []*ParamOf[T]{t.a, t.e, t.b} {
		p.remember(importanceSlot, uncertaintySlot)
	}
	t.e.remember(keptSlot)
	fill(t.kept(), 1)
	for _, p := range []*ParamOf[T]{t.a, t.b} {
		stream := rng.New(s.start.seed, p.Name)
		for i := range p.Data {
			p.Data[i] = T(stream.NormAt(uint64(i)) * 0.02)
		}
	}
	t.trained = []*ParamOf[T]{t.a, t.e, t.b}
	// A is used as it is; B stands times E.
	a, b := t.f.a, t.f.b
	t.toFactors = func() {
		copy(a.Data, t.a.Data)
		for i, v := range t.b.Data {
			b.Data[i] = v * t.e.Data[i%r]
		}
	}
	t.toTrained = func() {
		for i, g := range a.grad {
			t.a.grad[i] += g
		}
		for i, g := range b.grad {
			t.b.grad[i] += T(g * t.e.Data[i%r])
			t.e.grad[i%r] += T(g * t.b.Data[i])
		}
	}
	return t
}

func (t *triplets[T]) kept() []T { return t.e.Slots[len(t.e.Slots)-1].Data }

// Budget says how many triplets of all layers together stay, by step, and how
// they are scored: AdaLoRA's schedule (Zhang et al. 2023, arXiv:2303.10512).
type Budget struct {
	// Target is the number of triplets at the end.
	Target int `json:"target"`
	// Steps is the length of the run. For Warmup steps all triplets stay; then
	// fewer and fewer, chosen every Interval steps; in the last Final steps the
	// choice stands.
	Steps    int `json:"steps"`
	Warmup   int `json:"warmup"`
	Final    int `json:"final"`
	Interval int `json:"interval"`
	// Beta1 and Beta2 are the decays of importance and uncertainty.
	Beta1 float64 `json:"beta1"`
	Beta2 float64 `json:"beta2"`
	// Orthogonality multiplies the mean of ‖AAᵀ − I‖ and ‖BᵀB − I‖.
	Orthogonality float64 `json:"orthogonality"`
}

// At is the number of triplets after t steps, of initially so many.
func (b Budget) At(t, initial int) int {
	switch {
	case t <= b.Warmup:
		return initial
	case t >= b.Steps-b.Final:
		return b.Target
	}
	left := 1 - float64(t-b.Warmup)/float64(b.Steps-b.Final-b.Warmup)
	return b.Target + int(float64(initial-b.Target)*float64(left*left*left))
}

// budget holds the triplets of all layers to a Budget.
type budget[T nn.Float] struct {
	Budget
	sites   []*triplets[T]
	initial int
}

func newBudget[T nn.Float](b Budget, fits []dependent) (*budget[T], error) {
	g := &budget[T]{Budget: b}
	for _, a := range fits {
		if t, ok := a.(*triplets[T]); ok {
			g.sites = append(g.sites, t)
			g.initial += len(t.e.Data)
		}
	}
	if b.Steps-b.Final-b.Warmup < 1 || b.Interval < 1 {
		return nil, fmt.Errorf("a budget over %d steps, of which %d warm up and %d are final, every %d, never falls", b.Steps, b.Warmup, b.Final, b.Interval)
	}
	if b.Target < 1 || b.Target > g.initial {
		return nil, fmt.Errorf("the budget ends at %d triplets; the layers start with %d", b.Target, g.initial)
	}
	return g, nil
}

// penalize adds the gradient of the distance from orthogonality. Its value is
// no part of the losses that are reported.
func (g *budget[T]) penalize() {
	if g == nil || g.Orthogonality == 0 {
		return
	}
	f := g.Orthogonality / float64(2*len(g.sites))
	for _, t := range g.sites {
		r := len(t.e.Data)
		penalizeRows(f, t.a.Data, t.a.grad, r, len(t.a.Data)/r, len(t.a.Data)/r, 1)
		penalizeRows(f, t.b.Data, t.b.grad, r, len(t.b.Data)/r, 1, r)
	}
}

// penalizeRows adds f·d‖XXᵀ − I‖/dX = 2f·(XXᵀ − I)X/‖XXᵀ − I‖ to grad, where
// element j of row i of X [r, n] is at i·row + j·col. At 0 the norm has no
// slope.
func penalizeRows[T nn.Float](f float64, x, grad []T, r, n, row, col int) {
	gram := make([]float64, r*r)
	var norm float64
	for i := range r {
		for k := range r {
			var s float64
			for j := range n {
				s += float64(float64(x[i*row+j*col]) * float64(x[k*row+j*col]))
			}
			if i == k {
				s--
			}
			gram[i*r+k] = s
			norm += float64(s * s)
		}
	}
	if norm == 0 {
		return
	}
	norm = math.Sqrt(norm)
	for i := range r {
		for j := range n {
			var s float64
			for k := range r {
				s += float64(gram[i*r+k] * float64(x[k*row+j*col]))
			}
			grad[i*row+j*col] += T(float64(2*f) * s / norm)
		}
	}
}

// adjust ends a step: it scores the triplets and drops what is over the budget.
// The gradients count times factor.
func (g *budget[T]) adjust(step int, factor float64) {
	if g == nil {
		return
	}
	for _, t := range g.sites {
		for _, p := range t.trained {
			first := slices.IndexFunc(p.Slots, func(s SlotOf[T]) bool { return s.Name == importanceSlot })
			mean, stray := p.Slots[first].Data, p.Slots[first+1].Data
			for i, v := range p.Data {
				m, u := follow(g.Beta1, g.Beta2, float64(mean[i]), float64(stray[i]), math.Abs(float64(v)*float64(p.grad[i]))*factor)
				mean[i], stray[i] = T(m), T(u)
			}
		}
	}
	if step <= g.Warmup {
		return
	}
	final := step >= g.Steps-g.Final
	if !final && (step-g.Warmup)%g.Interval != 0 {
		return
	}
	if !final || step == g.Steps-g.Final || g.count() != g.Target {
		g.choose(g.At(step, g.initial))
	}
	for _, t := range g.sites {
		for i, k := range t.kept() {
			if k == 0 {
				t.e.Data[i] = 0
			}
		}
	}
}

// follow moves the running means on by an importance.
func follow(beta1, beta2, mean, stray, importance float64) (float64, float64) {
	mean = float64(beta1*mean) + float64((1-beta1)*importance)
	stray = float64(beta2*stray) + float64((1-beta2)*math.Abs(float64(importance)-mean))
	return mean, stray
}

func (g *budget[T]) count() int {
	n := 0
	for _, t := range g.sites {
		for _, k := range t.kept() {
			n += int(k)
		}
	}
	return n
}

// choose keeps the n triplets of highest score, of equal ones the first.
func (g *budget[T]) choose(n int) {
	type triplet struct {
		score float64
		kept  *T
	}
	var all []triplet
	for _, t := range g.sites {
		for i := range t.kept() {
			all = append(all, triplet{t.score(i), &t.kept()[i]})
		}
	}
	slices.SortStableFunc(all, func(a, b triplet) int { return cmp.Compare(b.score, a.score) })
	for i, t := range all {
		*t.kept = 0
		if i < n {
			*t.kept = 1
		}
	}
}

// score is that of E plus the means of those of A's row and of B's column.
func (t *triplets[T]) score(k int) float64 {
	r := len(t.e.Data)
	s := func(p *ParamOf[T], i int) float64 {
		n := len(p.Slots)
		if p == t.e {
			n-- // the last is which are kept
		}
		return float64(float64(p.Slots[n-2].Data[i]) * float64(p.Slots[n-1].Data[i]))
	}
	in, out := len(t.a.Data)/r, len(t.b.Data)/r
	var row, column float64
	for j := range in {
		row += s(t.a, k*in+j)
	}
	for j := range out {
		column += s(t.b, j*r+k)
	}
	return s(t.e, k) + row/float64(in) + column/float64(out)
}
