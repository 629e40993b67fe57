package obs

import (
	"fmt"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
)

// Refine improves the result r of a Sweep with the factor f of the Hessian h on
// the weights w [out, f.N]. A sweep visits each column once, and the columns
// that it has passed cannot take up the errors of those behind them; Refine goes
// over all columns again, at most passes times, and moves every kept weight to
// where tr((W−Ŵ)(H+λI)(W−Ŵ)ᵀ) is smallest as long as all others stay: cyclic
// coordinate descent (Behdin et al. 2023, arXiv:2309.01885, for codes). A
// quantised weight moves to the best value of its grid, and before a group's
// codes its scale moves to the best scale for them, rounded to what can be
// stored; zero points stay. What is dropped stays dropped.
//
// A move is made only if it lowers the loss, so that no pass can raise it, but
// for the rounding of unquantised weights to float32; a pass without a move is
// the last. r.Loss follows. Of h the upper triangle is read. Rows are
// independent and results the same bits for any number of threads. It returns
// an error for weights that overflowed and panics on wrong shapes.
func Refine(p *linalg.Pool, f *Factor, h []float64, w []float32, out int, r *Result, passes int) error {
	if len(h) != f.N*f.N || len(w) != out*f.N || len(r.Weights) != len(w) {
		panic(fmt.Sprintf("obs: %d Hessian entries and %d weights to refine %d for [%d, %d]", len(h), len(w), len(r.Weights), out, f.N))
	}
	if passes < 0 {
		panic(fmt.Sprintf("obs: %d passes", passes))
	}
	if passes == 0 {
		return nil
	}
	s := newRefinement(p, f, h, w, out, r)
	defer s.give()
	for range passes {
		if !s.pass() {
			break
		}
	}
	for _, g := range s.gain {
		r.Loss -= g
	}
	if r.Quantized != nil {
		r.Quantized.Dequantize(r.Weights)
		return nil
	}
	p.For(s.tasks(), func(_, task int) {
		lo, hi := task*rowsPerTask*s.n, min((task+1)*rowsPerTask, out)*s.n
		for i := lo; i < hi; i++ {
			if s.free[i] {
				r.Weights[i] = float32(float64(w[i]) + s.d[i])
			}
		}
	})
	if err := grid.CheckFinite(r.Weights, s.n); err != nil {
		return fmt.Errorf("%w (%w); raise the damping", ErrNotFinite, err)
	}
	return nil
}

// refinement is the state of one Refine, in the natural order of columns, in
// which groups are together.
type refinement struct {
	p      *linalg.Pool
	out, n int
	q      *grid.Quantized // nil of unquantised weights
	h      []float64       // [n, n]: H+λI, both triangles; zero for dead inputs
	d      []float64       // [out, n]: Ŵ−W
	free   []bool          // [out, n]: neither dropped nor dead
	g      []float64       // [out, width]: half the loss's gradient d·h in a block
	width  int             // the largest number of columns of a block
	gain   []float64       // [out]: what a row's loss has fallen by
	moved  []bool          // [out]: whether the pass has changed the row
	bufs   []*linalg.Buffer[float64]
}

// give hands back what s works in.
func (s *refinement) give() {
	for _, b := range s.bufs {
		b.Give()
	}
}

func newRefinement(p *linalg.Pool, f *Factor, h []float64, w []float32, out int, r *Result) *refinement {
	n := f.N
	hBuf, dBuf := linalg.TakeBuffer[float64](n*n), linalg.TakeBuffer[float64](out*n)
	clear(hBuf.S)
	clear(dBuf.S)
	s := &refinement{
		p: p, out: out, n: n, q: r.Quantized,
		h:     hBuf.S,
		d:     dBuf.S,
		bufs:  []*linalg.Buffer[float64]{hBuf, dBuf},
		free:  make([]bool, out*n),
		gain:  make([]float64, out),
		moved: make([]bool, out),
		width: min(DefaultBlock, n),
	}
	if s.q != nil {
		// A block is made of whole groups, so that their scales can be refitted.
		_, size := s.q.Columns(0, n)
		s.width = min(max(DefaultBlock/size*size, size), n)
	}
	s.g = make([]float64, out*s.width)
	p.For(n, func(_, i int) {
		if f.Dead[i] {
			return
		}
		for j := range n {
			if !f.Dead[j] {
				s.h[i*n+j] = h[min(i, j)*n+max(i, j)]
			}
		}
		s.h[i*n+i] += f.Lambda
	})
	p.For(s.tasks(), func(_, task int) {
		for row := task * rowsPerTask; row < min((task+1)*rowsPerTask, out); row++ {
			free, d := s.free[row*n:(row+1)*n], s.d[row*n:(row+1)*n]
			for c := range free {
				free[c] = true
			}
			if r.Mask != nil {
				r.Mask.RowFlags(free, row)
			}
			for c, dead := range f.Dead {
				if dead {
					free[c] = false
					continue
				}
				d[c] = float64(r.Weights[row*n+c]) - float64(w[row*n+c])
			}
		}
	})
	return s
}

func (s *refinement) tasks() int { return (s.out + rowsPerTask - 1) / rowsPerTask }

// pass visits every column once and reports whether anything moved.
func (s *refinement) pass() bool {
	clear(s.moved)
	for i1 := 0; i1 < s.n; i1 += s.width {
		i2 := min(i1+s.width, s.n)
		s.p.Dgemm(false, false, s.out, i2-i1, s.n, 1, s.d, s.n, s.h[i1:], s.n, 0, s.g, s.width)
		s.p.For(s.tasks(), func(_, task int) {
			r1 := task * rowsPerTask
			s.runRows(i1, i2, r1, min(r1+rowsPerTask, s.out))
		})
	}
	for _, m := range s.moved {
		if m {
			return true
		}
	}
	return false
}

