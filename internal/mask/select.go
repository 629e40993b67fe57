package mask

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/compressc/compressc/internal/linalg/vmath"
)

// Score is the element type of a matrix of scores.
type Score interface{ ~float32 | ~float64 }

// ErrNaN is wrapped by the selection errors about a score that is not a number:
// such a score has no place in an order.
var ErrNaN = errors.New("score is not a number")

// Select applies p to scores [rows, cols], row by row: NM for an N:M pattern,
// Rows otherwise.
func Select[T Score](scores []T, rows, cols int, p Pattern) (*Mask, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if p.IsNM() {
		return NM(scores, rows, cols, p.N, p.M)
	}
	return Rows(scores, rows, cols, p.Fraction)
}

// Rows drops the Count(cols, fraction) smallest scores of every row; of equal
// scores the lower column goes first. It panics if scores has another length
// than rows·cols or the fraction is outside [0, 1].
func Rows[T Score](scores []T, rows, cols int, fraction float64) (*Mask, error) {
	checkLen("scores", len(scores), rows, cols)
	checkFraction(fraction)
	if err := checkNaN(scores, cols); err != nil {
		return nil, err
	}
	m := New(rows, cols)
	k := Count(cols, fraction)
	if k == 0 {
		return m, nil
	}
	scratch := make([]T, cols)
	for r := range rows {
		row := scores[r*cols : (r+1)*cols]
		dropRow(m.row(r), row, Smallest(row, scratch, k))
	}
	return m, nil
}

// Matrix drops the Count(rows·cols, fraction) smallest scores of the whole
// matrix; of equal scores the lower row, then the lower column goes first. It
// panics as Rows does.
func Matrix[T Score](scores []T, rows, cols int, fraction float64) (*Mask, error) {
	checkLen("scores", len(scores), rows, cols)
	checkFraction(fraction)
	if err := checkNaN(scores, cols); err != nil {
		return nil, err
	}
	m := New(rows, cols)
	k := Count(rows*cols, fraction)
	if k == 0 {
		return m, nil
	}
	cut := Smallest(scores, make([]T, len(scores)), k)
	for r := range rows {
		cut = dropRow(m.row(r), scores[r*cols:(r+1)*cols], cut)
	}
	return m, nil
}

// dropRow clears the bits of the scores that the cut takes, and returns what is
// left of it.
func dropRow[T Score](row []byte, scores []T, cut Cut[T]) Cut[T] {
	for c, s := range scores {
		row[c>>3] &^= bit(cut.Takes(s)) << (c & 7)
	}
	return cut
}

// NM keeps, in every row, the n largest scores of each group of m consecutive
// columns; of equal scores the lower column goes first. A last group of len < m
// columns keeps ceil(n·len/m). It panics unless 0 < n < m ≤ MaxGroup, or if
// scores has another length than rows·cols.
func NM[T Score](scores []T, rows, cols, n, m int) (*Mask, error) {
	checkLen("scores", len(scores), rows, cols)
	if !(0 < n && n < m && m <= MaxGroup) {
		panic(fmt.Sprintf("mask: pattern %d:%d", n, m))
	}
	mk := none(rows, cols)
	if s, ok := any(scores).([]float64); ok && n == 2 && m == 4 && cols%8 == 0 && vmath.TwoOfFour(mk.bits, s) {
		return mk, nil
	}
	if err := checkNaN(scores, cols); err != nil {
		return nil, err
	}
	p := Pattern{N: n, M: m}
	for r := range rows {
		row, bitsOf := scores[r*cols:(r+1)*cols], mk.row(r)
		for c := 0; c < cols; c += m {
			group := row[c:min(c+m, cols)]
			kept := uint64(KeepGroup(group, p.KeepIn(len(group)))) << (c & 7)
			for i := c >> 3; kept != 0; i, kept = i+1, kept>>8 {
				bitsOf[i] |= byte(kept)
			}
		}
	}
	return mk, nil
}

// KeepGroup returns a bit for each of the keep largest of at most 32 scores
// (bit i for scores[i]); of equal scores the lower index goes first, as it does in
// Rows and Matrix. The scores must be numbers.
func KeepGroup[T Score](scores []T, keep int) uint32 {
	if len(scores) == 4 && keep == 2 {
		return keep2of4(scores)
	}
	var kept uint32
	for i, s := range scores {
		rank := 0
		for _, t := range scores[:i] {
			if t > s {
				rank++
			}
		}
		for _, t := range scores[i+1:] {
			if t >= s {
				rank++
			}
		}
		if rank < keep {
			kept |= 1 << i
		}
	}
	return kept
}

// keep2of4 is KeepGroup for the pattern that everyone uses, without branches
// that depend on the data: each pair is compared once.
func keep2of4[T Score](s []T) uint32 {
	s = s[:4:4]
	a, b, c, d := s[0], s[1], s[2], s[3]
	ab, ac, ad := bit(a <= b), bit(a <= c), bit(a <= d)
	bc, bd, cd := bit(b <= c), bit(b <= d), bit(c <= d)
	ra := ab + ac + ad
	rb := 1 - ab + bc + bd
	rc := 2 - ac - bc + cd
	rd := 3 - ad - bd - cd
	return uint32(bit(ra < 2) | bit(rb < 2)<<1 | bit(rc < 2)<<2 | bit(rd < 2)<<3)
}

