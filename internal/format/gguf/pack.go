package gguf

import (
	"encoding/binary"
	"fmt"

	"github.com/compressc/compressc/internal/format/half"
)

// Codes is a matrix of integer codes with its scales, w = scale·(code − zero),
// as a quantiser left it. The packers below carry it into blocks without
// touching a code: a group of GroupSize columns becomes GroupSize/32 blocks
// that repeat its scale.
type Codes struct {
	// Cols is the length of a row, a multiple of 32.
	Cols int
	// GroupSize is the columns that share a scale: a multiple of 32, or at
	// least Cols for one scale a row. The last group of a row may be shorter.
	GroupSize int
	// Values are the codes row by row, unsigned.
	Values []uint8
	// Scales are F16 bit patterns, row by row, one a group.
	Scales []uint16
	// Zero is the zero point of every group; Zeros, when not nil, has one for
	// each scale instead.
	Zero  uint8
	Zeros []uint8
}

func (c *Codes) groups() int {
	g := min(c.GroupSize, c.Cols)
	return (c.Cols + g - 1) / g
}

// check returns the blocks of all rows together.
func (c *Codes) check(encoding string, dst []byte) (blocks int, err error) {
	_, size, _ := BlockSize(encoding)
	switch {
	case c.Cols <= 0 || c.Cols%32 != 0:
		return 0, fmt.Errorf("%s: rows of %d columns, expected a multiple of 32", encoding, c.Cols)
	case c.GroupSize <= 0 || c.GroupSize < c.Cols && c.GroupSize%32 != 0:
		return 0, fmt.Errorf("%s: group size %d, expected a multiple of 32: smaller groups do not fit a block", encoding, c.GroupSize)
	case len(c.Values)%c.Cols != 0:
		return 0, fmt.Errorf("%s: %d codes are not whole rows of %d", encoding, len(c.Values), c.Cols)
	}
	rows := len(c.Values) / c.Cols
	if want := rows * c.groups(); len(c.Scales) != want || c.Zeros != nil && len(c.Zeros) != want {
		return 0, fmt.Errorf("%s: %d scales and %d zero points, expected %d for %d rows", encoding, len(c.Scales), len(c.Zeros), want, rows)
	}
	blocks = len(c.Values) / 32
	if len(dst) != blocks*size {
		return 0, fmt.Errorf("%s: destination of %d bytes, expected %d", encoding, len(dst), blocks*size)
	}
	for i, s := range c.Scales {
		if s&0x7c00 == 0x7c00 {
			return 0, fmt.Errorf("%s: scale %d is %v, expected a finite number", encoding, i, half.FromF16(s))
		}
	}
	return blocks, nil
}

// group returns the index into Scales of block i.
func (c *Codes) group(i int) int {
	perRow := c.Cols / 32
	row, col := i/perRow, i%perRow*32
	return row*c.groups() + col/min(c.GroupSize, c.Cols)
}

func (c *Codes) zero(group int) int {
	if c.Zeros != nil {
		return int(c.Zeros[group])
	}
	return int(c.Zero)
}

// shifted fills q with code + bias − zero of block i, and fails when one lies
// outside [0, top].
func (c *Codes) shifted(encoding string, q *[32]uint8, i, bias, top int) error {
	shift := bias - c.zero(c.group(i))
	for j, v := range c.Values[32*i:][:32] {
		u := int(v) + shift
		if u < 0 || u > top {
			return fmt.Errorf("%s: code %d with zero point %d at row %d, column %d is outside the %d values of the block: choose a wider encoding",
				encoding, v, c.zero(c.group(i)), 32*i/c.Cols, 32*i%c.Cols+j, top+1)
		}
		q[j] = uint8(u)
	}
	return nil
}

func packNibbles(dst []byte, q *[32]uint8) {
	for j := range 16 {
		dst[j] = q[j] | q[j+16]<<4
	}
}

