// Package mask holds pruning masks and the rules that choose them.
//
// A Mask says for every weight of a linear layer [out, in] whether it is kept;
// what is not kept is dropped and stays exactly +0 from then on. A Pattern says
// how much may be kept: a fraction of the weights that is dropped, or N of every
// M consecutive inputs of a row that are kept. The selection functions (Rows,
// Matrix, NM) turn scores into masks; a score is larger for a weight that
// matters more. Counts are exact and ties are broken by position, so a mask is a
// function of its scores alone, on any machine and at any number of threads.
//
// The package knows nothing of models, statistics or files, and nothing of how
// the kept weights change.
package mask

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/compressc/compressc/internal/linalg/vmath"
)

// Mask is a bit per weight of a [rows, cols] matrix, 1 for kept. Bit c%8
// (least significant first) of byte r·stride + c/8 belongs to row r and column
// c, with stride = ceil(cols/8); the padding bits of a row's last byte are 0.
// This is the bit order of the sparse bitmasks of compressed-tensors.
//
// Reading is safe for concurrent use; so is writing to different rows.
type Mask struct {
	rows, cols, stride int
	bits               []byte
}

// New returns a mask of [rows, cols] that keeps everything. It panics on a
// negative size.
func New(rows, cols int) *Mask {
	m := none(rows, cols)
	for r := range rows {
		m.fillRow(r)
	}
	return m
}

// none returns a mask that drops everything.
func none(rows, cols int) *Mask {
	if rows < 0 || cols < 0 {
		panic(fmt.Sprintf("mask: negative shape [%d, %d]", rows, cols))
	}
	stride := (cols + 7) / 8
	return &Mask{rows: rows, cols: cols, stride: stride, bits: make([]byte, rows*stride)}
}

func (m *Mask) fillRow(r int) {
	row := m.row(r)
	for i := range row {
		row[i] = 0xff
	}
	if tail := m.cols % 8; tail != 0 {
		row[len(row)-1] = 1<<tail - 1
	}
}

// FromBytes returns the mask that Bytes wrote. It copies b.
func FromBytes(rows, cols int, b []byte) (*Mask, error) {
	if rows < 0 || cols < 0 {
		return nil, fmt.Errorf("mask: shape [%d, %d] is negative", rows, cols)
	}
	stride := cols/8 + min(cols%8, 1)
	// Compared by division: rows·stride may overflow for a hostile header.
	if whole := stride == 0 || rows == 0; whole && len(b) != 0 || !whole && (len(b)%stride != 0 || len(b)/stride != rows) {
		return nil, fmt.Errorf("mask: %d bytes for shape [%d, %d], expected %d rows of %d bytes", len(b), rows, cols, rows, stride)
	}
	m := &Mask{rows: rows, cols: cols, stride: stride, bits: slices.Clone(b)}
	if tail := cols % 8; tail != 0 {
		for r := range rows {
			if last := m.bits[(r+1)*stride-1]; last>>tail != 0 {
				return nil, fmt.Errorf("mask: row %d of [%d, %d] has padding bits set (last byte %#02x)", r, rows, cols, last)
			}
		}
	}
	return m, nil
}

// FromNonZero returns the mask that keeps the entries of w [rows, cols] that are
// not zero. It panics if w has another length.
func FromNonZero(w []float32, rows, cols int) *Mask {
	m := none(rows, cols)
	checkLen("weights", len(w), rows, cols)
	for r := range rows {
		row := m.row(r)
		for c, v := range w[r*cols : (r+1)*cols] {
			if v != 0 {
				row[c>>3] |= 1 << (c & 7)
			}
		}
	}
	return m
}

// Shape returns rows and columns.
func (m *Mask) Shape() (rows, cols int) { return m.rows, m.cols }

// Bytes returns the bits in storage order. The slice is the mask's own memory:
// do not change it.
func (m *Mask) Bytes() []byte { return m.bits }

func (m *Mask) row(r int) []byte { return m.bits[r*m.stride : (r+1)*m.stride] }

