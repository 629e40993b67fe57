package allocate

import (
	"fmt"
	"math"
)

// problem is to choose a level for each unit so that the costs stay within the
// budget and the distortions' sum is least.
type problem struct {
	// Costs [units][levels] are not negative and fall with the level. Distortions
	// are of the same shape; +Inf and NaN are never chosen where anything else can be.
	Costs       [][]int64
	Distortions [][]float64
	Budget      int64
	// Quanta is the most steps that the budget is counted in. Costs are rounded
	// up to steps where their greatest common divisor makes more of them, so that
	// the budget holds whatever it is.
	Quanta int64
}

// solve returns a level for each unit; of equal sums the one that takes lower
// levels for later units. Distortions count as if they never fell from a level to
// the next. It fails where the budget does not reach to the highest levels.
func (p problem) solve() ([]int, error) {
	least := int64(0)
	for _, c := range p.Costs {
		least += c[len(c)-1]
	}
	if least > p.Budget {
		return nil, fmt.Errorf("the budget of %d is below %d, what the units cost at their highest levels", p.Budget, least)
	}
	d := monotone(p.Distortions)
	q := p.quantum()
	steps := p.Budget / q
	costs := make([][]int64, len(p.Costs))
	rounded := int64(0)
	for u, c := range p.Costs {
		costs[u] = make([]int64, len(c))
		for l, x := range c {
			costs[u][l] = (x + q - 1) / q
		}
		rounded += costs[u][len(c)-1]
	}
	best := p.uniform()
	if rounded > steps {
		return best, nil // rounding left no other choice than the highest levels
	}
	// f[b] is the least distortion of the units so far within b steps.
	f, next := make([]float64, steps+1), make([]float64, steps+1)
	choice := make([][]uint8, len(costs))
	for u, c := range costs {
		choice[u] = make([]uint8, steps+1)
		for b := range next {
			next[b] = math.Inf(1)
			for l, x := range c {
				if x > int64(b) {
					continue
				}
				if v := f[int64(b)-x] + d[u][l]; v < next[b] {
					next[b], choice[u][b] = v, uint8(l)
				}
			}
		}
		f, next = next, f
	}
	if !(f[steps] <= total(d, best)) {
		return best, nil
	}
	out := make([]int, len(costs))
	b := steps
	for u := len(costs) - 1; u >= 0; u-- {
		out[u] = int(choice[u][b])
		b -= costs[u][out[u]]
	}
	return out, nil
}

// unreachable stands for a distortion that is not finite; sums of it stay finite,
// so that fewer of them are better.
const unreachable = 1e100

// monotone returns the running maxima of each unit's distortions.
func monotone(d [][]float64) [][]float64 {
	out := make([][]float64, len(d))
	for u := range d {
		out[u] = make([]float64, len(d[u]))
		top := 0.0
		for l, x := range d[u] {
			if !(x < unreachable) {
				x = unreachable
			}
			top = max(top, x)
			out[u][l] = top
		}
	}
	return out
}

// uniform is the lowest level for all units alike that is within the budget; nil
// where there is none.
func (p problem) uniform() []int {
	for l := range p.Costs[0] {
		sum := int64(0)
		for _, c := range p.Costs {
			sum += c[l]
		}
		if sum <= p.Budget {
			out := make([]int, len(p.Costs))
			for u := range out {
				out[u] = l
			}
			return out
		}
	}
	return nil
}

// quantum is the size of a step.
func (p problem) quantum() int64 {
	g, all := int64(0), int64(0)
	for _, c := range p.Costs {
		all += c[0]
		for _, x := range c {
			for a := x; a != 0; {
				g, a = a, g%a
			}
		}
	}
	g = max(g, 1)
	if all/g > p.Quanta {
		return (all + p.Quanta - 1) / p.Quanta
	}
	return g
}

// total is the sum of the distortions at the chosen levels.
func total(d [][]float64, levels []int) float64 {
	s := 0.0
	for u, l := range levels {
		s += d[u][l]
	}
	return s
}
