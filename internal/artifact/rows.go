package artifact

import (
	"fmt"

	"github.com/compressc/compressc/internal/tensor"
)

// Rows reads a floating point leaf a few rows at a time, so that a table need
// not be in memory as float32. A row is an entry of the first dimension. It is
// safe for concurrent use and valid as long as its Value.
type Rows struct {
	// Count rows have Width elements each. A leaf of one dimension is one row.
	Count, Width int

	name string
	meta tensor.Meta
	data []byte
	// whole is the decoded tensor where its rows are not stored in order.
	whole []float32
}

// Rows returns the rows of the leaf called name. One whose rows are stored in
// another order is decoded at once.
func (v *Value) Rows(name string) (*Rows, error) {
	e, err := v.Entry(name)
	if err != nil {
		return nil, err
	}
	if len(e.Meta.Shape) == 0 {
		return nil, fmt.Errorf("artifact: %s is %v and has no rows", name, e.Meta)
	}
	r := &Rows{Count: e.Meta.Shape[0], Width: 1, name: name, meta: e.Meta}
	for _, n := range e.Meta.Shape[1:] {
		r.Width *= n
	}
	if len(e.Meta.Shape) == 1 {
		r.Count, r.Width = 1, e.Meta.Shape[0] // blocks run along the one dimension
		r.meta.Shape = []int{1, r.Width}
	}
	if e.Meta.RotaryHeadDim > 0 {
		r.whole, err = v.Float32(name)
		return r, err
	}
	if r.data, err = v.load(e); err != nil {
		return nil, err
	}
	size := e.Meta.DType.Size() * e.Meta.Elements()
	if e.Meta.Encoding == "" && size != len(r.data) || r.Count > 0 && len(r.data)%r.Count != 0 {
		return nil, fmt.Errorf("artifact: %s: %d bytes are not the %d rows of %v", name, len(r.data), r.Count, e.Meta)
	}
	return r, nil
}

// Float32 returns rows lo to hi as float32 [hi-lo, Width] in Hugging Face order:
// a view of shared memory where they are stored as such, else decoded into buf,
// which has room for them.
func (r *Rows) Float32(lo, hi int, buf []float32) ([]float32, error) {
	if lo < 0 || hi > r.Count || lo > hi {
		panic(fmt.Sprintf("artifact: rows %d to %d of %d", lo, hi, r.Count))
	}
	if r.whole != nil {
		return r.whole[lo*r.Width : hi*r.Width], nil
	}
	if lo == hi {
		return nil, nil
	}
	bytes := len(r.data) / r.Count
	m := r.meta
	m.Shape = append([]int{hi - lo}, r.meta.Shape[1:]...)
	out, err := DecodeFloat32In(m, r.data[lo*bytes:hi*bytes], func(n int) []float32 {
		if cap(buf) < n {
			buf = make([]float32, n)
		}
		return buf[:n]
	})
	if err != nil {
		return nil, fmt.Errorf("artifact: rows %d to %d of %s: %w", lo, hi, r.name, err)
	}
	return out, nil
}
