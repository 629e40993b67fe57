package grid

import (
	"errors"
	"fmt"

	"github.com/compressc/compressc/internal/linalg"
	"github.com/compressc/compressc/internal/linalg/vmath"
	"github.com/compressc/compressc/internal/mask"
)

// Quantized is a matrix [Out, In] as codes on its grids.
type Quantized struct {
	Spec
	Out, In int
	// Codes [Out, In]: u of s·(u−z), each at most Spec.MaxCode().
	Codes []uint8
	// Scales and Zeros [Out, Groups]. Zeros are filled on symmetric grids too.
	Scales []float32
	Zeros  []uint8
}

// New returns a matrix whose codes and grids are all zero, for the caller to
// fill.
func New(spec Spec, out, in int) (*Quantized, error) {
	if err := spec.Validate(in); err != nil {
		return nil, err
	}
	if out < 1 {
		return nil, fmt.Errorf("%w: %d rows", ErrSpec, out)
	}
	g := spec.Groups(in)
	return &Quantized{
		Spec: spec, Out: out, In: in,
		Codes:  make([]uint8, out*in),
		Scales: make([]float32, out*g),
		Zeros:  make([]uint8, out*g),
	}, nil
}

// Fit sets the grids of group g of row r to the weights w of that group.
func (q *Quantized) Fit(r, g int, w []float32) {
	i := r*q.Groups(q.In) + g
	q.Scales[i], q.Zeros[i] = q.Spec.Fit(w)
}

// Scale returns the place of the scale of group g of row r.
func (q *Quantized) Scale(r, g int) *float32 { return &q.Scales[r*q.Groups(q.In)+g] }

// Rounder returns the grid of group g of row r.
func (q *Quantized) Rounder(r, g int) Rounder {
	i := r*q.Groups(q.In) + g
	return q.rounder(q.Scales[i], q.Zeros[i])
}

// FitAll sets every grid to w [Out, In]. Where keep is not nil, dropped weights
// count as zero.
func (q *Quantized) FitAll(p *linalg.Pool, w []float32, keep *mask.Mask) {
	q.EachRow(p, w, keep, func(r int, row []float32) {
		for g := range q.Groups(q.In) {
			lo, hi := q.Columns(g, q.In)
			q.Fit(r, g, row[lo:hi])
		}
	})
}

// Quantize rounds w [out, in] to nearest: each group to its own grid. Where keep
// is not nil, dropped weights count as zero and their code is the zero point,
// so that they read back as exactly zero. It returns an error for a Spec that
// does not fit the shape and for a weight that is not finite, and panics if w or
// keep have another shape. Results do not depend on p.
func Quantize(p *linalg.Pool, w []float32, out, in int, spec Spec, keep *mask.Mask) (*Quantized, error) {
	q, err := New(spec, out, in)
	if err != nil {
		return nil, err
	}
	q.checkShape(w, keep)
	if err := CheckFinite(w, in); err != nil {
		return nil, err
	}
	q.EachRow(p, w, keep, func(r int, row []float32) {
		codes := q.Codes[r*in : (r+1)*in]
		for g := range q.Groups(in) {
			lo, hi := q.Columns(g, in)
			q.Fit(r, g, row[lo:hi])
			i := r*q.Groups(in) + g
			vmath.Round(codes[lo:hi], row[lo:hi], q.Scales[i], q.Zeros[i], uint8(q.MaxCode()))
		}
	})
	return q, nil
}

// rowsPerTask makes a parallel task of tens of microseconds.
const rowsPerTask = 16

// EachRow calls f with every row of w [Out, In], in any order and from several
// goroutines; where keep is not nil, dropped weights are zero in it. f must not
// keep the row. It panics if w or keep have another shape.
func (q *Quantized) EachRow(p *linalg.Pool, w []float32, keep *mask.Mask, f func(r int, row []float32)) {
	q.checkShape(w, keep)
	p.For((q.Out+rowsPerTask-1)/rowsPerTask, func(_, task int) {
		var masked []float32
		if keep != nil {
			buf := linalg.TakeBuffer[float32](q.In)
			defer buf.Give()
			masked = buf.S
		}
		for r := task * rowsPerTask; r < min((task+1)*rowsPerTask, q.Out); r++ {
			row := w[r*q.In : (r+1)*q.In]
			if keep != nil {
				keep.ApplyRow(masked, row, r)
				row = masked
			}
			f(r, row)
		}
	})
}

func (q *Quantized) checkShape(w []float32, keep *mask.Mask) {
	if len(w) != q.Out*q.In {
		panic(fmt.Sprintf("grid: %d weights for [%d, %d]", len(w), q.Out, q.In))
	}
	if keep != nil {
		if r, c := keep.Shape(); r != q.Out || c != q.In {
			panic(fmt.Sprintf("grid: mask [%d, %d] for weights [%d, %d]", r, c, q.Out, q.In))
		}
	}
}

// ErrNotFinite is wrapped by the errors about an infinite weight or one that is
// not a number.
var ErrNotFinite = errors.New("weight is not finite")

// CheckFinite returns an error that names the first weight of w [_, in] that is
// not finite.
func CheckFinite(w []float32, in int) error {
	if vmath.Finite(w) {
		return nil
	}
	for i, v := range w {
		if v-v != 0 {
			return fmt.Errorf("%w: %v at [%d, %d]", ErrNotFinite, v, i/in, i%in)
		}
	}
	return nil
}

// Dequantize writes the values s·(u−z) to dst [Out, In]. A code that equals its
// zero point gives +0. It panics if dst has another length.
func (q *Quantized) Dequantize(dst []float32) {
	q.checkShape(dst, nil)
	for r := range q.Out {
		q.Row(dst[r*q.In:(r+1)*q.In], r, 0, q.In)
	}
}

// Row writes the values of columns [lo, hi) of row r to dst, as Dequantize does.
// It is a linalg.Rows.
func (q *Quantized) Row(dst []float32, r, lo, hi int) {
	codes := q.Codes[r*q.In : (r+1)*q.In]
	groups := q.Groups(q.In)
	for c := lo; c < hi; {
		g := 0
		if q.Spec.GroupSize > 0 {
			g = min(c/q.Spec.GroupSize, groups-1)
		}
		_, end := q.Columns(g, q.In)
		end = min(end, hi)
		vmath.Decode(dst[c-lo:end-lo], codes[c:end], q.Scales[r*groups+g], q.Zeros[r*groups+g])
		c = end
	}
}

// BitsPerWeight returns what the matrix takes in storage, see Spec.StorageBits.
func (q *Quantized) BitsPerWeight() float64 { return q.Spec.BitsPerWeight(q.Out, q.In) }
