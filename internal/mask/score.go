package mask

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/linalg/vmath"
)

// Magnitude returns |w|, the scores of magnitude pruning.
func Magnitude(w []float32) []float32 {
	s := make([]float32, len(w))
	for i, v := range w {
		s[i] = float32(math.Abs(float64(v)))
	}
	return s
}

// Wanda sets dst, or a new slice if that is nil, to |w_ij|·norms_j for w [rows, cols]
// and returns it: the scores of Sun et al. 2023 (arXiv:2306.11695). norms holds a value
// per column: the 2-norm of that input over the calibration tokens, up to one common
// positive factor; see Norms. The products are float64 so that rounding makes no ties.
func Wanda(dst []float64, w []float32, rows, cols int, norms []float64) []float64 {
	checkLen("weights", len(w), rows, cols)
	if len(norms) != cols {
		panic(fmt.Sprintf("mask: %d norms for %d columns", len(norms), cols))
	}
	if dst == nil {
		dst = make([]float64, len(w))
	}
	checkLen("scores", len(dst), rows, cols)
	for r := range rows {
		vmath.Scores(dst[r*cols:(r+1)*cols], w[r*cols:(r+1)*cols], norms)
	}
	return dst
}

// Norms returns the square roots of sums of squares, such as the diagonal of a
// Gram matrix: the norms that Wanda asks for. It returns an error for a sum that
// is negative or not finite, naming the column.
func Norms(sumSquares []float64) ([]float64, error) {
	n := make([]float64, len(sumSquares))
	for c, v := range sumSquares {
		if !(v >= 0) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("mask: sum of squares of input %d is %v: expected a finite value of at least 0; check the calibration for overflow", c, v)
		}
		n[c] = math.Sqrt(v)
	}
	return n, nil
}
