package obs

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/kernel"
	"github.com/compressc/compressc/internal/linalg/vmath"
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
	for _, g := range s.gain[:out] {
		r.Loss -= g
	}
	s.finish(r, w)
	if r.Quantized != nil {
		return nil
	}
	if err := grid.CheckFinite(r.Weights, s.n); err != nil {
		return fmt.Errorf("%w (%w); raise the damping", ErrNotFinite, err)
	}
	return nil
}

// refinement is the state of one Refine, in the natural order of columns, in
// which groups are together.
type refinement struct {
	layout
	p      *linalg.Pool
	q      *grid.Quantized // nil of unquantised weights
	grids  gridsByColumn
	base   []float32 // [out/panelRows, n, panelRows]: codes less zero points, by column
	dead   []int
	h      []float64      // [n, n]: H+λI, both triangles; zero for dead inputs
	d      []float64      // [n, out]: Ŵ−W
	free   []uint64       // [out/panelRows, n]: bits of rows where what is neither dropped nor dead
	panels []vmath.Panel  // one a worker
	work   []refiningWork // one a worker
	g      []float64      // [width, out]: half the loss's gradient h·d in a block
	width  int            // the largest number of columns of a block
	gain   []float64      // [padded]: what a row's loss has fallen by
	moved  []bool         // of panels: whether the pass has changed it
	lent   linalg.Lent[float64]
	lent32 linalg.Lent[float32]
}

// refiningWork is what a worker works in: blocks [columns, rowsPerTask].
type refiningWork struct {
	steps                    [innerColumns * rowsPerTask]float64
	values, change, product  []float64 // of a group's columns
	slopes, curves, energies [panelRows]float64
	accepted                 [panelRows]uint64
}

// give hands back what s works in.
func (s *refinement) give() {
	s.lent.Give()
	s.lent32.Give()
}

func newRefinement(p *linalg.Pool, f *Factor, h []float64, w []float32, out int, r *Result) *refinement {
	n := f.N
	s := &refinement{
		layout: layoutOf(out, n), p: p, q: r.Quantized,
		panels: make([]vmath.Panel, p.Threads()),
		work:   make([]refiningWork, p.Threads()),
		width:  min(DefaultBlock, n),
	}
	s.gain, s.moved = make([]float64, s.padded), make([]bool, s.padded/panelRows)
	s.free = make([]uint64, s.padded/panelRows*n)
	s.h, s.d = s.lent.Take(n*n), s.lent.Take(n*s.ld)
	f.damped(p, s.h, h)
	if s.q != nil {
		// A block is made of whole groups, so that their scales can be refitted.
		_, size := s.q.Columns(0, n)
		s.width = min(max(DefaultBlock/size*size, size), n)
		for i := range s.panels {
			s.panels[i].Top = float32(s.q.MaxCode())
			work := &s.work[i]
			work.values, work.change, work.product = s.lent.Take(size*rowsPerTask), s.lent.Take(size*rowsPerTask), s.lent.Take(size*rowsPerTask)
		}
		s.grids = s.gridsOf(s.q)
		s.grids.setAll(s.q)
		s.base = s.lent32.Take(s.padded * n)
	}
	s.g = s.lent.Take(s.width * s.ld)
	for c, dead := range f.Dead {
		if dead {
			s.dead = append(s.dead, c)
		}
	}
	s.eachPanel(p, func(t *turning, row int) { s.load(t, row, w, r) })
	return s
}

// load fills the panel at row r0 with how the result r differs from the weights.
func (s *refinement) load(t *turning, r0 int, w []float32, r *Result) {
	n, rows := s.n, min(panelRows, s.out-r0)
	vmath.Difference(t.rows[:rows*n], r.Weights[r0*n:(r0+rows)*n], w[r0*n:(r0+rows)*n])
	clear(t.rows[rows*n:])
	kernel.Transpose(panelRows, n, t.rows, n, s.d[r0:], s.ld)
	free := s.free[r0/panelRows*n:][:n]
	if r.Mask != nil {
		r.Mask.ColumnBits(free, r0, rows)
	} else {
		for c := range free {
			free[c] = s.panelBits(r0)
		}
	}
	for _, c := range s.dead {
		free[c] = 0
		*(*[panelRows]float64)(s.d[c*s.ld+r0:]) = [panelRows]float64{}
	}
	if s.q != nil {
		s.decode(s.base[r0*n:], s.q, r0)
	}
}

// finish stores the refined weights and codes.
func (s *refinement) finish(r *Result, w []float32) {
	n := s.n
	s.eachPanel(s.p, func(t *turning, r0 int) {
		rows := min(panelRows, s.out-r0)
		if s.q != nil {
			s.encode(s.q, r0, s.base[r0*n:])
			for i := r0; i < r0+rows; i++ {
				s.q.Row(r.Weights[i*n:(i+1)*n], i, 0, n)
			}
			return
		}
		kernel.Transpose(n, panelRows, s.d[r0:], s.ld, t.rows, n)
		kept := make([]float32, len(s.dead))
		for i := range rows {
			row := (r0 + i) * n
			to := r.Weights[row : row+n]
			for k, c := range s.dead {
				kept[k] = to[c]
			}
			// What is dropped has moved by its weight, and stays zero.
			vmath.RoundSum(to, w[row:row+n], 1, t.rows[i*n:(i+1)*n])
			for k, c := range s.dead {
				to[c] = kept[k]
			}
		}
	})
}

