package mask

import "fmt"

// ColumnRows is how many rows a column's bits can hold.
const ColumnRows = 64

// ColumnBits sets dst, of length cols, to what is kept of rows [r, r+rows), by
// column: bit i of dst[c] belongs to row r+i. It panics if there are more than
// ColumnRows rows, or some outside the shape.
func (m *Mask) ColumnBits(dst []uint64, r, rows int) {
	m.checkColumns(len(dst), r, rows)
	clear(dst)
	for i := 0; i < rows; i += 8 {
		for j := range m.stride {
			x := uint64(0)
			for k := range min(8, rows-i) {
				x |= uint64(m.bits[(r+i+k)*m.stride+j]) << (8 * k)
			}
			x = transpose8(x)
			for c := 8 * j; c < min(8*j+8, m.cols); c++ {
				dst[c] |= x & 0xff << i
				x >>= 8
			}
		}
	}
}

// SetColumnBits makes rows [r, r+rows) what ColumnBits has returned. Rows that lie in
// no common call may be set at the same time.
func (m *Mask) SetColumnBits(r, rows int, src []uint64) {
	m.checkColumns(len(src), r, rows)
	for i := 0; i < rows; i += 8 {
		for j := range m.stride {
			x := uint64(0)
			for k, v := range src[8*j : min(8*j+8, m.cols)] {
				x |= v >> i & 0xff << (8 * k)
			}
			x = transpose8(x)
			for k := range min(8, rows-i) {
				m.bits[(r+i+k)*m.stride+j] = byte(x >> (8 * k))
			}
		}
	}
}

func (m *Mask) checkColumns(n, r, rows int) {
	if n != m.cols || r < 0 || rows < 0 || rows > ColumnRows || r+rows > m.rows {
		panic(fmt.Sprintf("mask: rows [%d, %d) and %d columns of a mask [%d, %d]", r, r+rows, n, m.rows, m.cols))
	}
}

// transpose8 transposes a matrix of 8 by 8 bits, a byte a row.
func transpose8(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}
