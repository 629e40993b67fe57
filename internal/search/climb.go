package search

// climb goes from the middle to the best neighbour until none is better than
// where it stands. A neighbour is the next candidate along one axis in either
// direction, all else being equal.
func climb(s *Space, got map[int]Result) []int {
	if len(s.Places) == 0 {
		return nil
	}
	at := s.middle()
	if _, tried := got[at]; !tried {
		return []int{at}
	}
	for {
		near := s.neighbours(at)
		if next := untried(near, got, s.limit()-len(got)); len(next) > 0 {
			return next
		}
		best := at
		for _, i := range near {
			if r, tried := got[i]; tried && r.better(got[best]) {
				best = i
			}
		}
		if best == at {
			return nil
		}
		at = best
	}
}

// middle is the candidate next to the middle of the axes, the first of equals.
func (s *Space) middle() int {
	best, distance := 0, -1
	for i, p := range s.Places {
		d := 0
		for k := range p {
			lo, hi := p[k], p[k]
			for _, q := range s.Places {
				lo, hi = min(lo, q[k]), max(hi, q[k])
			}
			off := 2*p[k] - lo - hi
			d += off * off
		}
		if distance < 0 || d < distance {
			best, distance = i, d
		}
	}
	return best
}

// neighbours lists those of a candidate: axis by axis, the lower one first.
func (s *Space) neighbours(at int) []int {
	var out []int
	here := s.Places[at]
	for k := range here {
		below, above := -1, -1
		for i, p := range s.Places {
			if i == at || !equalBut(p, here, k) {
				continue
			}
			if p[k] < here[k] && (below < 0 || p[k] > s.Places[below][k]) {
				below = i
			}
			if p[k] > here[k] && (above < 0 || p[k] < s.Places[above][k]) {
				above = i
			}
		}
		for _, i := range []int{below, above} {
			if i >= 0 {
				out = append(out, i)
			}
		}
	}
	return out
}

// equalBut reports whether two places are equal on all axes but k.
func equalBut(p, q []int, k int) bool {
	for i := range p {
		if i != k && p[i] != q[i] {
			return false
		}
	}
	return true
}
