// Package grid rounds weights of a linear layer [out, in] to integer grids.
//
// A row is cut into groups of GroupSize consecutive columns; each group has its
// grid: a scale s > 0 and a zero point z. A weight becomes a code u in
// [0, 2^bits−1] and reads back as s·(u−z), one float32 product. Zero lies on
// every grid, so a pruned weight can stay exactly zero: its code is z. A
// symmetric grid has z = 2^(bits−1); its codes reach one step further down than
// up, and its scale is max|w| / ((2^bits−1)/2), the convention of
// compressed-tensors. Rounding is to nearest, ties to even, on the float32
// quotient w/s.
//
// The package holds the grids, the codes and round-to-nearest; which value is
// rounded when is the business of its callers. It knows no file format.
package grid

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ScaleDType is how a scale is stored. A scale is rounded to it before any code
// is chosen, so that the codes are the best ones for what a reader will see.
type ScaleDType string

// The scale types. The zero value of ScaleDType means F32.
const (
	F32 ScaleDType = "f32"
	F16 ScaleDType = "f16"
)

// RowGroup, as a group size, makes each whole row one group.
const RowGroup = -1

// Spec says what grids a matrix gets.
type Spec struct {
	// Bits of a code, 2 to 8.
	Bits int
	// GroupSize is the number of consecutive columns that share a grid, or
	// RowGroup.
	GroupSize int
	// Symmetric grids have their zero point in the middle of the codes.
	Symmetric bool
	// ScaleDType is F32 if empty.
	ScaleDType ScaleDType
	// MSE searches, per group, 80 shrunken ranges for the one with the smallest
	// Σ|error|^2.4 instead of covering all weights (Frantar et al. 2022,
	// arXiv:2210.17323, in its published code). About 50 times slower.
	MSE bool
	// PartialGroup allows a last group that is shorter than the others.
	PartialGroup bool
}

// ErrSpec is wrapped by the errors about an impossible Spec.
var ErrSpec = errors.New("bad quantisation grid")

// Validate says what is wrong with s for rows of in weights, or nil. If the
// group size does not divide in, the error names sizes that do.
func (s Spec) Validate(in int) error {
	switch {
	case s.Bits < 2 || s.Bits > 8:
		return fmt.Errorf("%w: %d bits; expected 2 to 8", ErrSpec, s.Bits)
	case s.ScaleDType != "" && s.ScaleDType != F32 && s.ScaleDType != F16:
		return fmt.Errorf("%w: scale type %q; expected %q or %q", ErrSpec, string(s.ScaleDType), string(F32), string(F16))
	case in < 1:
		return fmt.Errorf("%w: rows of %d weights", ErrSpec, in)
	case s.GroupSize == RowGroup:
		return nil
	case s.GroupSize < 1:
		return fmt.Errorf("%w: group size %d; expected a positive size, or %d for whole rows", ErrSpec, s.GroupSize, RowGroup)
	case in%s.GroupSize != 0 && !s.PartialGroup:
		return fmt.Errorf("%w: group size %d does not divide the %d inputs of a row; sizes that do: %s (or allow a shorter last group)",
			ErrSpec, s.GroupSize, in, divisors(in))
	}
	return nil
}

// divisors lists the usual group sizes that divide in, or -1 alone.
func divisors(in int) string {
	var list []string
	for _, d := range []int{16, 32, 48, 64, 96, 128, 192, 256, 512} {
		if d <= in && in%d == 0 {
			list = append(list, strconv.Itoa(d))
		}
	}
	return strings.Join(append(list, strconv.Itoa(RowGroup)), ", ")
}

// Groups returns the number of groups of a row of in weights.
func (s Spec) Groups(in int) int {
	if s.GroupSize == RowGroup || s.GroupSize >= in {
		return 1
	}
	return (in + s.GroupSize - 1) / s.GroupSize
}

// Group returns the group of column c.
func (s Spec) Group(c int) int {
	if s.GroupSize == RowGroup {
		return 0
	}
	return c / s.GroupSize
}

// Columns returns the columns [lo, hi) of group g of a row of in weights.
func (s Spec) Columns(g, in int) (lo, hi int) {
	if s.GroupSize == RowGroup {
		return 0, in
	}
	return g * s.GroupSize, min((g+1)*s.GroupSize, in)
}

// MaxCode returns 2^Bits − 1.
func (s Spec) MaxCode() int { return 1<<s.Bits - 1 }

// ScaleBits returns the bits of a stored scale.
func (s Spec) ScaleBits() int {
	if s.ScaleDType == F16 {
		return 16
	}
	return 32
}

// StorageBits returns the bits that codes, scales and, on asymmetric grids, zero
// points (of Bits each) of a matrix [out, in] take, packed without padding.
func (s Spec) StorageBits(out, in int) int64 {
	perGroup := s.ScaleBits()
	if !s.Symmetric {
		perGroup += s.Bits
	}
	return int64(out) * (int64(in)*int64(s.Bits) + int64(s.Groups(in))*int64(perGroup))
}

// BitsPerWeight returns StorageBits divided by the number of weights.
func (s Spec) BitsPerWeight(out, in int) float64 {
	return float64(s.StorageBits(out, in)) / (float64(out) * float64(in))
}
