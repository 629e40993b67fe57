// Package search holds strategies that look for the best of some candidates by
// trying few of them. It knows nothing of what candidates are, nor of how one is
// tried.
//
// Terms. A candidate has a place: an index on each of some axes. Trying it gives
// a Result. A strategy is asked again and again which candidates to try next and
// answers from the results so far; when it names none, the search is over. The
// candidates of one answer may be tried side by side.
//
// Invariants. A strategy has no state: its answer depends on the space and the
// results alone, not on the order or the time in which they came. So a search
// that was broken off, or is done again with results on record, goes the same
// way. It never asks for more candidates in all than Most says.
package search

import (
	"fmt"
	"math/bits"
	"slices"
)

// Result is what trying a candidate gave.
type Result struct {
	// Score is the objective; less is better.
	Score float64
	// Fits says that the candidate meets what the winner must meet.
	Fits bool
	// Lost candidates gave nothing: they failed or diverged.
	Lost bool
}

// better orders results: those that fit go before those that do not, those
// before the lost ones, and among equals the score decides.
func (r Result) better(o Result) bool {
	switch {
	case r.Lost || o.Lost:
		return !r.Lost
	case r.Fits != o.Fits:
		return r.Fits
	}
	return r.Score < o.Score
}

// Space is what a search goes through.
type Space struct {
	// Places are the candidates': an index on each axis. No two are equal.
	Places [][]int
	// Scores are the objectives of all candidates where they are known before any
	// is tried, which the methods need that have Known set.
	Scores []float64
	// Fidelity is the axis that says how well a candidate is tried, dearer and
	// better with the index. Method "halving" alone uses it.
	Fidelity int
	// Keep is the share of candidates that "halving" takes to the next fidelity.
	Keep float64
	// Tries bounds how many candidates are tried, with "halving" how many are
	// begun with; 0 is no bound.
	Tries int
	// Seed is that of drawn candidates.
	Seed uint64
}

// Check says what is wrong with a space for the method.
func (m *Method) Check(s *Space) error {
	axes := 0
	if len(s.Places) > 0 {
		for k := range s.Places[0] {
			if slices.ContainsFunc(s.Places, func(p []int) bool { return p[k] != s.Places[0][k] }) {
				axes++
			}
		}
	}
	if m.Line && axes > 1 {
		return fmt.Errorf("it goes along one axis, and there are %d", axes)
	}
	return nil
}

func (s *Space) limit() int {
	if s.Tries > 0 && s.Tries < len(s.Places) {
		return s.Tries
	}
	return len(s.Places)
}

// Method is a strategy with what the language says of it.
type Method struct {
	Name, Doc string
	// Known methods order the candidates by their objective before any is tried,
	// and Where ones need a condition to go by.
	Known, Where bool
	// Line methods go along one axis.
	Line bool
	// Args are arguments beyond those that every search has, Required the one
	// without which the method has no meaning.
	Args     []string
	Required string

	// Next names the candidates to try next, by their index, without those that
	// have results.
	Next func(*Space, map[int]Result) []int
	// Most is how many candidates the method tries at most.
	Most func(*Space) int
	// final reports whether a candidate may win; nil: each may.
	final func(*Space, int) bool
}

// The arguments that methods may have.
const (
	Tries    = "tries"
	Fidelity = "fidelity"
	Keep     = "keep"
	Seed     = "seed"
)

// Methods in the order of the documentation.
var Methods = []*Method{
	{Name: "first", Known: true, Where: true, Args: []string{Tries}, Next: first, Most: (*Space).limit,
		Doc: "Tries the points in the order of the objective, which must be known before the run (such as size), until one meets where: the same answer as select, without trying what is worse."},
	{Name: "bisect", Known: true, Where: true, Next: bisect, Most: func(s *Space) int { return bits.Len(uint(len(s.Places))) },
		Doc: "Halves the points, in the order of an objective that is known before the run (such as size): for conditions in where that hold from some point on for all that are worse."},
	{Name: "golden", Line: true, Next: golden, Most: goldenMost,
		Doc: "Golden-section search along one axis, for an objective that falls up to one point and rises from there on (or the other way round)."},
	{Name: "climb", Args: []string{Tries}, Next: climb, Most: (*Space).limit,
		Doc: "Starts in the middle and goes on to the best neighbour along any axis until there is none better."},
	{Name: "halving", Args: []string{Tries, Fidelity, Keep, Seed}, Required: Fidelity, Next: halving, Most: halvingMost, final: finalFidelity,
		Doc: "Successive halving: all points, or as many as tries says, at the lowest value of the axis fidelity (such as training steps), the best of them at the next."},
	{Name: "random", Args: []string{Tries, Seed}, Required: Tries, Next: random, Most: (*Space).limit,
		Doc: "As many points as tries says, drawn by the seed."},
}

// Lookup returns the method of that name, or nil.
func Lookup(name string) *Method {
	if i := slices.IndexFunc(Methods, func(m *Method) bool { return m.Name == name }); i >= 0 {
		return Methods[i]
	}
	return nil
}

// Names are those of all methods.
func Names() []string {
	names := make([]string, len(Methods))
	for i, m := range Methods {
		names[i] = m.Name
	}
	return names
}

// Final reports whether a candidate may win where it fits.
func (m *Method) Final(s *Space, i int) bool { return m.final == nil || m.final(s, i) }

// untried are those of a list that have no result, at most n.
func untried(list []int, got map[int]Result, n int) []int {
	var out []int
	for _, i := range list {
		if _, has := got[i]; !has && len(out) < n {
			out = append(out, i)
		}
	}
	return out
}

// all lists the candidates.
func (s *Space) all() []int {
	list := make([]int, len(s.Places))
	for i := range list {
		list[i] = i
	}
	return list
}

// ordered lists the candidates from the best known score to the worst, equal ones
// as they stand.
func (s *Space) ordered() []int {
	list := s.all()
	slices.SortStableFunc(list, func(a, b int) int {
		switch {
		case s.Scores[a] < s.Scores[b]:
			return -1
		case s.Scores[a] > s.Scores[b]:
			return 1
		}
		return 0
	})
	return list
}

func first(s *Space, got map[int]Result) []int {
	for n, i := range s.ordered() {
		if n == s.limit() {
			break
		}
		r, has := got[i]
		if !has {
			return []int{i}
		}
		if r.Fits && !r.Lost {
			break
		}
	}
	return nil
}

// bisect looks for the first of the ordered candidates that fits.
func bisect(s *Space, got map[int]Result) []int {
	order := s.ordered()
	lo, hi := 0, len(order)
	for lo < hi {
		mid := (lo + hi) / 2
		r, has := got[order[mid]]
		switch {
		case !has:
			return []int{order[mid]}
		case r.Fits && !r.Lost:
			hi = mid
		default:
			lo = mid + 1
		}
	}
	return nil
}

func random(s *Space, got map[int]Result) []int {
	return untried(Draw(s.Seed, s.limit(), len(s.Places)), got, len(s.Places))
}