// Cut says which scores are the smallest: those below Limit, and the first Ties
// of those that equal it.
type Cut[T Score] struct {
	Limit T
	Ties  int
}

// Smallest returns the cut that takes the k smallest of scores, 0 ≤ k ≤
// len(scores), of equal ones those that come first. scratch must be as long as
// scores and is overwritten. Scores must be numbers.
func Smallest[T Score](scores, scratch []T, k int) Cut[T] {
	if len(scratch) != len(scores) || k < 0 || k > len(scores) {
		panic(fmt.Sprintf("mask: %d smallest of %d scores with scratch of %d", k, len(scores), len(scratch)))
	}
	if k == 0 {
		return Cut[T]{Limit: T(math.Inf(-1))}
	}
	if len(scores) >= histogramMin {
		return cutByHistogram(scores, scratch, k)
	}
	copy(scratch, scores)
	limit := kthSmallest(scratch, k-1)
	return Cut[T]{Limit: limit, Ties: k - below(scores, limit)}
}

// below returns how many scores are below limit.
func below[T Score](scores []T, limit T) int {
	n := 0
	for _, s := range scores {
		n += int(bit(s < limit))
	}
	return n
}

// Takes reports whether the cut takes the next score s. All scores must be asked
// for in their order.
func (c *Cut[T]) Takes(s T) bool {
	// Without branches: half of the scores are taken, unpredictably.
	tie := bit(s == c.Limit) & bit(c.Ties > 0)
	c.Ties -= int(tie)
	return bit(s < c.Limit)|tie != 0
}

func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// histogramMin is the number of scores from which counting them is faster than
// partitioning them: two passes without unpredictable branches.
const histogramMin = 1 << 13

// cutByHistogram is Smallest, k above 0: it counts the scores by sign, exponent and
// four bits of fraction, and searches the bucket that holds the last to go.
func cutByHistogram[T Score](scores, scratch []T, k int) Cut[T] {
	counts := make([]int32, 1<<16)
	for _, s := range scores {
		counts[bucket(s)]++
	}
	b := uint16(0)
	for k > int(counts[b]) {
		k -= int(counts[b])
		b++
	}
	n := 0
	for _, s := range scores {
		if bucket(s) == b {
			scratch[n] = s
			n++
		}
	}
	limit := kthSmallest(scratch[:n], k-1)
	return Cut[T]{Limit: limit, Ties: k - below(scratch[:n], limit)}
}

// bucket is monotone in s, and equal for both zeros.
func bucket[T Score](s T) uint16 {
	b := math.Float64bits(float64(s) + 0) // −0 + 0 is +0
	// All bits flipped for a negative score, else only the sign.
	return uint16((b ^ (uint64(int64(b)>>63) | 1<<63)) >> 48)
}

// kthSmallest returns the k-th smallest (from 0) of a, which it reorders.
// Quickselect with a median of three (of nine when long) and a three-way split,
// because scores of quantised weights have many ties; a run of bad pivots ends
// in a sort, so that no input is quadratic. The value does not depend on pivots.
func kthSmallest[T Score](a []T, k int) T {
	for budget := 2 * bits.Len(uint(len(a))); len(a) > 12; budget-- {
		if budget == 0 {
			break
		}
		pivot := choosePivot(a)
		lt, gt, i := 0, len(a), 0
		for i < gt {
			switch v := a[i]; {
			case v < pivot:
				a[i], a[lt] = a[lt], v
				lt++
				i++
			case v > pivot:
				gt--
				a[i], a[gt] = a[gt], v
			default:
				i++
			}
		}
		switch {
		case k < lt:
			a = a[:lt]
		case k >= gt:
			a, k = a[gt:], k-gt
		default:
			return pivot
		}
	}
	slices.Sort(a)
	return a[k]
}

func choosePivot[T Score](a []T) T {
	n := len(a)
	if n < 64 {
		return median(a[0], a[n/2], a[n-1])
	}
	s := n / 8
	return median(
		median(a[0], a[s], a[2*s]),
		median(a[n/2-s], a[n/2], a[n/2+s]),
		median(a[n-1-2*s], a[n-1-s], a[n-1]))
}

func median[T Score](a, b, c T) T {
	if a > b {
		a, b = b, a
	}
	if b > c {
		b = max(a, c)
	}
	return b
}

func checkFraction(f float64) {
	if !(f >= 0 && f <= 1) {
		panic(fmt.Sprintf("mask: fraction %v", f))
	}
}

func checkNaN[T Score](scores []T, cols int) error {
	for i, s := range scores {
		if s != s {
			return fmt.Errorf("mask: %w at [%d, %d]; check the weights and the calibration for overflow", ErrNaN, i/cols, i%cols)
		}
	}
	return nil
}
