package search

import (
	"math"
	"slices"
)

// alongLine lists the candidates in the order of the one axis on which they
// differ.
func (s *Space) alongLine() []int {
	list := s.all()
	slices.SortStableFunc(list, func(a, b int) int { return slices.Compare(s.Places[a], s.Places[b]) })
	return list
}

// golden is Kiefer's Fibonacci search (1953, doi:10.1090/S0002-9939-1953-0055639-3),
// the discrete form of the golden section: it tries two candidates inside an
// interval and goes on in the part that has the better one, where the other is
// placed such that one of the two was tried before.
func golden(s *Space, got map[int]Result) []int {
	line := s.alongLine()
	// The interval is open: its inside is fibonacci(k) - 1 candidates, those past
	// the end are worse than any.
	at := func(p int) (Result, int, bool) {
		if p > len(line) {
			return Result{Lost: true, Score: math.Inf(1)}, -1, true
		}
		r, has := got[line[p-1]]
		return r, line[p-1], has
	}
	lo, k := 0, fibonacciOver(len(line))
	for ; k > 2; k-- {
		left, right := lo+fibonacci(k-2), lo+fibonacci(k-1)
		a, i, tried := at(left)
		b, j, also := at(right)
		if !tried || !also {
			var next []int
			if !tried {
				next = append(next, i)
			}
			if !also {
				next = append(next, j)
			}
			return next
		}
		if b.better(a) {
			lo = left
		}
	}
	if lo+1 <= len(line) && k == 2 {
		if _, i, tried := at(lo + 1); !tried {
			return []int{i}
		}
	}
	return nil
}

func goldenMost(s *Space) int {
	return min(len(s.Places), max(1, fibonacciOver(len(s.Places))-1))
}

// fibonacci is 1, 1, 2, 3, 5, …
func fibonacci(k int) int {
	a, b := 1, 1
	for range k {
		a, b = b, a+b
	}
	return a
}

// fibonacciOver is the smallest index from 2 on with a number above n.
func fibonacciOver(n int) int {
	k := 2
	for fibonacci(k) <= n {
		k++
	}
	return k
}
