package merge

import "math"

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
// first cache, and on the stack.
const stretch = 512

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

// add sets dst to base + λ·(the deltas combined). scales may be nil.
func (c combination) add(dst, base []float32, deltas [][]float64, scales []float64) {
	f := c.factors(scales)
	var sums [stretch]float64
	for lo := 0; lo < len(base); lo += stretch {
		b := base[lo:min(lo+stretch, len(base))]
		to, s := dst[lo:][:len(b)], sums[:len(b)]
		c.combine(s, f, deltas, lo)
		for i, x := range b {
			to[i] = float32(float64(x) + float64(c.Lambda*s[i]))
		}
	}
}

// combine sets sum, of at most a stretch, to the deltas combined, from their
// element lo on.
func (c combination) combine(sum, f []float64, deltas [][]float64, lo int) {
	if c.Sign != "" {
		c.elect(sum, f, deltas, lo)
		return
	}
	clear(sum)
	for t, d := range deltas {
		d, w := d[lo:][:len(sum)], f[t]
		for i, x := range d {
			sum[i] += float64(w * x)
		}
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
// whose sign is the elected one. A vote of zero elects +. It has no branches on
// deltas, which no processor predicts.
func (c combination) elect(sum, f []float64, deltas [][]float64, lo int) {
	var votes, divs [stretch]float64
	vote, div := votes[:len(sum)], divs[:len(sum)]
	for t, d := range deltas {
		d, w := d[lo:][:len(sum)], f[t]
		if c.Sign == "sum" {
			for i, x := range d {
				vote[i] += float64(w * x)
			}
			continue
		}
		for i, x := range d {
			x = float64(w * x)
			vote[i] += float64(bit(x > 0)) - float64(bit(x < 0))
		}
	}
	clear(sum)
	// Without what is no number, whose sum were none either, signs are compared as
	// bits: those of a delta, turned where - is elected, are then above 0.
	var signs [stretch]uint64
	numbers := c.Sign == "sum"
	for i, v := range vote {
		signs[i] = bit(v < 0) << 63
		numbers = numbers && v == v
	}
	for t, d := range deltas {
		d, w, weight := d[lo:][:len(sum)], f[t], math.Float64bits(c.Weights[t])
		if sign := signs[:len(sum)]; numbers {
			for i, x := range d {
				b := math.Float64bits(float64(w * x))
				turned := int64(b ^ sign[i])
				agrees := uint64((-turned &^ turned) >> 63)
				sum[i] += math.Float64frombits(b & agrees)
				div[i] += math.Float64frombits(weight & agrees)
			}
			continue
		}
		for i, x := range d {
			x = float64(w * x)
			// A number that is none counts as negative.
			plus, above := bit(vote[i] >= 0), bit(x > 0)
			agrees := -(plus&above | (1-plus)&(1-bit(x >= 0)))
			sum[i] += math.Float64frombits(math.Float64bits(x) & agrees)
			div[i] += math.Float64frombits(weight & agrees)
		}
	}
	if !c.Normalize {
		return
	}
	for i, x := range div {
		if x != 0 {
			sum[i] /= x
		}
	}
}

// bit is 1 for true; compilers make no branch of it.
func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
