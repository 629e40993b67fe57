package obs

import (
	"fmt"

	"github.com/compressc/compressc/internal/linalg"
)

// groupBlock is how many columns are worked off before the rest of the matrix is
// updated by one product.
const groupBlock = 128

// Chooser sets t, the targets of some neighbouring rows in one column, to the
// values that are to stand for them.
type Chooser func(column int, t []float64)

// SweepGroups visits the columns of w [out, f.N] in the factor's order. In each,
// groups of neighbouring rows get the values that are chosen for their targets,
// and the error is passed on to the columns not yet visited, as in Sweep; what
// was chosen is written to w. Without a factor nothing is passed on, and the
// columns are visited in their order.
//
// Rows are worked off in chunks of a multiple of group rows, each from the first
// column to the last by one Chooser, which begin makes for rows [r, r+rows); the
// last chunk of a matrix may be shorter. Chunks are worked off in any order and
// at once, so Choosers must not share what they write. Bits do not depend on how
// many at once.
func SweepGroups(p *linalg.Pool, f *Factor, w []float32, out, in, group int, begin func(r, rows int) Chooser) {
	if len(w) != out*in || group < 1 || f != nil && f.N != in {
		panic(fmt.Sprintf("obs: %d weights for [%d, %d] in groups of %d", len(w), out, in, group))
	}
	rows := roundUp(64, group)
	p.For((out+rows-1)/rows, func(_, task int) {
		r := task * rows
		n := min(rows, out-r)
		choose := begin(r, n)
		if f == nil {
			chooseColumns(w[r*in:(r+n)*in], n, in, choose)
		} else {
			f.sweepRows(w[r*in:(r+n)*in], n, choose)
		}
	})
}

func chooseColumns(w []float32, rows, in int, choose Chooser) {
	t := make([]float64, rows)
	for c := range in {
		for i := range t {
			t[i] = float64(w[i*in+c])
		}
		choose(c, t)
		for i, v := range t {
			w[i*in+c] = float32(v)
		}
	}
}

// sweepRows is the sweep over the columns for a few rows [rows, N].
func (f *Factor) sweepRows(out []float32, rows int, choose Chooser) {
	n := f.N
	w := make([]float64, rows*n) // by step
	for i := range rows {
		for s := range n {
			if c := f.Column(s); !f.Dead[c] {
				w[i*n+s] = float64(out[i*n+c])
			}
		}
	}
	e := make([]float64, rows*groupBlock)
	t := make([]float64, rows)
	for s1 := 0; s1 < n; s1 += groupBlock {
		s2 := min(n, s1+groupBlock)
		for s := s1; s < s2; s++ {
			c := f.Column(s)
			for i := range t {
				t[i] = w[i*n+s]
			}
			choose(c, t)
			u := f.u[s*n : (s+1)*n]
			for i, q := range t {
				d := (w[i*n+s] - q) / u[s]
				e[i*groupBlock+s-s1] = d
				out[i*n+c] = float32(q)
				row, us := w[i*n+s+1:i*n+s2], u[s+1:s2]
				for j := range row {
					row[j] -= float64(d * us[j])
				}
			}
		}
		if s2 < n {
			(*linalg.Pool)(nil).Dgemm(false, false, rows, n-s2, s2-s1, -1, e, groupBlock, f.u[s1*n+s2:], n, 1, w[s2:], n)
		}
	}
}