// pass visits every column once and reports whether anything moved.
func (s *refinement) pass() bool {
	clear(s.moved)
	for i1 := 0; i1 < s.n; i1 += s.width {
		i2 := min(i1+s.width, s.n)
		s.p.Dgemm(false, false, i2-i1, s.padded, s.n, 1, s.h[i1*s.n:], s.n, s.d, s.ld, 0, s.g, s.ld)
		s.p.For(s.tasks(), func(worker, task int) {
			r1, r2 := s.taskRows(task)
			s.runRows(worker, i1, i2, r1, r2)
		})
	}
	return slices.Contains(s.moved, true)
}

// runRows moves the block's weights of rows [r1, r2), group by group: the
// scales, then innerColumns of the codes at a time, then a product for the
// gradient in the rest of the block. Unquantised weights are one group.
func (s *refinement) runRows(worker, i1, i2, r1, r2 int) {
	p, work := &s.panels[worker], &s.work[worker]
	for lo := i1; lo < i2; {
		hi := i2
		if s.q != nil {
			_, hi = s.q.Columns(s.q.Group(lo), s.n)
			s.refit(work, i1, lo, hi, r1, r2)
		}
		for lo < hi {
			next := min(lo+innerColumns, hi)
			for r := r1; r < r2; r += panelRows {
				s.move(p, i1, lo, next, r, work.steps[r-r1:])
			}
			if next < i2 {
				s.passOn(i1, lo, next, i2, r1, r2, work.steps[:])
			}
			lo = next
		}
	}
}

// passOn adds to the gradient in columns [next, i2) of rows [r1, r2), in the block that
// begins at i1, what the changes of columns [lo, hi) make of it.
func (s *refinement) passOn(i1, lo, next, i2, r1, r2 int, changes []float64) {
	(*linalg.Pool)(nil).Dgemm(false, false, i2-next, r2-r1, next-lo, 1,
		s.h[next*s.n+lo:], s.n, changes, rowsPerTask, 1, s.g[(next-i1)*s.ld+r1:], s.ld)
}

// move moves the weights of columns [a, b), of one group, of the panel at row r, in
// the block that begins at i1, and stores by how much.
func (s *refinement) move(p *vmath.Panel, i1, a, b, r int, steps []float64) {
	n, panel := s.n, r/panelRows
	copy(p.On[:], s.free[panel*n:][a:b])
	gain := (*[panelRows]float64)(s.gain[r:])
	p.Loss = *gain
	p.Load(b-a, s.g[(a-i1)*s.ld+r:], s.ld)
	var base []float32
	if s.q != nil {
		scale, zero := s.grids.at(r, s.q.Group(a))
		p.Scale[0], p.Zero[0] = *scale, *zero
		base = s.base[panel*panelRows*n:][a*panelRows : b*panelRows]
		for k := range b - a {
			p.Base[k] = [panelRows]float32(base[k*panelRows:])
		}
	}
	p.Descend(b-a, s.h[a*n+a:], n, s.q != nil)
	*gain = p.Loss
	p.StoreD(b-a, steps, rowsPerTask)
	if p.Settle(b-a, s.d[a*s.ld+r:], s.ld, base) != 0 {
		s.moved[panel] = true
	}
}

// refit moves the scales of the group of columns [lo, hi) in rows [r1, r2), in
// the block that begins at i1.
func (s *refinement) refit(work *refiningWork, i1, lo, hi, r1, r2 int) {
	const ld = rowsPerTask
	n, b := s.n, hi-lo
	group := s.q.Group(lo)
	values, change, product := work.values, work.change, work.product
	times := func(x []float64) { // product = h·x of the group
		(*linalg.Pool)(nil).Dgemm(false, false, b, r2-r1, b, 1, s.h[lo*n+lo:], n, x, ld, 0, product, ld)
	}
	base := func(r int) []float32 { return s.base[r*n:][lo*panelRows : hi*panelRows] }
	for r := r1; r < r2; r += panelRows {
		scale, _ := s.grids.at(r, group)
		vmath.ValueBlock(b, values[r-r1:], ld, base(r), scale[:])
	}
	times(values)
	for r := r1; r < r2; r += panelRows {
		slopes, curves := &work.slopes, &work.curves
		*slopes, *curves = [panelRows]float64{}, [panelRows]float64{}
		vmath.DotBlock(b, slopes, values[r-r1:], ld, s.g[(lo-i1)*s.ld+r:], s.ld)
		vmath.DotBlock(b, curves, values[r-r1:], ld, product[r-r1:], ld)
		scale, _ := s.grids.at(r, group)
		for i, curve := range curves {
			if curve > 0 {
				scale[i] = s.q.Storable(float32(float64(scale[i]) * (1 - slopes[i]/curve)))
			}
		}
		vmath.ChangeBlock(b, change[r-r1:], ld, base(r), scale[:], values[r-r1:], ld)
	}
	// The loss is that of the values as they are stored, so the change of scale
	// is judged by them too.
	times(change)
	for r := r1; r < r2; r += panelRows {
		g := s.g[(lo-i1)*s.ld+r:]
		energies := &work.energies
		*energies = [panelRows]float64{}
		vmath.EnergyBlock(b, energies, change[r-r1:], ld, g, s.ld, product[r-r1:], ld)
		scale, _ := s.grids.at(r, group)
		for i, sum := range energies {
			work.accepted[i] = 0
			switch {
			case sum < 0:
				work.accepted[i] = ^uint64(0)
				s.gain[r+i] -= sum
				*s.q.Scale(r+i, group) = scale[i]
				s.moved[r/panelRows] = true
			case r+i < s.out:
				scale[i] = *s.q.Scale(r+i, group)
			}
		}
		vmath.AcceptBlock(b, &work.accepted, change[r-r1:], ld, product[r-r1:], ld, s.d[lo*s.ld+r:], s.ld, g, s.ld)
	}
	if end := min(i1+s.width, n); hi < end {
		s.passOn(i1, lo, hi, end, r1, r2, change)
	}
}
