package obs

import (
	"errors"
	"fmt"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/internal/mask"
)

// Result is a layer after a Sweep.
type Result struct {
	// Weights [out, in] in the natural order of columns; of a quantised layer,
	// what the codes read back as.
	Weights []float32
	// Mask of the weights kept: Options.Mask itself, or the one chosen, or nil.
	Mask *mask.Mask
	// Quantized is nil without a grid. Dropped weights have their zero point as
	// code.
	Quantized *grid.Quantized
	// Loss is tr((W−Ŵ)(H+λI)(W−Ŵ)ᵀ) in real arithmetic, as it adds up during the
	// sweep: rounding the result to float32 is not part of it. Weights of dead
	// inputs count as zero in W.
	Loss float64
}

// ErrNotFinite is wrapped by the error about a sweep whose weights overflowed.
var ErrNotFinite = errors.New("weights are not finite after the sweep")

// Sweep visits the columns of w [out, f.N] once and freezes them one by one. It
// reads w only. It returns an error for contradictory options, for a grid that
// does not fit the shape, and for weights that are not finite; it panics if w or
// Options.Mask have another shape.
func Sweep(p *linalg.Pool, f *Factor, w []float32, out int, o Options) (*Result, error) {
	if out < 1 || len(w) != out*f.N {
		panic(fmt.Sprintf("obs: %d weights for [%d, %d]", len(w), out, f.N))
	}
	if err := o.validate(f, out); err != nil {
		return nil, err
	}
	if err := grid.CheckFinite(w, f.N); err != nil {
		return nil, fmt.Errorf("before the sweep: %w", err)
	}
	s, err := newSweep(p, f, w, out, o)
	if err != nil {
		return nil, err
	}
	defer s.give()
	for i1 := 0; i1 < f.N; {
		i2 := s.blockEnd(i1)
		s.runBlock(i1, i2)
		i1 = i2
	}
	for _, l := range s.rowLoss {
		s.res.Loss += l
	}
	if err := grid.CheckFinite(s.res.Weights, f.N); err != nil {
		return nil, fmt.Errorf("%w (%w); raise the damping", ErrNotFinite, err)
	}
	return s.res, nil
}

// sweep is the state of one Sweep. "Step" is a position in the order of visit.
type sweep struct {
	p       *linalg.Pool
	f       *Factor
	out, n  int
	o       Options
	block   int
	inner   int
	res     *Result
	rowLoss []float64

	w    []float64 // [out, n] by step: the working weights
	e    []float64 // [out, block]: the current block's errors w−q over u_jj
	invU []float64 // 1/u_jj by step
	bufs []*linalg.Buffer[float64]

	column []int // by step
	group  []int // grid group by step
	groups int
	panels []vmath.Panel // one a worker
	// drop [out, block] marks the current block's dropped weights, nil if
	// nothing is ever dropped.
	drop    []bool
	scores  []float64 // [out, block], for a fractional pattern
	scratch []float64
}

// give hands back what s works in.
func (s *sweep) give() {
	for _, b := range s.bufs {
		b.Give()
	}
}

// innerColumns is how many columns are worked off one at a time before the rest
// of the block is updated by a matrix product.
const innerColumns = 16

func newSweep(p *linalg.Pool, f *Factor, w []float32, out int, o Options) (*sweep, error) {
	n := f.N
	s := &sweep{
		p: p, f: f, out: out, n: n, o: o,
		block:   min(o.block(), n),
		inner:   innerColumns,
		res:     &Result{Weights: make([]float32, out*n), Mask: o.Mask},
		rowLoss: make([]float64, out),
		invU:    make([]float64, n),
		column:  make([]int, n),
		panels:  make([]vmath.Panel, p.Threads()),
	}
	if o.Pattern.IsNM() {
		s.inner = roundUp(innerColumns, o.Pattern.M)
	}
	wBuf, eBuf := linalg.TakeBuffer[float64](out*n), linalg.TakeBuffer[float64](out*s.block)
	s.w, s.e, s.bufs = wBuf.S, eBuf.S, []*linalg.Buffer[float64]{wBuf, eBuf}
	for i := range n {
		s.invU[i] = 1 / f.u[i*n+i]
		s.column[i] = f.Column(i)
	}
	p.For(s.tasks(), func(_, task int) {
		for r := task * rowsPerTask; r < min((task+1)*rowsPerTask, out); r++ {
			src, dst := w[r*n:(r+1)*n], s.w[r*n:(r+1)*n]
			for i, c := range s.column {
				dst[i] = float64(src[c])
				if f.Dead[c] {
					dst[i] = 0
				}
			}
		}
	})
	if !o.Pattern.IsZero() {
		s.res.Mask = mask.New(out, n)
		if !o.Pattern.IsNM() {
			s.scores = make([]float64, out*s.block)
			s.scratch = make([]float64, out*s.block)
		}
	}
	if s.res.Mask != nil {
		s.drop = make([]bool, out*s.block)
	}
	if o.Grid != nil {
		if err := s.fitGrids(w); err != nil {
			s.give()
			return nil, err
		}
	}
	return s, nil
}

