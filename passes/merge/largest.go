package merge

import (
	"math"
	"math/bits"
	"slices"
	"sync/atomic"

	"github.com/compressc/compressc/internal/linalg/vmath"
)

// Magnitudes are compared as float32 numbers, whose bits without the sign order
// them. float64 has more than twice float32's digits, so that rounding an exact
// difference to one and then to the other rounds it as float32 does.
const topMagnitude = 1<<31 - 1

func magnitude(x float64) uint32 { return math.Float32bits(float32(x)) & topMagnitude }

// magnitudes returns those of a stretch of delta t from element lo on, in c's
// scratch, without the delta.
func (c *Chunk) magnitudes(t, lo int) []uint32 {
	to := c.scratch.magnitudes[:min(stretch, len(c.Base)-lo)]
	vmath.Magnitudes(to, c.Models[t][lo:][:len(to)], c.Base[lo:][:len(to)])
	return to
}

// largest selects the elements of greatest magnitude of each delta of a tensor;
// of equals the first.
type largest struct {
	of []threshold
}

// threshold keeps what is above bits, and ties of those equal to it; before[k]
// ties lie in the chunks before k. Without before all ties are kept.
type threshold struct {
	bits   uint32
	ties   int
	before []int
}

// findLargest returns the choice of the counts[t] largest elements of delta t. A
// count of all elements chooses all.
//
// A sample says between which magnitudes a threshold lies; one pass gathers what
// lies between them and counts what is above, which decides. Where the sample was
// wrong, or too much lies there, two passes count all.
func findLargest(t *Tensor, counts []int) (*largest, error) {
	s := &largest{of: make([]threshold, len(counts))}
	var open []int
	for i, n := range counts {
		switch {
		case n >= t.Elements():
		case n == 0:
			s.of[i] = threshold{bits: topMagnitude, before: make([]int, t.Chunks()+1)}
		default:
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return s, nil
	}
	guess, err := sampled(t, counts, open)
	if err != nil {
		return nil, err
	}
	limit := max(minGathered, min(maxGathered, t.Elements()/16))
	if open, err = s.gather(t, counts, open, guess, limit); err != nil || len(open) == 0 {
		return s, err
	}
	return s, s.count(t, counts, open)
}

// bracket is where a threshold lies, both ends included.
type bracket struct{ lo, hi uint32 }

// everything but zeros, which are never gathered.
var everything = bracket{1, topMagnitude}

const (
	// sampleSize is about how many elements of a delta a sample has, and small
	// how many a tensor that needs none.
	sampleSize = 1 << 13
	small      = 1 << 15
	// sampleMargin, divided by the root of the number of rows, is the margin
	// around the share that is kept: rows differ more than elements do.
	sampleMargin = 0.35
	// How many elements of a delta are gathered: up to a sixteenth of a tensor, but
	// in these bounds.
	minGathered = 1 << 20
	maxGathered = 1 << 22
)

// sampled guesses the brackets of open deltas.
func sampled(t *Tensor, counts, open []int) ([]bracket, error) {
	guess := slices.Repeat([]bracket{everything}, len(counts))
	if t.Elements() <= small {
		return guess, nil
	}
	rows := min(t.rows, max(32, min(512, t.rows/16)))
	step := rows*t.width/sampleSize | 1
	values := make([][]uint32, len(counts))
	base, model := make([]float32, t.width), make([]float32, t.width)
	for k := range rows {
		row := (2*k + 1) * t.rows / (2 * rows)
		b, err := t.base.read(row, row+1, base)
		if err != nil {
			return nil, err
		}
		for _, i := range open {
			x, err := t.models[i].read(row, row+1, model)
			if err != nil {
				return nil, err
			}
			for e := k % step; e < len(x); e += step {
				values[i] = append(values[i], math.Float32bits(x[e]-b[e])&topMagnitude)
			}
		}
	}
	margin := sampleMargin / math.Sqrt(float64(rows))
	for _, i := range open {
		n := float64(len(values[i]))
		share := float64(counts[i]) / float64(t.Elements())
		if above := int((share - margin) * n); above > 0 {
			guess[i].hi, _ = nth(values[i:i+1], bracket{0, topMagnitude}, above)
		}
		if kept := int((share + margin) * n); kept < len(values[i]) {
			lo, _ := nth(values[i:i+1], bracket{0, topMagnitude}, max(kept, 1))
			guess[i].lo = max(lo, 1)
		}
		guess[i].hi = max(guess[i].hi, guess[i].lo)
	}
	return guess, nil
}

// gather finds the thresholds that lie in their brackets, and returns the deltas
// whose do not, or of which more than limit elements do.
func (s *largest) gather(t *Tensor, counts, open []int, in []bracket, limit int) (left []int, err error) {
	found, above := make([][][]uint32, len(counts)), make([][]int, len(counts))
	for _, i := range open {
		found[i], above[i] = make([][]uint32, t.Chunks()), make([]int, t.Chunks())
	}
	sizes := make([]atomic.Int64, len(counts))
	err = t.each(false, func(c *Chunk) {
		room := slices.Grow(c.found[:0], len(c.Base)+vmath.BetweenSlack)
		c.found = room[:cap(room)]
		for _, i := range open {
			if sizes[i].Load() > int64(limit) {
				continue
			}
			n := 0
			for lo := 0; lo < len(c.Base); lo += stretch {
				k, larger := vmath.Between(c.found[n:], c.magnitudes(i, lo), in[i].lo, in[i].hi)
				n += k
				above[i][c.Index] += larger
			}
			if sizes[i].Add(int64(n)) <= int64(limit) {
				found[i][c.Index] = slices.Clone(c.found[:n])
			}
		}
	})
	for _, i := range open {
		if sizes[i].Load() > int64(limit) || !s.decide(i, counts[i]-sumInts(above[i]), found[i], in[i]) {
			left = append(left, i)
		}
	}
	return left, err
}

// decide sets the threshold of delta i to the n-th largest of what each chunk has
// in the bracket, if it lies there.
func (s *largest) decide(i, n int, found [][]uint32, in bracket) bool {
	size := 0
	for _, f := range found {
		size += len(f)
	}
	switch {
	case n <= 0 || n > size && in.lo > 1:
		return false
	case n > size:
		// Zeros are the threshold; it is all one which of them are kept.
		return true
	}
	u := &s.of[i]
	u.bits, u.ties = nth(found, in, n)
	before := make([]int, len(found)+1)
	for k, f := range found {
		before[k+1] = before[k]
		for _, m := range f {
			before[k+1] += int(bit(m == u.bits))
		}
	}
	if u.ties < before[len(found)] {
		u.before = before
	}
	return true
}

// nth returns the n-th largest of the magnitudes that lie in a bracket, and how
// many of those equal to it are among the n largest.
func nth(lists [][]uint32, in bracket, n int) (uint32, int) {
	var bins [1 << 11]uint32
	for {
		width := in.hi - in.lo
		shift := max(0, bits.Len32(width)-11)
		clear(bins[:])
		for _, list := range lists {
			for _, m := range list {
				if d := m - in.lo; d <= width {
					bins[d>>shift]++
				}
			}
		}
		bin, left := cut(bins[:], n)
		in.lo += bin << shift
		if shift == 0 {
			return in.lo, left
		}
		in.hi, n = min(in.hi, in.lo+1<<shift-1), left
	}
}

// The bits of a magnitude that count tells apart first, and then.
const (
	lowBits  = 15
	upperBin = 1 << (31 - lowBits)
	lowerBin = 1 << lowBits
)

// count finds the thresholds of open deltas, wherever they lie, in two counts, of
// the upper and then of the lower bits, so that nothing is sorted and nothing
// kept.
func (s *largest) count(t *Tensor, counts, open []int) error {
	upper, err := s.histogram(t, open, upperBin, nil)
	if err != nil {
		return err
	}
	bins, left := make([]uint32, len(counts)), make([]int, len(counts))
	for _, i := range open {
		bins[i], left[i] = cut(upper[i], counts[i])
	}
	lower, err := s.histogram(t, open, lowerBin, bins)
	if err != nil {
		return err
	}
	var tied []int
	for _, i := range open {
		low, ties := cut(lower[i], left[i])
		s.of[i] = threshold{bits: bins[i]<<lowBits | low, ties: ties}
		if ties < int(lower[i][low]) {
			s.of[i].before = make([]int, t.Chunks()+1)
			tied = append(tied, i)
		}
	}
	if len(tied) == 0 {
		return nil
	}
	err = t.each(false, func(c *Chunk) {
		for _, i := range tied {
			n, bits := uint64(0), s.of[i].bits
			for lo := 0; lo < len(c.Base); lo += stretch {
				for _, m := range c.magnitudes(i, lo) {
					n += bit(m == bits)
				}
			}
			s.of[i].before[c.Index+1] = int(n)
		}
	})
	for _, i := range tied {
		before := s.of[i].before
		for k := 1; k < len(before); k++ {
			before[k] += before[k-1]
		}
	}
	return err
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

// histogram counts, for each open delta, the elements by their upper bits or, of
// those with the upper bits in within, by their lower ones.
func (s *largest) histogram(t *Tensor, open []int, bins int, within []uint32) ([][]uint32, error) {
	// A counter a chunk would be larger than the chunk; a few chunks share one.
	slots := make(chan [][]uint32, t.Pool.Threads())
	for range cap(slots) {
		h := make([][]uint32, len(s.of))
		for _, i := range open {
			h[i] = make([]uint32, bins)
		}
		slots <- h
	}
	err := t.each(false, func(c *Chunk) {
		h := <-slots
		for _, i := range open {
			to := h[i]
			for lo := 0; lo < len(c.Base); lo += stretch {
				part := c.magnitudes(i, lo)
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
		switch {
		case t.bits == 0 && t.before == nil:
		case t.before == nil || t.before[c.Index+1] <= t.ties:
			vmath.KeepLarge(d, t.bits)
		case t.before[c.Index] >= t.ties:
			vmath.KeepLarge(d, t.bits+1)
		default:
			vmath.KeepLarge(d, t.bits)
			seen := t.before[c.Index]
			for e, x := range d {
				if magnitude(x) == t.bits {
					if seen >= t.ties {
						d[e] = 0
					}
					seen++
				}
			}
		}
	}
}
