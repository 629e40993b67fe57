package search

import "slices"

// Draw takes n of the numbers below total without replacement and returns them in
// order. The draw depends on the seed alone.
func Draw(seed uint64, n, total int) []int {
	order := make([]int, total)
	for i := range order {
		order[i] = i
	}
	if n >= total {
		return order
	}
	r := splitMix(seed)
	for i := range n {
		k := i + int(r.below(uint64(len(order)-i)))
		order[i], order[k] = order[k], order[i]
	}
	chosen := order[:n]
	slices.Sort(chosen)
	return chosen
}

// splitMix is Steele, Lea and Flood's SplitMix64 generator: its sequence is
// part of what a pipeline means, so it is written out here.
type splitMix uint64

func (s *splitMix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in [0, n), each equally likely.
func (s *splitMix) below(n uint64) uint64 {
	limit := -n % n // 2⁶⁴ mod n: values under it would favour small numbers
	for {
		if v := s.next(); v >= limit {
			return v % n
		}
	}
}