func (s *sweep) fitGrids(w []float32) error {
	q, err := grid.New(*s.o.Grid, s.out, s.n)
	if err != nil {
		return err
	}
	s.res.Quantized = q
	s.group = make([]int, s.n)
	for i, c := range s.column {
		s.group[i] = q.Group(c)
	}
	s.groups = q.Groups(s.n)
	for i := range s.panels {
		s.panels[i].Top = float32(q.MaxCode())
	}
	if s.o.LiveGrids {
		return nil
	}
	live := s.o.Mask
	for c, dead := range s.f.Dead {
		if !dead {
			continue
		}
		if live == s.o.Mask { // copied at the first dead input
			live = mask.New(s.out, s.n)
			if s.o.Mask != nil {
				live = s.o.Mask.Clone()
			}
		}
		for r := range s.out {
			live.Set(r, c, false)
		}
	}
	q.FitAll(s.p, w, live)
	return nil
}

// blockEnd returns the end of the block that begins at step i. With live grids a
// block also ends where a group begins, so that a new group's weights have taken
// up the errors of all columns before it.
func (s *sweep) blockEnd(i int) int {
	end := min(i+s.block, s.n)
	if s.o.LiveGrids {
		_, hi := s.o.Grid.Columns(s.group[i], s.n)
		end = min(end, hi)
	}
	return end
}

// rowsPerTask is the number of rows of a parallel task: enough for the small
// matrix products inside a block, few enough for the working set to stay near, whole
// panels.
const rowsPerTask = 32

func (s *sweep) tasks() int { return (s.out + rowsPerTask - 1) / rowsPerTask }

// runBlock freezes the columns of steps [i1, i2) and updates those after them.
func (s *sweep) runBlock(i1, i2 int) {
	if s.scores != nil {
		s.chooseInBlock(i1, i2)
	}
	s.p.For(s.tasks(), func(worker, task int) {
		r1 := task * rowsPerTask
		s.runRows(&s.panels[worker], i1, i2, r1, min(r1+rowsPerTask, s.out))
	})
	if i2 < s.n {
		n := s.n
		s.p.Dgemm(false, false, s.out, n-i2, i2-i1, -1, s.e, s.block, s.f.u[i1*n+i2:], n, 1, s.w[i2:], n)
	}
}

// chooseInBlock marks the weights that a fractional pattern drops in the block.
func (s *sweep) chooseInBlock(i1, i2 int) {
	width := i2 - i1
	count := s.out * width
	scores := s.scores[:count]
	s.p.For(s.tasks(), func(_, task int) {
		for r := task * rowsPerTask; r < min((task+1)*rowsPerTask, s.out); r++ {
			dst := scores[r*width : (r+1)*width]
			for i, v := range s.w[r*s.n+i1 : r*s.n+i2] {
				t := v * s.invU[i1+i]
				dst[i] = t * t
			}
		}
	})
	cut := mask.Smallest(scores, s.scratch[:count], mask.Count(count, s.o.Pattern.Fraction))
	for r := range s.out {
		drop := s.drop[r*s.block : r*s.block+width]
		for i, v := range scores[r*width : (r+1)*width] {
			drop[i] = cut.Takes(v)
		}
	}
}

// runRows freezes the block's columns in rows [r1, r2): innerColumns at a time,
// then a product for the rest of the block.
func (s *sweep) runRows(p *vmath.Panel, i1, i2, r1, r2 int) {
	n := s.n
	for r := r1; r < r2; r++ {
		s.startRow(i1, i2, r)
	}
	for a := i1; a < i2; a += s.inner {
		b := min(a+s.inner, i2)
		for r := r1; r < r2; r += vmath.PanelRows {
			s.freeze(p, i1, a, b, r, min(r+vmath.PanelRows, r2))
		}
		if b < i2 {
			(*linalg.Pool)(nil).Dgemm(false, false, r2-r1, i2-b, b-a, -1,
				s.e[r1*s.block+a-i1:], s.block, s.f.u[a*n+b:], n, 1, s.w[r1*n+b:], n)
		}
	}
	for r := r1; r < r2; r++ {
		s.finishRow(i1, i2, r)
	}
}

