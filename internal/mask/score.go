package mask

import (
	"fmt"
	"math"
)

// Magnitude returns |w|, the scores of magnitude pruning.
func Magnitude(w []float32) []float32 {
	s := make([]float32, len(w))
	for i, v := range w {
		s[i] = float32(math.Abs(float64(v)))
	}
	return s
}

// Wanda returns |w_ij|·norms_j for w [rows, cols]: the scores of Sun et al.
// 2023 (arXiv:2306.11695). norms holds a value per column: the 2-norm of that
// input over the calibration tokens, up to one common positive factor; see
// Norms. The products are float64 so that rounding makes no ties.
func Wanda(w []float32, rows, cols int, norms []float64) []float64 {
	checkLen("weights", len(w), rows, cols)
	if len(norms) != cols {
		panic(fmt.Sprintf("mask: %d norms for %d columns", len(norms), cols))
	}
	s := make([]float64, len(w))
	for r := range rows {
		dst := s[r*cols : (r+1)*cols]
		for c, v := range w[r*cols : (r+1)*cols] {
			dst[c] = math.Abs(float64(v)) * norms[c]
		}
	}
	return s
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
