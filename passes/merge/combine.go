package merge

import "github.com/compressc/compressc/internal/linalg/vmath"

// combination says how the deltas of a chunk become one. Scales, where there are
// any, multiply the deltas but do not count in the divisor.
type combination struct {
	Weights   []float64 `json:"weights"`
	Lambda    float64   `json:"lambda"`
	Normalize bool      `json:"normalize"`
	// Sign is "" for the plain sum, else how the sign of each element is elected:
	// "sum" or "count". Deltas of the other sign, and zeros, are then left out.
	Sign string `json:"sign,omitempty"`
}

// stretch is how many elements are combined at a time: their sums stay in the
// first cache.
const stretch = 512

// scratch is room for what is computed of a stretch.
type scratch struct {
	sum, votes, weights, delta, users [stretch]float64
	magnitudes                        [stretch]uint32
}

// factors are the weights with the scales.
func (c combination) factors(scales []float64) []float64 {
	f := make([]float64, len(c.Weights))
	for t, w := range c.Weights {
		f[t] = w
		if scales != nil {
			f[t] = float64(w * scales[t])
		}
	}
	return f
}

// add sets dst to the base + λ·(the deltas of a chunk combined). scales may be nil.
func (c combination) add(k *Chunk, dst []float32, scales []float64) {
	f := c.factors(scales)
	for lo := 0; lo < len(k.Base); lo += stretch {
		base := k.Base[lo:min(lo+stretch, len(k.Base))]
		sum := k.scratch.sum[:len(base)]
		c.combine(&k.scratch, sum, f, k.Deltas, lo)
		vmath.RoundSum(dst[lo:][:len(base)], base, c.Lambda, sum)
	}
}

// combine sets sum, of at most a stretch, to the deltas combined, from their
// element lo on. It uses votes and weights of z.
func (c combination) combine(z *scratch, sum, f []float64, deltas [][]float64, lo int) {
	if c.Sign != "" {
		c.elect(z, sum, f, deltas, lo)
		return
	}
	clear(sum)
	for t, d := range deltas {
		vmath.AddProduct(sum, f[t], d[lo:][:len(sum)])
	}
	if !c.Normalize {
		return
	}
	if div := inOrder(c.Weights); div != 0 {
		for i := range sum {
			sum[i] /= div
		}
	}
}

// elect is the disjoint merge: the sum, or the weighted mean, of the deltas
// whose sign is the elected one. A vote of zero elects +, one that is no number -.
func (c combination) elect(z *scratch, sum, f []float64, deltas [][]float64, lo int) {
	vote, weights := z.votes[:len(sum)], z.weights[:len(sum)]
	clear(vote)
	for t, d := range deltas {
		d, w := d[lo:][:len(sum)], f[t]
		if c.Sign == "sum" {
			vmath.AddProduct(vote, w, d)
			continue
		}
		for i, x := range d {
			x = float64(w * x)
			vote[i] += float64(bit(x > 0)) - float64(bit(x < 0))
		}
	}
	clear(sum)
	clear(weights)
	for t, d := range deltas {
		vmath.AddAgreeing(sum, weights, d[lo:][:len(sum)], vote, f[t], c.Weights[t])
	}
	if c.Normalize {
		vmath.DivideBy(sum, weights)
	}
}

// bit is 1 for true; compilers make no branch of it.
func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