// startRow marks the fixed mask's drops and fits a group's grid that begins here.
func (s *sweep) startRow(i1, i2, r int) {
	if s.o.Mask != nil {
		drop := s.drop[r*s.block : (r+1)*s.block]
		for i := i1; i < i2; i++ {
			drop[i-i1] = !s.o.Mask.Keep(r, s.column[i])
		}
	}
	if !s.o.LiveGrids {
		return
	}
	lo, hi := s.o.Grid.Columns(s.group[i1], s.n)
	if lo != i1 {
		return
	}
	live := make([]float32, hi-lo)
	for c := lo; c < hi; c++ {
		if s.o.Mask == nil || s.o.Mask.Keep(r, c) {
			live[c-lo] = float32(s.w[r*s.n+c])
		}
	}
	s.res.Quantized.Fit(r, s.group[i1], live)
}

// freeze works off steps [a, b) of rows [r1, r2), in the block that begins at i1.
func (s *sweep) freeze(p *vmath.Panel, i1, a, b, r1, r2 int) {
	n, width := s.n, b-a
	q := s.res.Quantized
	for k := range width {
		p.On[k] = 1<<vmath.PanelRows - 1
	}
	for r := r1; r < r2; r++ {
		i := r - r1
		p.Loss[i] = s.rowLoss[r]
		for k, v := range s.w[r*n+a : r*n+b] {
			p.W[k][i] = v
		}
		if q != nil {
			scales, zeros := q.Scales[r*s.groups:(r+1)*s.groups], q.Zeros[r*s.groups:(r+1)*s.groups]
			for k, g := range s.group[a:b] {
				p.Scale[k][i], p.Zero[k][i] = scales[g], float32(zeros[g])
			}
		}
		if s.drop != nil && !s.o.Pattern.IsNM() {
			for k, d := range s.drop[r*s.block+a-i1 : r*s.block+b-i1] {
				bit := uint64(0)
				if d {
					bit = 1
				}
				p.On[k] &^= bit << i
			}
		}
	}
	u, inv := s.f.u[a*n+a:], s.invU[a:b]
	if s.o.Pattern.IsNM() {
		for k := 0; k < width; k += s.o.Pattern.M {
			end := min(k+s.o.Pattern.M, width)
			for r := r1; r < r2; r++ {
				s.chooseInGroup(p, r-r1, k, end, inv, s.drop[r*s.block+a-i1:])
			}
			p.Freeze(k, end, width, u, n, inv, q != nil)
		}
	} else {
		p.Freeze(0, width, width, u, n, inv, q != nil)
	}
	for r := r1; r < r2; r++ {
		i := r - r1
		s.rowLoss[r] = p.Loss[i]
		w, e := s.w[r*n+a:r*n+b], s.e[r*s.block+a-i1:r*s.block+b-i1]
		for k := range w {
			w[k], e[k] = p.W[k][i], p.D[k][i]
		}
		if q != nil {
			codes := q.Codes[r*n : (r+1)*n]
			for k, c := range s.column[a:b] {
				codes[c] = uint8(int32(p.Next[k][i]) + int32(p.Zero[k][i]))
			}
		}
	}
}

// chooseInGroup marks what an N:M pattern drops of columns [k, end) of row i of p.
func (s *sweep) chooseInGroup(p *vmath.Panel, i, k, end int, inv []float64, drop []bool) {
	var scores [mask.MaxGroup]float64
	size := end - k
	for j := range size {
		t := p.W[k+j][i] * inv[k+j]
		scores[j] = t * t
	}
	kept := mask.KeepGroup(scores[:size], s.o.Pattern.KeepIn(size))
	for j := range size {
		off := uint64(kept>>j&1 ^ 1)
		p.On[k+j] &^= off << i
		drop[k+j] = off != 0
	}
}

// finishRow stores the block's frozen weights and chosen mask of row r.
func (s *sweep) finishRow(i1, i2, r int) {
	dst := s.res.Weights[r*s.n : (r+1)*s.n]
	columns := s.column[i1:i2]
	for i, v := range s.w[r*s.n+i1 : r*s.n+i2] {
		dst[columns[i]] = float32(v)
	}
	if s.drop != nil && s.o.Mask == nil {
		s.res.Mask.Drop(r, columns, s.drop[r*s.block:r*s.block+i2-i1])
	}
}
