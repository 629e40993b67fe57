package acceptance

import "slices"

// Median returns the middle one of measurements, of two the larger. It needs one at
// least, and leaves x as it is.
func Median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}
