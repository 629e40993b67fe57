package merge

import "math"

// Magnitudes are compared as float32 numbers, whose bits without the sign order
// them. The threshold is found in two counts, of the upper and then of the lower
// bits, so that nothing is sorted and nothing kept.
const (
	lowBits  = 15
	upperBin = 1 << (31 - lowBits)
	lowerBin = 1 << lowBits
)

func magnitude(x float64) uint32 { return math.Float32bits(float32(x)) &^ (1 << 31) }

// magnitudes sets to to those of a stretch of delta t from element lo on, without
// the delta: float64 has more than twice float32's digits, so that rounding the
// exact difference to one and then to the other rounds it as float32 does.
func (c *Chunk) magnitudes(to []uint32, t, lo int) {
	base := c.Base[lo:][:len(to)]
	for i, x := range c.Models[t][lo:][:len(to)] {
		to[i] = math.Float32bits(x-base[i]) &^ (1 << 31)
	}
}

// largest selects the elements of greatest magnitude of each delta of a tensor;
// of equals the first.
type largest struct {
	of []threshold
}

// threshold keeps what is above bits, and ties of those equal to it; before[k]
// ties lie in the chunks before k.
type threshold struct {
	all    bool
	bits   uint32
	ties   int
	before []int
}

// findLargest returns the choice of the counts[t] largest elements of delta t. A
// count of all elements chooses all.
func findLargest(t *Tensor, counts []int) (*largest, error) {
	s := &largest{of: make([]threshold, len(counts))}
	work := false
	for i, n := range counts {
		s.of[i].all = n >= t.Elements()
		work = work || !s.of[i].all
	}
	if !work {
		return s, nil
	}
	upper, err := s.histogram(t, upperBin, nil)
	if err != nil {
		return nil, err
	}
	bins, left := make([]uint32, len(counts)), make([]int, len(counts))
	for i, n := range counts {
		if !s.of[i].all {
			bins[i], left[i] = cut(upper[i], n)
		}
	}
	lower, err := s.histogram(t, lowerBin, bins)
	if err != nil {
		return nil, err
	}
	tied := false
	for i := range counts {
		if s.of[i].all {
			continue
		}
		low, ties := cut(lower[i], left[i])
		s.of[i].bits, s.of[i].ties = bins[i]<<lowBits|low, ties
		tied = tied || ties < int(lower[i][low])
		s.of[i].before = make([]int, t.Chunks()+1)
	}
	if !tied {
		// All that equal the threshold are kept.
		for i := range s.of {
			s.of[i].ties = math.MaxInt
		}
		return s, nil
	}
	err = t.each(false, func(c *Chunk) {
		var magnitudes [stretch]uint32
		for i := range s.of {
			if s.of[i].all {
				continue
			}
			n, bits := uint64(0), s.of[i].bits
			for lo := 0; lo < len(c.Base); lo += stretch {
				part := magnitudes[:min(stretch, len(c.Base)-lo)]
				c.magnitudes(part, i, lo)
				for _, m := range part {
					n += bit(m == bits)
				}
			}
			s.of[i].before[c.Index+1] = int(n)
		}
	})
	for i := range s.of {
		for k := 1; k < len(s.of[i].before); k++ {
			s.of[i].before[k] += s.of[i].before[k-1]
		}
	}
	return s, err
}

// cut returns the bin in which the n-th largest lies, and how many of that bin
// are among the n largest.
func cut(bins []uint32, n int) (bin uint32, left int) {
	for b := len(bins) - 1; b >= 0; b-- {
		if n <= int(bins[b]) {
			return uint32(b), n
		}
		n -= int(bins[b])
	}
	panic("merge: more elements are to be kept than there are")
}

// histogram counts, for each delta, the elements by their upper bits or, of those
// with the upper bits in within, by their lower ones.
func (s *largest) histogram(t *Tensor, bins int, within []uint32) ([][]uint32, error) {
	// A counter a chunk would be larger than the chunk; a few chunks share one.
	slots := make(chan [][]uint32, t.Pool.Threads())
	for range cap(slots) {
		h := make([][]uint32, len(s.of))
		for i := range h {
			if !s.of[i].all {
				h[i] = make([]uint32, bins)
			}
		}
		slots <- h
	}
	err := t.each(false, func(c *Chunk) {
		h := <-slots
		var bits [stretch]uint32
		for i, to := range h {
			for lo := 0; to != nil && lo < len(c.Base); lo += stretch {
				part := bits[:min(stretch, len(c.Base)-lo)]
				c.magnitudes(part, i, lo)
				if within == nil {
					for _, m := range part {
						to[m>>lowBits]++
					}
					continue
				}
				for _, m := range part {
					if m>>lowBits == within[i] {
						to[m&(lowerBin-1)]++
					}
				}
			}
		}
		slots <- h
	})
	sum := <-slots
	for range cap(slots) - 1 {
		for i, h := range <-slots {
			for b, n := range h {
				sum[i][b] += n
			}
		}
	}
	return sum, err
}

// trim sets all but the largest elements of a chunk's deltas to zero.
func (s *largest) trim(c *Chunk, deltas [][]float64) {
	for i, d := range deltas {
		t := &s.of[i]
		if t.all {
			continue
		}
		seen := t.before[c.Index]
		for e, x := range d {
			m := magnitude(x)
			// All bits where it is not below the threshold.
			kept := uint64(int64(m)-int64(t.bits))>>63 - 1
			d[e] = math.Float64frombits(math.Float64bits(x) & kept)
			if m == t.bits {
				if seen >= t.ties {
					d[e] = 0
				}
				seen++
			}
		}
	}
}
