package obs

import (
	"errors"
	"fmt"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/kernel"
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
// does not fit the shape, and for weights that are not finite; it panics if w,
// Options.Mask or Options.Into have another shape.
func Sweep(p *linalg.Pool, f *Factor, w []float32, out int, o Options) (*Result, error) {
	if out < 1 || len(w) != out*f.N {
		panic(fmt.Sprintf("obs: %d weights for [%d, %d]", len(w), out, f.N))
	}
	if o.Into != nil && len(o.Into) != len(w) {
		panic(fmt.Sprintf("obs: room for %d of %d weights", len(o.Into), len(w)))
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
	s.finish()
	for _, l := range s.rowLoss[:out] {
		s.res.Loss += l
	}
	if err := grid.CheckFinite(s.res.Weights, f.N); err != nil {
		return nil, fmt.Errorf("%w (%w); raise the damping", ErrNotFinite, err)
	}
	return s.res, nil
}

// sweep is the state of one Sweep. "Step" is a position in the order of visit.
type sweep struct {
	layout
	p       *linalg.Pool
	f       *Factor
	o       Options
	block   int
	inner   int
	res     *Result
	rowLoss []float64 // [padded]

	w      []float64 // [n, out] by step: the working weights
	e      []float64 // [block, out]: the current block's errors w−q over u_jj
	invU   []float64 // 1/u_jj by step
	lent   linalg.Lent[float64]
	lent32 linalg.Lent[float32]

	column []int // by step
	group  []int // grid group by step
	grids  gridsByColumn
	next   []float32     // [out/panelRows, n, panelRows]: codes less zero points, by column
	panels []vmath.Panel // one a worker
	// on [out/panelRows, n] are the rows that keep their weight in a step, as bits;
	// nil if nothing is ever dropped.
	on      []uint64
	scores  []float64 // [out, block], for a fractional pattern
	scratch []float64
}

// give hands back what s works in.
func (s *sweep) give() {
	s.lent.Give()
	s.lent32.Give()
}

// innerColumns is how many columns are worked off one at a time before the rest
// of the block is updated by a matrix product.
const innerColumns = 16

func newSweep(p *linalg.Pool, f *Factor, w []float32, out int, o Options) (*sweep, error) {
	n := f.N
	s := &sweep{
		layout: layoutOf(out, n),
		p:      p, f: f, o: o,
		block:  min(o.block(), n),
		inner:  innerColumns,
		res:    &Result{Weights: o.Into, Mask: o.Mask},
		invU:   make([]float64, n),
		column: make([]int, n),
		panels: make([]vmath.Panel, p.Threads()),
	}
	if o.Into == nil {
		s.res.Weights = make([]float32, out*n)
	}
	if o.Pattern.IsNM() {
		s.inner = roundUp(innerColumns, o.Pattern.M)
	}
	s.rowLoss = make([]float64, s.padded)
	s.w, s.e = s.lent.Take(n*s.ld), s.lent.Take(s.block*s.ld)
	for i := range n {
		s.invU[i] = 1 / f.u[i*n+i]
		s.column[i] = f.Column(i)
	}
	if !o.Pattern.IsZero() {
		s.res.Mask = mask.New(out, n)
		if !o.Pattern.IsNM() {
			s.scores, s.scratch = s.lent.Take(out*s.block), s.lent.Take(out*s.block)
		}
	}
	if s.res.Mask != nil {
		s.on = make([]uint64, s.padded/panelRows*n)
	}
	s.eachPanel(p, func(t *turning, r int) { s.load(t, r, w) })
	if o.Grid != nil {
		if err := s.fitGrids(w); err != nil {
			s.give()
			return nil, err
		}
	}
	return s, nil
}

// load fills the panel at row r with the weights, and with what is kept of them.
func (s *sweep) load(t *turning, r int, w []float32) {
	n, rows := s.n, min(panelRows, s.out-r)
	for i := range rows {
		vmath.Widen(t.rows[i*n:(i+1)*n], w[(r+i)*n:(r+i+1)*n])
	}
	clear(t.rows[rows*n:])
	if s.f.Order == nil {
		kernel.Transpose(panelRows, n, t.rows, n, s.w[r:], s.ld)
	} else {
		kernel.Transpose(panelRows, n, t.rows, n, t.columns, panelRows)
	}
	for i, c := range s.column {
		to := (*[panelRows]float64)(s.w[i*s.ld+r:])
		switch {
		case s.f.Dead[c]:
			*to = [panelRows]float64{}
		case s.f.Order != nil:
			*to = *(*[panelRows]float64)(t.columns[c*panelRows:])
		}
	}
	if s.on == nil {
		return
	}
	on := s.on[r/panelRows*n:][:n]
	if s.o.Mask == nil {
		for i := range on {
			on[i] = s.panelBits(r)
		}
		return
	}
	s.o.Mask.ColumnBits(t.bits, r, rows)
	for i, c := range s.column {
		on[i] = t.bits[c]
	}
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
	s.grids = s.gridsOf(q)
	s.next = s.lent32.Take(s.padded * s.n)
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
	s.grids.setAll(q)
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

// runBlock freezes the columns of steps [i1, i2) and updates those after them.
func (s *sweep) runBlock(i1, i2 int) {
	if s.scores != nil {
		s.chooseInBlock(i1, i2)
	}
	s.p.For(s.tasks(), func(worker, task int) {
		r1, r2 := s.taskRows(task)
		s.runRows(&s.panels[worker], i1, i2, r1, r2)
	})
	if n := s.n; i2 < n {
		s.p.Dgemm(true, false, n-i2, s.padded, i2-i1, -1, s.f.u[i1*n+i2:], n, s.e, s.ld, 1, s.w[i2*s.ld:], s.ld)
	}
}

// chooseInBlock marks the weights that a fractional pattern drops in the block.
func (s *sweep) chooseInBlock(i1, i2 int) {
	width := i2 - i1
	count := s.out * width
	scores, inv := s.scores[:count], s.invU[i1:i2]
	s.p.For(s.tasks(), func(_, task int) {
		r1, r2 := s.taskRows(task)
		r2 = min(r2, s.out)
		kernel.Transpose(width, r2-r1, s.w[i1*s.ld+r1:], s.ld, scores[r1*width:], width)
		for r := r1; r < r2; r++ {
			dst := scores[r*width : (r+1)*width]
			for i, v := range dst {
				t := v * inv[i]
				dst[i] = t * t
			}
		}
	})
	cut := mask.Smallest(scores, s.scratch[:count], mask.Count(count, s.o.Pattern.Fraction))
	if cut.Ties == vmath.CountEqual(scores, cut.Limit) { // no row goes before another
		s.p.For(s.tasks(), func(_, task int) {
			r1, r2 := s.taskRows(task)
			for r := r1; r < r2; r += panelRows {
				vmath.DropBlock(s.on[r/panelRows*s.n:][i1:i2], s.w[i1*s.ld+r:], s.ld, inv, cut.Limit)
			}
		})
		return
	}
	for r := range s.out {
		on, at := s.on[r/panelRows*s.n:][i1:i2], r%panelRows
		for i, v := range scores[r*width : (r+1)*width] {
			bit := uint64(0)
			if cut.Takes(v) {
				bit = 1
			}
			on[i] &^= bit << at
		}
	}
}

// runRows freezes the block's columns in rows [r1, r2): innerColumns at a time,
// then a product for the rest of the block.
func (s *sweep) runRows(p *vmath.Panel, i1, i2, r1, r2 int) {
	n, ld := s.n, s.ld
	if s.o.LiveGrids {
		if lo, hi := s.o.Grid.Columns(s.group[i1], n); lo == i1 {
			s.fitLive(s.group[i1], lo, hi, r1, min(r2, s.out))
		}
	}
	for a := i1; a < i2; a += s.inner {
		b := min(a+s.inner, i2)
		for r := r1; r < r2; r += panelRows {
			s.freeze(p, i1, a, b, r)
		}
		if b < i2 {
			(*linalg.Pool)(nil).Dgemm(true, false, i2-b, r2-r1, b-a, -1,
				s.f.u[a*n+b:], n, s.e[(a-i1)*ld+r1:], ld, 1, s.w[b*ld+r1:], ld)
		}
	}
}

// fitLive fits the grids of the group of columns [lo, hi) in rows [r1, r2) to the
// weights as they are.
func (s *sweep) fitLive(group, lo, hi, r1, r2 int) {
	size := hi - lo
	turned, live := linalg.TakeBuffer[float64]((r2-r1)*size), linalg.TakeBuffer[float32](size)
	defer turned.Give()
	defer live.Give()
	kernel.Transpose(size, r2-r1, s.w[lo*s.ld+r1:], s.ld, turned.S, size)
	for r := r1; r < r2; r++ {
		vmath.Narrow(live.S, turned.S[(r-r1)*size:][:size])
		if s.o.Mask != nil {
			for i, bits := range s.on[r/panelRows*s.n:][lo:hi] {
				if bits>>(r%panelRows)&1 == 0 {
					live.S[i] = 0
				}
			}
		}
		s.res.Quantized.Fit(r, group, live.S)
		s.grids.set(s.res.Quantized, r, group)
	}
}

// freeze works off steps [a, b) of the panel at row r, in the block that begins at i1.
func (s *sweep) freeze(p *vmath.Panel, i1, a, b, r int) {
	n, width, quantized := s.n, b-a, s.res.Quantized != nil
	loss := (*[panelRows]float64)(s.rowLoss[r:])
	p.Loss = *loss
	p.Load(width, s.w[a*s.ld+r:], s.ld)
	var on []uint64
	if s.on != nil {
		on = s.on[r/panelRows*n:][a:b]
		copy(p.On[:], on)
	} else {
		for k := range width {
			p.On[k] = s.panelBits(r)
		}
	}
	if quantized {
		for k, g := range s.group[a:b] {
			scale, zero := s.grids.at(r, g)
			p.Scale[k] = *scale
			p.Zero[k] = *zero
		}
	}
	u, inv := s.f.u[a*n+a:], s.invU[a:b]
	if s.o.Pattern.IsNM() {
		for k := 0; k < width; k += s.o.Pattern.M {
			end := min(k+s.o.Pattern.M, width)
			s.chooseInGroup(p, k, end, inv)
			p.Freeze(k, end, width, u, n, inv, quantized)
		}
		copy(on, p.On[:])
	} else {
		p.Freeze(0, width, width, u, n, inv, quantized)
	}
	*loss = p.Loss
	p.Store(width, s.w[a*s.ld+r:], s.ld)
	p.StoreD(width, s.e[(a-i1)*s.ld+r:], s.ld)
	if quantized {
		next := s.next[r*n:]
		for k, c := range s.column[a:b] {
			*(*[panelRows]float32)(next[c*panelRows:]) = p.Next[k]
		}
	}
}

// chooseInGroup marks what an N:M pattern drops of columns [k, end) of p.
func (s *sweep) chooseInGroup(p *vmath.Panel, k, end int, inv []float64) {
	size := end - k
	keep := s.o.Pattern.KeepIn(size)
	if size == 4 && keep == 2 {
		p.ChooseTwoOf4(k, end, inv)
		return
	}
	var scores [mask.MaxGroup]float64
	for i := range panelRows {
		for j := range size {
			t := p.W[k+j][i] * inv[k+j]
			scores[j] = t * t
		}
		kept := mask.KeepGroup(scores[:size], keep)
		for j := range size {
			p.On[k+j] &^= uint64(kept>>j&1^1) << i
		}
	}
}

// finish stores the frozen weights, their codes, and the mask if it was chosen.
func (s *sweep) finish() {
	n := s.n
	s.eachPanel(s.p, func(t *turning, r int) {
		from, ld := s.w[r:], s.ld
		if s.f.Order != nil {
			for i, c := range s.column {
				*(*[panelRows]float64)(t.columns[c*panelRows:]) = *(*[panelRows]float64)(s.w[i*s.ld+r:])
			}
			from, ld = t.columns, panelRows
		}
		kernel.Transpose(n, panelRows, from, ld, t.rows, n)
		rows := min(panelRows, s.out-r)
		vmath.Narrow(s.res.Weights[r*n:(r+rows)*n], t.rows[:rows*n])
		if s.on != nil && s.o.Mask == nil {
			for i, bits := range s.on[r/panelRows*n:][:n] {
				t.bits[s.column[i]] = bits
			}
			s.res.Mask.SetColumnBits(r, rows, t.bits)
		}
		if q := s.res.Quantized; q != nil {
			s.encode(q, r, s.next[r*n:])
		}
	})
}
