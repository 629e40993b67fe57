package merge

import "github.com/compressc/compressc/internal/linalg/vmath"

// total says how the deltas of all tasks become one, τ_MT.
type total struct {
	// Rule is "sum", or "ties": trimmed to Density, the elected sign, summed.
	Rule    string  `json:"rule"`
	Density float64 `json:"density,omitempty"`
}

// choice finds what "ties" trims, nil for the sum.
func (r total) choice(t *Tensor) (*largest, error) {
	if r.Rule != "ties" {
		return nil, nil
	}
	return findLargest(t, counts(Density{r.Density}.of(len(t.models)), t.Elements()))
}

// each calls f for a stretch of a chunk after the other: lo is the first element
// and all is τ_MT. It may change the chunk's deltas; s is what choice found.
func (r total) each(c *Chunk, s *largest, f func(lo int, all []float64)) {
	sum := combination{Weights: make([]float64, len(c.Deltas))}
	for t := range sum.Weights {
		sum.Weights[t] = 1
	}
	if s != nil {
		sum.Sign = "sum"
		s.trim(c, c.Deltas)
	}
	for lo := 0; lo < len(c.Base); lo += stretch {
		all := c.scratch.sum[:min(stretch, len(c.Base)-lo)]
		sum.combine(&c.scratch, all, sum.Weights, c.Deltas, lo)
		f(lo, all)
	}
}

// mask adds 1 to users where task t counts an element of a stretch as its own:
// |τ_t| > λ·|τ_MT − τ_t|, of deltas that nothing was trimmed from.
func (c *Chunk) mask(users []float64, t, lo int, lambda float64, all []float64) {
	delta := c.scratch.delta[:len(all)]
	vmath.Difference(delta, c.Models[t][lo:][:len(all)], c.Base[lo:][:len(all)])
	vmath.CountLarger(users, delta, all, lambda)
}

// addUsed sets a stretch of dst [elements of the chunk] to base + scale·τ_MT where
// least users or more count an element as their own, and to base elsewhere.
func (c *Chunk) addUsed(dst []float32, lo int, all []float64, scale float64, users []float64, least int) {
	vmath.RoundSumWhere(dst[lo:][:len(all)], c.Base[lo:][:len(all)], scale, all, users, float64(least))
}
