package merge

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
	if c.Sign != "" {
		for i, b := range base {
			dst[i] = float32(float64(b) + float64(c.Lambda*c.elect(f, deltas, i)))
		}
		return
	}
	div := 1.0
	if c.Normalize {
		if div = inOrder(c.Weights); div == 0 {
			div = 1
		}
	}
	for i, b := range base {
		s := 0.0
		for t, d := range deltas {
			s += float64(f[t] * d[i])
		}
		if c.Normalize {
			s /= div
		}
		dst[i] = float32(float64(b) + float64(c.Lambda*s))
	}
}

// elect is the disjoint merge of element i: the sum, or the weighted mean, of
// the deltas whose sign is the elected one. A vote of zero elects +.
func (c combination) elect(f []float64, deltas [][]float64, i int) float64 {
	vote := 0.0
	for t, d := range deltas {
		x := float64(f[t] * d[i])
		switch {
		case c.Sign == "sum":
			vote += x
		case x > 0:
			vote++
		case x < 0:
			vote--
		}
	}
	plus := vote >= 0
	sum, div := 0.0, 0.0
	for t, d := range deltas {
		if x := float64(f[t] * d[i]); x != 0 && (x > 0) == plus {
			sum += x
			div += c.Weights[t]
		}
	}
	if c.Normalize && div != 0 {
		sum /= div
	}
	return sum
}
