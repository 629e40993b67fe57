package search

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// run lets a method search and returns the results in the order of the tries.
func run(t testing.TB, m *Method, s *Space, try func(int) Result) (got map[int]Result, rounds [][]int) {
	t.Helper()
	got = map[int]Result{}
	for {
		next := m.Next(s, got)
		if len(next) == 0 {
			break
		}
		rounds = append(rounds, next)
		for _, i := range next {
			if _, again := got[i]; again {
				t.Fatalf("%s tries %d again", m.Name, i)
			}
			got[i] = try(i)
		}
	}
	if most := m.Most(s); len(got) > most {
		t.Fatalf("%s tried %d, and says it tries at most %d", m.Name, len(got), most)
	}
	return got, rounds
}

// winner is the best of what was tried that fits, -1 if there is none.
func winner(m *Method, s *Space, got map[int]Result) int {
	best := -1
	for i := range s.Places {
		if r, ok := got[i]; ok && r.Fits && !r.Lost && m.Final(s, i) && (best < 0 || r.Score < got[best].Score) {
			best = i
		}
	}
	return best
}

func line(n int) [][]int {
	var p [][]int
	for i := range n {
		p = append(p, []int{0, i})
	}
	return p
}

func grid(a, b int) [][]int {
	var p [][]int
	for i := range a {
		for k := range b {
			p = append(p, []int{i, k})
		}
	}
	return p
}

// The first that fits, in the order of a known objective, is the best that does.
func TestFirstIsTheBest(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(r, "n")
		s := &Space{Places: line(n)}
		fits := make([]bool, n)
		for i := range n {
			s.Scores = append(s.Scores, float64(rapid.IntRange(0, 9).Draw(r, "score")))
			fits[i] = rapid.Bool().Draw(r, "fits")
		}
		try := func(i int) Result { return Result{Score: s.Scores[i], Fits: fits[i]} }
		all := map[int]Result{}
		for i := range n {
			all[i] = try(i)
		}
		m := Lookup("first")
		got, _ := run(t, m, s, try)
		if a, b := winner(m, s, got), winner(m, s, all); a != b {
			r.Fatalf("won %d, of all %d would", a, b)
		}
	})
}

// Bisection finds where a condition begins to hold, in a logarithm of tries.
func TestBisect(t *testing.T) {
	m := Lookup("bisect")
	for n := 1; n < 40; n++ {
		for from := 0; from <= n; from++ {
			s := &Space{Places: line(n), Scores: make([]float64, n)}
			for i := range s.Scores {
				s.Scores[i] = float64(n - i) // the order of the scores, not that of the points
			}
			got, _ := run(t, m, s, func(i int) Result { return Result{Score: s.Scores[i], Fits: n-1-i >= from} })
			want := n - 1 - from // -1 where nothing fits
			if w := winner(m, s, got); w != want {
				t.Errorf("%d candidates, from %d on: %d won, want %d", n, from, w, want)
			}
			if len(got) > int(math.Log2(float64(n)))+1 {
				t.Errorf("%d candidates took %d tries", n, len(got))
			}
		}
	}
}

// On one axis with one valley the golden section finds its bottom.
func TestGolden(t *testing.T) {
	m := Lookup("golden")
	for n := 1; n < 60; n++ {
		for bottom := range n {
			s := &Space{Places: line(n)}
			got, _ := run(t, m, s, func(i int) Result { return Result{Score: math.Abs(float64(i) - float64(bottom) + .1), Fits: true} })
			if w := winner(m, s, got); w != bottom {
				t.Fatalf("of %d candidates %d won, want %d", n, w, bottom)
			}
			if limit := int(math.Ceil(1.4405*math.Log2(float64(n)+1))) + 1; len(got) > limit {
				t.Errorf("%d candidates took %d tries, want at most %d", n, len(got), limit)
			}
		}
	}
	if err := m.Check(&Space{Places: grid(2, 2)}); err == nil {
		t.Error("a grid of two axes is taken for a line")
	}
	if err := m.Check(&Space{Places: grid(1, 5)}); err != nil {
		t.Error(err)
	}
}

