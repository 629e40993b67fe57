package obs

import (
	"slices"
	"sync"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/kernel"
	"github.com/compressc/compressc/internal/linalg/vmath"
)

// What a sweep and a refinement work in lies by column: the rows are next to one
// another, so that a column of a panel is a piece of memory, and what is done to a
// column is done to several rows at once. Rows are filled up to whole panels by rows of
// zeros, and columns lie ld elements apart.
type layout struct {
	out, n int
	padded int // rows with those of zeros
	ld     int // an odd number of cache lines, so that a panel's columns do not fall in one set of a cache
}

const panelRows = vmath.PanelRows

func layoutOf(out, n int) layout {
	padded := roundUp(out, panelRows)
	return layout{out, n, padded, padded + 8}
}

// rowsPerTask is the number of rows of a parallel task: enough for the small
// matrix products inside a block, few enough for the working set to stay near, whole
// panels.
const rowsPerTask = 3 * panelRows

func (l layout) tasks() int { return (l.padded + rowsPerTask - 1) / rowsPerTask }

// taskRows are the rows of a task, those of zeros too.
func (l layout) taskRows(task int) (r1, r2 int) {
	return task * rowsPerTask, min((task+1)*rowsPerTask, l.padded)
}

// panelBits are the rows of the panel that begins at row r which are none of those of
// zeros, as bits.
func (l layout) panelBits(r int) uint64 { return 1<<min(panelRows, l.out-r) - 1 }

// turning is what a panel is turned in: by rows [panelRows, n] and by columns [n,
// panelRows].
type turning struct {
	rows, columns []float64
	bits          []uint64 // [n]
	buf           *linalg.Buffer[float64]
}

var turnings = sync.Pool{New: func() any { return new(turning) }}

func (l layout) takeTurning() *turning {
	t := turnings.Get().(*turning)
	t.buf = linalg.TakeBuffer[float64](2 * panelRows * l.n)
	t.rows, t.columns = t.buf.S[:panelRows*l.n], t.buf.S[panelRows*l.n:]
	t.bits = slices.Grow(t.bits[:0], l.n)[:l.n]
	return t
}

func (t *turning) give() {
	t.buf.Give()
	*t = turning{bits: t.bits}
	turnings.Put(t)
}

// eachPanel calls f with the first row of every panel, in any order and from several
// goroutines.
func (l layout) eachPanel(p *linalg.Pool, f func(t *turning, r int)) {
	p.For(l.tasks(), func(_, task int) {
		t := l.takeTurning()
		defer t.give()
		r1, r2 := l.taskRows(task)
		for r := r1; r < r2; r += panelRows {
			f(t, r)
		}
	})
}

// gridsByColumn are the scales and zero points of a quantised matrix by group,
// [groups, padded].
type gridsByColumn struct {
	scale, zero []float32
	padded      int
}

// gridsOf allocates grids, which are scale 1 for rows of zeros.
func (l layout) gridsOf(q *grid.Quantized) gridsByColumn {
	g := gridsByColumn{make([]float32, q.Groups(l.n)*l.padded), make([]float32, q.Groups(l.n)*l.padded), l.padded}
	for i := range g.scale {
		g.scale[i] = 1
	}
	return g
}

// set copies the grid of group k of row r.
func (g gridsByColumn) set(q *grid.Quantized, r, k int) {
	i := r*q.Groups(q.In) + k
	g.scale[k*g.padded+r], g.zero[k*g.padded+r] = q.Scales[i], float32(q.Zeros[i])
}

// setAll copies all of them.
func (g gridsByColumn) setAll(q *grid.Quantized) {
	for r := range q.Out {
		for k := range q.Groups(q.In) {
			g.set(q, r, k)
		}
	}
}

// at returns the scales and zero points of the panel at row r in group k.
func (g gridsByColumn) at(r, k int) (scale, zero *[panelRows]float32) {
	i := k*g.padded + r
	return (*[panelRows]float32)(g.scale[i:]), (*[panelRows]float32)(g.zero[i:])
}

// encode writes the codes of the panel at row r of q, whose values less zero points
// are base [n, panelRows] by column.
func (l layout) encode(q *grid.Quantized, r int, base []float32) {
	buf := linalg.TakeBuffer[float32](panelRows*l.n + kernel.PanelSlack)
	defer buf.Give()
	kernel.Pack(buf.S, base, panelRows, panelRows, l.n, l.n, l.n, false)
	for i := range min(panelRows, l.out-r) {
		row := buf.S[i*l.n : (i+1)*l.n]
		codes := q.Codes[(r+i)*l.n : (r+i+1)*l.n]
		for k := range q.Groups(l.n) {
			lo, hi := q.Columns(k, l.n)
			vmath.Encode(codes[lo:hi], row[lo:hi], q.Zeros[(r+i)*q.Groups(l.n)+k])
		}
	}
}

// decode is the inverse of encode; rows of zeros have zeros.
func (l layout) decode(base []float32, q *grid.Quantized, r int) {
	buf := linalg.TakeBuffer[float32](2*panelRows*l.n + kernel.PanelSlack)
	defer buf.Give()
	rows, columns := buf.S[:panelRows*l.n], buf.S[panelRows*l.n:]
	for i := range panelRows {
		row := rows[i*l.n : (i+1)*l.n]
		if r+i >= l.out {
			clear(row)
			continue
		}
		codes := q.Codes[(r+i)*l.n : (r+i+1)*l.n]
		for k := range q.Groups(l.n) {
			lo, hi := q.Columns(k, l.n)
			vmath.Decode(row[lo:hi], codes[lo:hi], 1, q.Zeros[(r+i)*q.Groups(l.n)+k])
		}
	}
	kernel.Pack(columns, rows, l.n, l.n, panelRows, panelRows, panelRows, false)
	copy(base[:panelRows*l.n], columns)
}
