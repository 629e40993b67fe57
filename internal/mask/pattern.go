package mask

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MaxGroup is the largest M of an N:M pattern.
const MaxGroup = 32

// Pattern says how much of a matrix is pruned. The zero value prunes nothing.
//
// N:M keeps N of every M consecutive inputs of each row (2:4 is half); a last
// group of fewer than M columns keeps ceil(N·len/M). Otherwise Fraction, in
// [0, 1), is the part of the weights that is dropped.
type Pattern struct {
	N, M     int
	Fraction float64
}

// ErrPattern is wrapped by every error about a malformed or impossible pattern.
var ErrPattern = errors.New("bad sparsity")

// ParsePattern reads "N:M" or a number in [0, 1), as String writes them.
func ParsePattern(s string) (Pattern, error) {
	t := strings.TrimSpace(s)
	if n, m, ok := strings.Cut(t, ":"); ok {
		ni, errN := strconv.Atoi(strings.TrimSpace(n))
		mi, errM := strconv.Atoi(strings.TrimSpace(m))
		if errN != nil || errM != nil {
			return Pattern{}, fmt.Errorf("%w %q: expected two whole numbers around the colon, such as \"2:4\" (keep 2 of every 4)", ErrPattern, s)
		}
		p := Pattern{N: ni, M: mi}
		return p, p.Validate()
	}
	f, err := strconv.ParseFloat(t, 64)
	if err != nil {
		return Pattern{}, fmt.Errorf("%w %q: expected a fraction such as 0.5 or a pattern such as \"2:4\" (keep 2 of every 4)", ErrPattern, s)
	}
	if f == 0 {
		f = 0 // "-0" prunes nothing either
	}
	p := Pattern{Fraction: f}
	return p, p.Validate()
}

// Validate says what is wrong with p, or nil. ParsePattern's results are valid
// if it returned no error.
func (p Pattern) Validate() error {
	if p.N == 0 && p.M == 0 {
		switch {
		case p.Fraction > 1 && p.Fraction <= 100:
			return fmt.Errorf("%w %v: the fraction of weights to drop must be at least 0 and below 1; for %v %% write %v", ErrPattern, p.Fraction, p.Fraction, p.Fraction/100)
		case !(p.Fraction >= 0 && p.Fraction < 1): // also NaN
			return fmt.Errorf("%w %v: the fraction of weights to drop must be at least 0 and below 1 (1 would drop the whole matrix)", ErrPattern, p.Fraction)
		}
		return nil
	}
	if p.Fraction != 0 {
		return fmt.Errorf("%w: both %d:%d and the fraction %v are given; use one", ErrPattern, p.N, p.M, p.Fraction)
	}
	switch {
	case p.M > MaxGroup:
		return fmt.Errorf("%w \"%d:%d\": groups have at most %d columns", ErrPattern, p.N, p.M, MaxGroup)
	case p.N == p.M:
		return fmt.Errorf("%w \"%d:%d\": it would keep every weight; to prune nothing write 0", ErrPattern, p.N, p.M)
	case p.N > p.M && p.M > 0 && p.N <= MaxGroup:
		return fmt.Errorf("%w \"%d:%d\": N:M keeps N of every M, so N must be below M; did you mean \"%d:%d\"?", ErrPattern, p.N, p.M, p.M, p.N)
	case p.N <= 0 || p.M <= 0 || p.N > p.M:
		return fmt.Errorf("%w \"%d:%d\": N:M keeps N of every M weights, with 0 < N < M ≤ %d", ErrPattern, p.N, p.M, MaxGroup)
	}
	return nil
}

// IsNM reports whether p is an N:M pattern.
func (p Pattern) IsNM() bool { return p.M != 0 }

// IsZero reports whether p prunes nothing.
func (p Pattern) IsZero() bool { return p.M == 0 && p.Fraction == 0 }

// String returns what ParsePattern reads: "2:4" or "0.5".
func (p Pattern) String() string {
	if p.IsNM() {
		return strconv.Itoa(p.N) + ":" + strconv.Itoa(p.M)
	}
	return strconv.FormatFloat(p.Fraction, 'g', -1, 64)
}

// KeepIn returns how many of a group of n ≤ M columns an N:M pattern keeps:
// ceil(N·n/M).
func (p Pattern) KeepIn(n int) int { return (p.N*n + p.M - 1) / p.M }

// Dropped returns how many of the weights of a [rows, cols] matrix the pattern
// drops when it is applied to each row.
func (p Pattern) Dropped(rows, cols int) int {
	if !p.IsNM() {
		return rows * Count(cols, p.Fraction)
	}
	kept := cols / p.M * p.N
	if tail := cols % p.M; tail != 0 {
		kept += p.KeepIn(tail)
	}
	return rows * (cols - kept)
}

// Divides reports whether rows of cols weights are cut into whole groups.
func (p Pattern) Divides(cols int) bool { return !p.IsNM() || cols%p.M == 0 }

// Count returns floor(n·fraction), the number of weights that a fraction of n
// drops. A product within rounding of a whole number counts as that number: 0.29
// of 100 are 29 weights although 0.29·100 is 28.999999999999996 in floating
// point.
func Count(n int, fraction float64) int {
	x := float64(float64(n) * fraction) // rounded: no fused x − r below
	if r := math.RoundToEven(x); math.Abs(x-r) <= x*0x1p-50 {
		return int(r)
	}
	return int(math.Floor(x))
}