// Keep reports whether the weight at row r and column c is kept. It panics
// outside the shape.
func (m *Mask) Keep(r, c int) bool {
	m.check(r, c)
	return m.bits[r*m.stride+c>>3]>>(c&7)&1 == 1
}

// Set makes the weight at row r and column c kept or dropped. It panics outside
// the shape. Two goroutines may set at the same time only in different rows.
func (m *Mask) Set(r, c int, keep bool) {
	m.check(r, c)
	b := &m.bits[r*m.stride+c>>3]
	if keep {
		*b |= 1 << (c & 7)
	} else {
		*b &^= 1 << (c & 7)
	}
}

func (m *Mask) check(r, c int) {
	if uint(r) >= uint(m.rows) || uint(c) >= uint(m.cols) {
		panic(fmt.Sprintf("mask: index [%d, %d] outside [%d, %d]", r, c, m.rows, m.cols))
	}
}

// Apply writes +0 to every dropped entry of w [rows, cols]. It panics if w has
// another length.
func (m *Mask) Apply(w []float32) {
	checkLen("weights", len(w), m.rows, m.cols)
	for r := range m.rows {
		row := w[r*m.cols : (r+1)*m.cols]
		vmath.Only(row, row, m.row(r))
	}
}

// ApplyRow sets dst to x, which is row r of weights, with +0 for what is dropped.
func (m *Mask) ApplyRow(dst, x []float32, r int) {
	if len(x) != m.cols || uint(r) >= uint(m.rows) {
		panic(fmt.Sprintf("mask: row %d of %d weights for a mask [%d, %d]", r, len(x), m.rows, m.cols))
	}
	vmath.Only(dst, x, m.row(r))
}

// CountKept returns the number of kept weights.
func (m *Mask) CountKept() int {
	n := 0
	for _, b := range m.bits {
		n += bits.OnesCount8(b)
	}
	return n
}

// Sparsity returns the fraction of weights that are dropped, 0 for an empty
// mask.
func (m *Mask) Sparsity() float64 {
	all := m.rows * m.cols
	if all == 0 {
		return 0
	}
	return float64(all-m.CountKept()) / float64(all)
}

// Equal reports whether both masks have the same shape and keep the same
// weights.
func (m *Mask) Equal(o *Mask) bool {
	return m.rows == o.rows && m.cols == o.cols && slices.Equal(m.bits, o.bits)
}

// Clone returns a copy that shares no memory.
func (m *Mask) Clone() *Mask {
	c := *m
	c.bits = slices.Clone(m.bits)
	return &c
}

// ErrShape is wrapped by the errors about two masks of different shapes.
var ErrShape = errors.New("mask shapes differ")

// And returns the mask that keeps what both keep.
func (m *Mask) And(o *Mask) (*Mask, error) {
	if m.rows != o.rows || m.cols != o.cols {
		return nil, fmt.Errorf("mask: [%d, %d] and [%d, %d]: %w", m.rows, m.cols, o.rows, o.cols, ErrShape)
	}
	c := m.Clone()
	for i, b := range o.bits {
		c.bits[i] &= b
	}
	return c, nil
}

// Violation returns the first group that breaks the pattern: a group of M
// consecutive columns that keeps more than its share. ok is false if the mask
// satisfies the pattern. A Fraction pattern is never broken: it constrains how
// many weights are dropped, not which.
func (m *Mask) Violation(p Pattern) (row, col int, ok bool) {
	if !p.IsNM() {
		return 0, 0, false
	}
	for r := range m.rows {
		bitsOf := m.row(r)
		for c := 0; c < m.cols; c += p.M {
			end, kept := min(c+p.M, m.cols), 0
			for j := c; j < end; j++ {
				kept += int(bitsOf[j>>3] >> (j & 7) & 1)
			}
			if kept > p.KeepIn(end-c) {
				return r, c, true
			}
		}
	}
	return 0, 0, false
}

func checkLen(what string, got, rows, cols int) {
	if got != rows*cols {
		panic(fmt.Sprintf("mask: %d %s for shape [%d, %d]", got, what, rows, cols))
	}
}
