package search

import "testing"

// The values are those of the generator's reference implementation (Vigna,
// splitmix64.c): the sequence decides what a random sweep means.
func TestSplitMixSequence(t *testing.T) {
	s := splitMix(1234567)
	for i, want := range []uint64{6457827717110365317, 3203168211198807973, 9817491932198370423} {
		if got := s.next(); got != want {
			t.Errorf("value %d is %d, want %d", i, got, want)
		}
	}
	counts := make([]int, 3)
	for range 3000 {
		counts[s.below(3)]++
	}
	for v, n := range counts {
		if n < 900 || n > 1100 { // 1000 expected, with a standard deviation of 26
			t.Errorf("%d was drawn %d times of 3000", v, n)
		}
	}
}
