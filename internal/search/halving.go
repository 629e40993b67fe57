package search

import (
	"fmt"
	"math"
	"slices"
)

// halving is successive halving (Jamieson and Talwalkar 2016, arXiv:1502.07943):
// what is tried well is chosen by how it did when tried cheaply. A candidate that
// does not fit yet is not dropped for that: it goes behind those that do.
func halving(s *Space, got map[int]Result) []int {
	levels := s.fidelities()
	alive := s.begun()
	for n, level := range levels {
		var here []int
		for _, i := range alive {
			if j := s.atFidelity(i, level); j >= 0 {
				here = append(here, j)
			}
		}
		if next := untried(here, got, len(here)); len(next) > 0 {
			return next
		}
		if n+1 == len(levels) {
			break
		}
		slices.SortStableFunc(here, func(a, b int) int {
			switch {
			case got[a].better(got[b]):
				return -1
			case got[b].better(got[a]):
				return 1
			}
			return 0
		})
		here = slices.DeleteFunc(here, func(i int) bool { return got[i].Lost })
		alive = here[:min(len(here), s.kept(len(here)))]
	}
	return nil
}

// kept is how many of n go on.
func (s *Space) kept(n int) int { return max(1, int(math.Ceil(float64(n)*s.Keep))) }

func halvingMost(s *Space) int {
	n, sum := len(s.begun()), 0
	for range s.fidelities() {
		sum += n
		n = s.kept(n)
	}
	return min(sum, len(s.Places))
}

func finalFidelity(s *Space, i int) bool {
	levels := s.fidelities()
	return s.Places[i][s.Fidelity] == levels[len(levels)-1]
}

// fidelities lists the values of that axis, the cheapest first.
func (s *Space) fidelities() []int {
	var list []int
	for _, p := range s.Places {
		list = append(list, p[s.Fidelity])
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// begun are one candidate for each of the places that are begun with, whatever
// its fidelity.
func (s *Space) begun() []int {
	seen := map[string]bool{}
	var list []int
	for i, p := range s.Places {
		q := slices.Clone(p)
		q[s.Fidelity] = 0
		if key := fmt.Sprint(q); !seen[key] {
			seen[key] = true
			list = append(list, i)
		}
	}
	if s.Tries == 0 || s.Tries >= len(list) {
		return list
	}
	var drawn []int
	for _, k := range Draw(s.Seed, s.Tries, len(list)) {
		drawn = append(drawn, list[k])
	}
	return drawn
}

// atFidelity is the candidate that differs from i in its fidelity at most, -1 if
// there is none.
func (s *Space) atFidelity(i, level int) int {
	return slices.IndexFunc(s.Places, func(p []int) bool {
		return p[s.Fidelity] == level && equalBut(p, s.Places[i], s.Fidelity)
	})
}
