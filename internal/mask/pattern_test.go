package mask

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestParsePattern(t *testing.T) {
	for s, want := range map[string]Pattern{
		"2:4":   {N: 2, M: 4},
		" 1:2 ": {N: 1, M: 2},
		"4 : 8": {N: 4, M: 8},
		"31:32": {N: 31, M: 32},
		"0.5":   {Fraction: .5},
		"0":     {},
		"-0":    {},
		".29":   {Fraction: .29},
		"5e-1":  {Fraction: .5},
	} {
		if got, err := ParsePattern(s); err != nil || got != want || math.Signbit(got.Fraction) {
			t.Errorf("%q: %+v, %v; expected %+v", s, got, err, want)
		}
	}
	for s, hint := range map[string]string{
		"":      "such as 0.5",
		"half":  "such as 0.5",
		"2:":    "around the colon",
		"a:4":   "around the colon",
		"4:2":   `did you mean "2:4"`,
		"4:4":   "keep every weight",
		"0:4":   "0 < N < M",
		"-2:4":  "0 < N < M",
		"2:64":  "at most 32",
		"1":     "below 1",
		"1.5":   "write 0.015",
		"50":    "write 0.5",
		"-0.1":  "at least 0",
		"NaN":   "at least 0",
		"Inf":   "below 1",
		"2:4:8": "around the colon",
	} {
		_, err := ParsePattern(s)
		if !errors.Is(err, ErrPattern) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%q: error %v, expected a hint with %q", s, err, hint)
		}
	}
	if err := (Pattern{N: 2, M: 4, Fraction: .5}).Validate(); !errors.Is(err, ErrPattern) {
		t.Errorf("both kinds at once: %v", err)
	}
}

func FuzzParsePattern(f *testing.F) {
	for _, s := range []string{"2:4", "0.5", "-0", "4:2", "1e-300", "1:32", "0x1p-3", "::", "+1:+2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePattern(s)
		if err != nil {
			return
		}
		back, err := ParsePattern(p.String())
		if err != nil || back != p {
			t.Fatalf("%q: %+v became %+v (%v) by way of %q", s, p, back, err, p)
		}
	})
}

func TestCount(t *testing.T) {
	for _, c := range []struct {
		n    int
		f    float64
		want int
	}{
		{100, .29, 29}, {100, .57, 57}, {10, .3, 3}, {7, .5, 3}, {576, .5, 288}, {1, .999, 0},
		{0, .5, 0}, {1 << 30, .5, 1 << 29}, {1000, .0009, 0}, {3, 1. / 3, 1},
	} {
		if got := Count(c.n, c.f); got != c.want {
			t.Errorf("Count(%d, %v) = %d, expected %d", c.n, c.f, got, c.want)
		}
	}
}

func TestDropped(t *testing.T) {
	p := Pattern{N: 2, M: 4}
	// A tail of three keeps ceil(2·3/4) = 2.
	if got := p.Dropped(2, 11); got != 2*(11-(4+2)) {
		t.Errorf("2:4 of [2, 11] drops %d", got)
	}
	if !p.Divides(12) || p.Divides(11) || !(Pattern{Fraction: .5}).Divides(11) {
		t.Error("Divides")
	}
	if got := (Pattern{Fraction: .5}).Dropped(3, 7); got != 9 {
		t.Errorf("half of rows of 7 drops %d", got)
	}
}
