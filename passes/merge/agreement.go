package merge

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/action"
)

// lambdas are the thresholds that masks are kept for.
var lambdas = []float64{0.2, 0.3, 0.4, 0.5, 0.6, 1}

// total says how the deltas of all tasks become one, τ_MT.
type total struct {
	// Rule is "sum", or "ties": trimmed to Density, the elected sign, summed.
	Rule    string  `json:"rule"`
	Density float64 `json:"density,omitempty"`
}

// of returns τ_MT of a chunk at dst; it may change the deltas. s is nil for the
// plain sum.
func (r total) of(c *Chunk, s *largest, dst []float64) {
	if s == nil {
		for i := range dst {
			dst[i] = 0
			for _, d := range c.Deltas {
				dst[i] += d[i]
			}
		}
		return
	}
	s.trim(c, c.Deltas)
	e := combination{Weights: slices.Repeat([]float64{1}, len(c.Deltas)), Sign: "sum"}
	for i := range dst {
		dst[i] = e.elect(e.Weights, c.Deltas, i)
	}
}

// choice finds what "ties" trims, nil for the sum.
func (r total) choice(t *Tensor) (*largest, error) {
	if r.Rule != "ties" {
		return nil, nil
	}
	return findLargest(t, counts(Density{r.Density}.of(len(t.models)), t.Elements()))
}

// agreement puts, in place of a tensor, how strongly each task agrees with all
// together: U8 [ceil(T/2), n], two tasks a byte, the first in the lower half. The
// level of an element is the number of lambdas λ with |τ_t| > λ·|τ_MT − τ_t|; its
// mask at λ is whether the level reaches λ's place. All masks of all settings are
// read from it.
var agreement = New(Method[total]{
	Kernel: "merge.agreement", Impl: 1,
	Tensor: func(t *Tensor, r total) error {
		s, err := r.choice(t)
		if err != nil {
			return err
		}
		n := t.Elements()
		levels := make([]byte, (len(t.models)+1)/2*n)
		err = t.Each(func(c *Chunk) {
			own := make([][]float64, len(c.Deltas))
			for i, d := range c.Deltas {
				own[i] = slices.Clone(d)
			}
			all := make([]float64, len(c.Base))
			r.of(c, s, all)
			for i, d := range own {
				to := levels[i/2*n+c.Lo:]
				for e, x := range d {
					to[e] |= level(x, all[e]) << (4 * (i % 2))
				}
			}
		})
		t.PutBytes([]int{(len(t.models) + 1) / 2, n}, levels)
		return err
	},
})

// level is how many lambdas a task's delta passes.
func level(x, all float64) (n byte) {
	rest := all - x
	x, rest = max(x, -x), max(rest, -rest)
	for _, l := range lambdas {
		if !(x > float64(l*rest)) {
			break
		}
		n++
	}
	return n
}

// levels are the levels of one tensor.
type levels struct {
	data []byte
	n    int
}

func readLevels(t *Tensor) (levels, error) {
	b, err := t.Input("levels").Bytes(t.Name)
	n := t.Elements()
	if err == nil && len(b) != (len(t.models)+1)/2*n {
		err = fmt.Errorf("%d bytes of levels for %d elements of %d models", len(b), n, len(t.models))
	}
	return levels{b, n}, err
}

// masked reports whether task t's mask at the lambda of place k keeps element i.
func (l levels) masked(t, i, k int) bool {
	return int(l.data[t/2*l.n+i]>>(4*(t%2))&15) > k
}

// agreementOf lowers the levels of a part and returns them as an input.
func (j job) agreementOf(g *action.Graph, p part, r total) []action.Input {
	q := p
	q.places = nil
	for _, t := range p.places {
		if !t.keep {
			q.places = append(q.places, t)
		}
	}
	a := agreement.add(g, j, q, j.costOf(q, int64(len(j.Models)+1)/2), false, func(place) total { return r })
	return []action.Input{{Name: "levels", Ref: action.Ref{Action: a, Output: "merged"}}}
}
