package obs

import (
	"fmt"
	"math"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
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
	for _, g := range s.gain {
		r.Loss -= g
	}
	if r.Quantized != nil {
		r.Quantized.Dequantize(r.Weights)
		return nil
	}
	p.For(s.tasks(), func(_, task int) {
		kept := make([]float32, len(s.dead))
		for row := task * rowsPerTask; row < min((task+1)*rowsPerTask, out); row++ {
			to, from, d := r.Weights[row*s.n:(row+1)*s.n], w[row*s.n:(row+1)*s.n], s.d[row*s.n:(row+1)*s.n]
			for i, c := range s.dead {
				kept[i] = to[c]
			}
			// What is dropped has moved by its weight, and stays zero.
			for c, v := range d {
				to[c] = float32(float64(from[c]) + v)
			}
			for i, c := range s.dead {
				to[c] = kept[i]
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
	dead   []int
	h      []float64     // [n, n]: H+λI, both triangles; zero for dead inputs
	d      []float64     // [out, n]: Ŵ−W
	free   []uint64      // [out/PanelRows, n]: bits of rows where what is neither dropped nor dead
	panels []vmath.Panel // one a worker
	g      []float64     // [out, width]: half the loss's gradient d·h in a block
	width  int           // the largest number of columns of a block
	gain   []float64     // [out]: what a row's loss has fallen by
	moved  []bool        // [out]: whether the pass has changed the row
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
	f.damped(p, hBuf.S, h)
	s := &refinement{
		p: p, out: out, n: n, q: r.Quantized,
		h:      hBuf.S,
		d:      dBuf.S,
		panels: make([]vmath.Panel, p.Threads()),
		gain:   make([]float64, out),
		moved:  make([]bool, out),
		width:  min(DefaultBlock, n),
	}
	if s.q != nil {
		// A block is made of whole groups, so that their scales can be refitted.
		_, size := s.q.Columns(0, n)
		s.width = min(max(DefaultBlock/size*size, size), n)
		for i := range s.panels {
			s.panels[i].Top = float32(s.q.MaxCode())
		}
	}
	s.free = make([]uint64, (out+vmath.PanelRows-1)/vmath.PanelRows*n)
	gBuf := linalg.TakeBuffer[float64](out * s.width)
	s.g = gBuf.S
	s.bufs = []*linalg.Buffer[float64]{hBuf, dBuf, gBuf}
	for c, dead := range f.Dead {
		if dead {
			s.dead = append(s.dead, c)
		}
	}
	p.For(s.tasks(), func(_, task int) {
		flags := make([]bool, n)
		for c := range flags {
			flags[c] = true
		}
		for row := task * rowsPerTask; row < min((task+1)*rowsPerTask, out); row++ {
			if r.Mask != nil {
				r.Mask.RowFlags(flags, row)
			}
			free, d := s.free[row/vmath.PanelRows*n:][:n], s.d[row*n:(row+1)*n]
			at := row % vmath.PanelRows
			from, to := w[row*n:(row+1)*n], r.Weights[row*n:(row+1)*n]
			for c, ok := range flags {
				bit := uint64(0)
				if ok {
					bit = 1
				}
				free[c] |= bit << at
				d[c] = float64(to[c]) - float64(from[c])
			}
			for _, c := range s.dead {
				free[c] &^= 1 << at
				d[c] = 0
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
		s.p.For(s.tasks(), func(worker, task int) {
			r1 := task * rowsPerTask
			s.runRows(&s.panels[worker], i1, i2, r1, min(r1+rowsPerTask, s.out))
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
func (s *refinement) runRows(p *vmath.Panel, i1, i2, r1, r2 int) {
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
			for r := r1; r < r2; r += vmath.PanelRows {
				s.move(p, i1, lo, next, r, min(r+vmath.PanelRows, r2), steps[(r-r1)*innerColumns:])
			}
			if next < i2 {
				(*linalg.Pool)(nil).Dgemm(false, false, r2-r1, i2-next, next-lo, 1,
					steps[:], innerColumns, s.h[lo*s.n+next:], s.n, 1, s.g[r1*s.width+next-i1:], s.width)
			}
			lo = next
		}
	}
}

// move moves the weights of columns [a, b), of one group, of rows [r1, r2), of one
// panel, in the block that begins at i1, and stores by how much.
func (s *refinement) move(p *vmath.Panel, i1, a, b, r1, r2 int, steps []float64) {
	n := s.n
	copy(p.On[:], s.free[r1/vmath.PanelRows*n:][a:b])
	for r := r1; r < r2; r++ {
		i := r - r1
		p.Loss[i] = s.gain[r]
		for k, v := range s.g[r*s.width+a-i1 : r*s.width+b-i1] {
			p.W[k][i] = v
		}
		if s.q != nil {
			g := r*s.q.Groups(n) + s.q.Group(a)
			zero := s.q.Zeros[g]
			p.Scale[0][i], p.Zero[0][i] = s.q.Scales[g], float32(zero)
			for k, u := range s.q.Codes[r*n+a : r*n+b] {
				p.Base[k][i] = float32(int32(u) - int32(zero))
			}
		}
	}
	p.Descend(b-a, s.h[a*n+a:], n, s.q != nil)
	for r := r1; r < r2; r++ {
		i := r - r1
		s.gain[r] = p.Loss[i]
		d, steps := s.d[r*n+a:r*n+b], steps[i*innerColumns:][:b-a]
		moved := uint64(0)
		for k := range d {
			t := p.D[k][i]
			d[k] += t
			steps[k] = t
			moved |= math.Float64bits(t)
		}
		if moved == 0 {
			continue
		}
		s.moved[r] = true
		if s.q != nil {
			codes, zero := s.q.Codes[r*n+a:r*n+b], int32(p.Zero[0][i])
			for k, t := range steps {
				if t != 0 {
					codes[k] = uint8(int32(p.Next[k][i]) + zero)
				}
			}
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
	var slopes, curves, sums [rowsPerTask]float64
	g := s.g[r1*s.width+lo-i1:]
	dots(slopes[:m], values, b, g, s.width, b)
	dots(curves[:m], values, b, product, b, b)
	for r := r1; r < r2; r++ {
		scale := s.q.Scale(r, group)
		scales[r-r1] = *scale
		if slope, curve := slopes[r-r1], curves[r-r1]; curve > 0 {
			*scale = s.q.Storable(float32(float64(*scale) * (1 - slope/curve)))
		}
		grid := s.q.Rounder(r, group)
		v, dv := values[(r-r1)*b:][:b], change[(r-r1)*b:][:b]
		for i, u := range s.q.Codes[r*n+lo : r*n+hi] {
			dv[i] = float64(grid.Value(u)) - v[i]
		}
	}
	// The loss is that of the values as they are stored, so the change of scale
	// is judged by them too.
	times(change)
	for r := range m {
		twice, hdv, g := values[r*b:][:b], product[r*b:][:b], g[r*s.width:][:b]
		for i, x := range hdv {
			twice[i] = float64(2*g[i]) + x
		}
	}
	dots(sums[:m], change, b, values, b, b)
	for r := r1; r < r2; r++ {
		dv, hdv, g := change[(r-r1)*b:][:b], product[(r-r1)*b:][:b], g[(r-r1)*s.width:][:b]
		if sum := sums[r-r1]; sum < 0 {
			s.gain[r] -= sum
		} else {
			*s.q.Scale(r, group) = scales[r-r1]
			clear(dv)
			continue
		}
		s.moved[r] = true
		d := s.d[r*n+lo : r*n+hi][:b]
		for i, x := range dv {
			d[i] += x
			g[i] += hdv[i]
		}
	}
	if rest := min(i1+s.width, n) - hi; rest > 0 {
		(*linalg.Pool)(nil).Dgemm(false, false, m, rest, b, 1, change, b, s.h[lo*n+hi:], n, 1, s.g[r1*s.width+hi-i1:], s.width)
	}
}

// dots sets dst[r] to the product of the first n numbers of row r of x with those
// of y, added up in order. Rows lie ldx and ldy apart.
func dots(dst, x []float64, ldx int, y []float64, ldy, n int) {
	r := 0
	for ; r+4 <= len(dst); r += 4 { // four sums hide each other's latency
		x0, x1, x2, x3 := x[r*ldx:][:n], x[(r+1)*ldx:][:n], x[(r+2)*ldx:][:n], x[(r+3)*ldx:][:n]
		y0, y1, y2, y3 := y[r*ldy:][:n], y[(r+1)*ldy:][:n], y[(r+2)*ldy:][:n], y[(r+3)*ldy:][:n]
		var s0, s1, s2, s3 float64
		for i := range n {
			s0 += float64(x0[i] * y0[i])
			s1 += float64(x1[i] * y1[i])
			s2 += float64(x2[i] * y2[i])
			s3 += float64(x3[i] * y3[i])
		}
		dst[r], dst[r+1], dst[r+2], dst[r+3] = s0, s1, s2, s3
	}
	for ; r < len(dst); r++ {
		sum := 0.0
		for i, v := range x[r*ldx:][:n] {
			sum += float64(v * y[r*ldy+i])
		}
		dst[r] = sum
	}
}