// runRows moves the block's weights of rows [r1, r2), group by group: the
// scales, then innerColumns of the codes at a time, then a product for the
// gradient in the rest of the block. Unquantised weights are one group.
func (s *refinement) runRows(i1, i2, r1, r2 int) {
	var steps [rowsPerTask * innerColumns]float64
	var scratch *linalg.Buffer[float64] // of the widest group, the first
	for lo := i1; lo < i2; {
		hi := i2
		if s.q != nil {
			_, hi = s.q.Columns(s.q.Group(lo), s.n)
			if scratch == nil {
				scratch = linalg.TakeBuffer[float64](3 * (r2 - r1) * (hi - lo))
				defer scratch.Give()
			}
			s.refit(i1, lo, hi, r1, r2, scratch.S)
		}
		for lo < hi {
			next := min(lo+innerColumns, hi)
			for r := r1; r < r2; r++ {
				s.move(i1, lo, next, r, steps[(r-r1)*innerColumns:][:next-lo])
			}
			if next < i2 {
				(*linalg.Pool)(nil).Dgemm(false, false, r2-r1, i2-next, next-lo, 1,
					steps[:], innerColumns, s.h[lo*s.n+next:], s.n, 1, s.g[r1*s.width+next-i1:], s.width)
			}
			lo = next
		}
	}
}

// move moves the weights of columns [a, b) of row r, in the block that begins
// at i1, and stores by how much.
func (s *refinement) move(i1, a, b, r int, steps []float64) {
	n := s.n
	g := s.g[r*s.width+a-i1 : r*s.width+b-i1]
	for k, ok := range s.free[r*n+a : r*n+b] {
		steps[k] = 0
		if !ok {
			continue
		}
		c := a + k
		h := s.h[c*n+c : c*n+b]
		t := -(g[k] / h[0])
		var code uint8
		if s.q != nil {
			grid, was := s.q.Rounder(r, s.q.Group(c)), s.q.Codes[r*n+c]
			v := grid.Value(was)
			var next float32
			if code, next = grid.Round(float32(float64(v) + t)); code == was {
				continue
			}
			t = float64(next) - float64(v)
		}
		change := float64(t * (float64(2*g[k]) + float64(h[0]*t)))
		if !(change < 0) {
			continue
		}
		if s.q != nil {
			s.q.Codes[r*n+c] = code
		}
		s.gain[r] -= change
		s.moved[r] = true
		s.d[r*n+c] += t
		steps[k] = t
		rest := g[k+1:]
		for i, v := range h[1:] {
			rest[i] += float64(t * v)
		}
	}
}

// refit moves the scales of the group of columns [lo, hi) in rows [r1, r2), in
// the block that begins at i1. scratch has room for three such groups.
func (s *refinement) refit(i1, lo, hi, r1, r2 int, scratch []float64) {
	n, b, m := s.n, hi-lo, r2-r1
	group := s.q.Group(lo)
	values, change, product := scratch[:m*b], scratch[m*b:2*m*b], scratch[2*m*b:3*m*b]
	times := func(x []float64) { // product = x·h of the group
		(*linalg.Pool)(nil).Dgemm(false, false, m, b, b, 1, x, b, s.h[lo*n+lo:], n, 0, product, b)
	}
	for r := r1; r < r2; r++ {
		grid := s.q.Rounder(r, group)
		for i, u := range s.q.Codes[r*n+lo : r*n+hi] {
			values[(r-r1)*b+i] = float64(grid.Value(u))
		}
	}
	times(values)
	var scales [rowsPerTask]float32 // what they were
	for r := r1; r < r2; r++ {
		v, hv, dv := values[(r-r1)*b:][:b], product[(r-r1)*b:][:b], change[(r-r1)*b:][:b]
		g := s.g[r*s.width+lo-i1:][:b]
		var slope, curve float64
		for i, x := range v {
			slope += float64(x * g[i])
			curve += float64(x * hv[i])
		}
		scale := s.q.Scale(r, group)
		scales[r-r1] = *scale
		if curve > 0 {
			*scale = s.q.Storable(float32(float64(*scale) * (1 - slope/curve)))
		}
		grid := s.q.Rounder(r, group)
		for i, u := range s.q.Codes[r*n+lo : r*n+hi] {
			dv[i] = float64(grid.Value(u)) - v[i]
		}
	}
	// The loss is that of the values as they are stored, so the change of scale
	// is judged by them too.
	times(change)
	for r := r1; r < r2; r++ {
		dv, hdv := change[(r-r1)*b:][:b], product[(r-r1)*b:][:b]
		g, d := s.g[r*s.width+lo-i1:][:b], s.d[r*n+lo:r*n+hi]
		sum := 0.0
		for i, x := range dv {
			sum += float64(x * (float64(2*g[i]) + hdv[i]))
		}
		if !(sum < 0) {
			*s.q.Scale(r, group) = scales[r-r1]
			clear(dv)
			continue
		}
		s.gain[r] -= sum
		s.moved[r] = true
		for i, x := range dv {
			d[i] += x
			g[i] += hdv[i]
		}
	}
	if rest := min(i1+s.width, n) - hi; rest > 0 {
		(*linalg.Pool)(nil).Dgemm(false, false, m, rest, b, 1, change, b, s.h[lo*n+hi:], n, 1, s.g[r1*s.width+hi-i1:], s.width)
	}
}