// PackQ4_0 carries codes with −8 ≤ code − zero ≤ 7, such as symmetric 4-bit
// or 3-bit ones, into Q4_0, exactly.
func PackQ4_0(dst []byte, c *Codes) error {
	blocks, err := c.check("q4_0", dst)
	if err != nil {
		return err
	}
	var q [32]uint8
	for i := range blocks {
		if err := c.shifted("q4_0", &q, i, 8, 15); err != nil {
			return err
		}
		b := dst[18*i:][:18]
		binary.LittleEndian.PutUint16(b, c.Scales[c.group(i)])
		packNibbles(b[2:], &q)
	}
	return nil
}

// PackQ5_0 carries codes with −16 ≤ code − zero ≤ 15 into Q5_0, exactly.
func PackQ5_0(dst []byte, c *Codes) error {
	blocks, err := c.check("q5_0", dst)
	if err != nil {
		return err
	}
	var q [32]uint8
	for i := range blocks {
		if err := c.shifted("q5_0", &q, i, 16, 31); err != nil {
			return err
		}
		b := dst[22*i:][:22]
		binary.LittleEndian.PutUint16(b, c.Scales[c.group(i)])
		packQ5(b[2:], &q)
	}
	return nil
}

// PackQ8_0 carries codes with −128 ≤ code − zero ≤ 127 into Q8_0, exactly.
// Every integer code of up to 7 bits and any zero point is such a code.
func PackQ8_0(dst []byte, c *Codes) error {
	blocks, err := c.check("q8_0", dst)
	if err != nil {
		return err
	}
	var q [32]uint8
	for i := range blocks {
		if err := c.shifted("q8_0", &q, i, 128, 255); err != nil {
			return err
		}
		b := dst[34*i:][:34]
		binary.LittleEndian.PutUint16(b, c.Scales[c.group(i)])
		for j, u := range q {
			b[2+j] = u - 128 // wraps to the two's complement of the signed code
		}
	}
	return nil
}

// PackQ4_1 carries unsigned 4-bit codes with any zero point into Q4_1: d is
// the scale, m = −scale·zero rounded to F16. It returns how many groups have an
// m that F16 cannot hold exactly; their weights move by the rounding of m, at
// most 2^-11 of its magnitude, and their zeros are no longer exactly zero.
func PackQ4_1(dst []byte, c *Codes) (inexact int, err error) {
	return c.packAffine("q4_1", dst, 15, packNibbles)
}

// PackQ5_1 is PackQ4_1 for unsigned 5-bit codes and Q5_1.
func PackQ5_1(dst []byte, c *Codes) (inexact int, err error) {
	return c.packAffine("q5_1", dst, 31, packQ5)
}

func (c *Codes) packAffine(encoding string, dst []byte, top int, pack func([]byte, *[32]uint8)) (inexact int, err error) {
	blocks, err := c.check(encoding, dst)
	if err != nil {
		return 0, err
	}
	_, size, _ := BlockSize(encoding)
	last := -1
	for i := range blocks {
		group := c.group(i)
		q := (*[32]uint8)(c.Values[32*i:])
		for j, v := range q {
			if int(v) > top {
				return 0, fmt.Errorf("%s: code %d at row %d, column %d, expected at most %d", encoding, v, 32*i/c.Cols, 32*i%c.Cols+j, top)
			}
		}
		b := dst[size*i:][:size]
		if c.zero(group) > top {
			return 0, fmt.Errorf("%s: zero point %d of group %d, expected at most %d", encoding, c.zero(group), group, top)
		}
		m := -(half.FromF16(c.Scales[group]) * small[c.zero(group)]) // exact: 11 and 5 bits
		binary.LittleEndian.PutUint16(b, c.Scales[group])
		if !putF16(b[2:], m) {
			return 0, fmt.Errorf("%s: minimum %v of group %d does not fit F16", encoding, m, group)
		}
		if group != last && half.FromF16(half.ToF16(m)) != m {
			inexact++
		}
		last = group
		pack(b[4:], q)
	}
	return inexact, nil
}