// Climbing ends where no neighbour is better, on a bowl at the bottom.
func TestClimb(t *testing.T) {
	m := Lookup("climb")
	rapid.Check(t, func(r *rapid.T) {
		s := &Space{Places: grid(rapid.IntRange(1, 7).Draw(r, "a"), rapid.IntRange(1, 7).Draw(r, "b"))}
		bottom := s.Places[rapid.IntRange(0, len(s.Places)-1).Draw(r, "bottom")]
		bowl := func(i int) Result {
			d := 0.0
			for k, x := range s.Places[i] {
				d += math.Abs(float64(x - bottom[k]))
			}
			return Result{Score: d, Fits: true}
		}
		got, _ := run(t, m, s, bowl)
		if w := winner(m, s, got); !slices.Equal(s.Places[w], bottom) {
			r.Fatalf("ended at %v, not at %v", s.Places[w], bottom)
		}
		s.Tries = rapid.IntRange(1, len(s.Places)).Draw(r, "tries")
		run(t, m, s, bowl) // within Most
	})
}

// Nine configurations at three fidelities, a third of them kept: 9 + 3 + 1. Which
// is the best shows at the lowest fidelity here.
func TestHalving(t *testing.T) {
	m := Lookup("halving")
	s := &Space{Places: grid(9, 3), Fidelity: 1, Keep: 1. / 3}
	try := func(i int) Result {
		return Result{Score: math.Abs(float64(s.Places[i][0]) - 6), Fits: s.Places[i][1] == 2}
	}
	got, rounds := run(t, m, s, try)
	var sizes []int
	for _, r := range rounds {
		sizes = append(sizes, len(r))
	}
	if fmt.Sprint(sizes) != "[9 3 1]" || m.Most(s) != 13 {
		t.Errorf("rounds of %v, at most %d", sizes, m.Most(s))
	}
	if w := winner(m, s, got); w < 0 || !slices.Equal(s.Places[w], []int{6, 2}) {
		t.Errorf("won %d", w)
	}
	s.Tries = 4
	if got, rounds := run(t, m, s, try); len(rounds[0]) != 4 || len(got) != 4+2+1 {
		t.Errorf("%d begun, %d tried", len(rounds[0]), len(got))
	}
	s.Tries = 0
	lost := func(i int) Result { return Result{Lost: true} }
	if got, _ := run(t, m, s, lost); len(got) != 9 || winner(m, s, got) != -1 {
		t.Errorf("%d tried where all are lost", len(got))
	}
}

// The same seed draws the same, without any twice; another seed something else.
func TestDraw(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		total := rapid.IntRange(1, 50).Draw(r, "total")
		n := rapid.IntRange(1, 60).Draw(r, "n")
		seed := rapid.Uint64().Draw(r, "seed")
		a := Draw(seed, n, total)
		if !slices.Equal(a, Draw(seed, n, total)) || !slices.IsSorted(a) || len(slices.Compact(slices.Clone(a))) != min(n, total) {
			r.Fatalf("drew %v", a)
		}
		s := &Space{Places: line(total), Tries: n, Seed: seed}
		got, rounds := run(t, Lookup("random"), s, func(i int) Result { return Result{} })
		if len(got) != min(n, total) || len(rounds) != 1 {
			r.Fatalf("tried %d in %d rounds", len(got), len(rounds))
		}
	})
	if slices.Equal(Draw(1, 5, 1000), Draw(2, 5, 1000)) {
		t.Error("two seeds draw the same")
	}
}

// Whatever results come, every method ends, tries nothing twice and stays within
// its bound.
func TestMethodsEnd(t *testing.T) {
	for _, m := range Methods {
		t.Run(m.Name, rapid.MakeCheck(func(r *rapid.T) {
			a := rapid.IntRange(1, 6).Draw(r, "a")
			if m.Line {
				a = 1
			}
			s := &Space{Places: grid(a, rapid.IntRange(1, 8).Draw(r, "b")), Fidelity: 1, Keep: rapid.Float64Range(.01, .99).Draw(r, "keep"),
				Tries: rapid.IntRange(0, 9).Draw(r, "tries")}
			for range s.Places {
				s.Scores = append(s.Scores, rapid.Float64().Draw(r, "known"))
			}
			run(t, m, s, func(int) Result {
				return Result{Score: rapid.Float64().Draw(r, "score"), Fits: rapid.Bool().Draw(r, "fits"), Lost: rapid.Bool().Draw(r, "lost")}
			})
		}))
	}
}
