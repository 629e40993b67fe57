package blockwise

import (
	"fmt"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/internal/vq"
)

// Leaves of a layer of codebook vectors. Every codebook is F16 [k, v] and has
// the indices of its columns in order, packed, U8 [bytes]; marks is a bit for
// each column, set for the outliers.
const (
	vectorsLeaf  = ".vq.quant" // JSON, its shape
	codebookLeaf = ".vq.codebook"
	residualLeaf = ".vq.residual"
	outlierLeaf  = ".vq.outlier"
	marksLeaf    = ".vq.outlier.columns"
	indicesOf    = ".indices"
)

var vectorLeaves = []string{vectorsLeaf, codebookLeaf, codebookLeaf + indicesOf, residualLeaf, residualLeaf + indicesOf, outlierLeaf, outlierLeaf + indicesOf, marksLeaf}

// Vectors returns a matrix of codebook vectors as a Coded.
func Vectors(m *vq.Matrix) Coded { return vectors{m} }

type vectors struct{ *vq.Matrix }

type vectorsSpec struct {
	Out int `json:"out"`
	In  int `json:"in"`
}

func (x vectors) put(b *artifact.Builder, linear string) error {
	part := func(leaf string, p *vq.Part) {
		if p == nil {
			return
		}
		packed := vq.Pack(p.Index, p.Book.Bits())
		putHalf(b, linear+leaf, []int{p.Book.Len(), p.Book.Vector}, p.Book.Centroids)
		b.PutBytes(linear+leaf+indicesOf, tensor.Meta{DType: tensor.U8, Shape: []int{len(packed)}}, packed)
	}
	part(codebookLeaf, &x.Main)
	part(residualLeaf, x.Residual)
	part(outlierLeaf, x.Outlier)
	if x.Marks != nil {
		bits := make([]int32, x.In)
		for c, o := range x.Marks {
			if o {
				bits[c] = 1
			}
		}
		packed := vq.Pack(bits, 1)
		b.PutBytes(linear+marksLeaf, tensor.Meta{DType: tensor.U8, Shape: []int{len(packed)}}, packed)
	}
	return b.PutJSON(linear+vectorsLeaf, vectorsSpec{x.Out, x.In})
}

func vectorsShape(v *artifact.Value, linear string) (out, in int, err error) {
	var s vectorsSpec
	if err := v.JSON(linear+vectorsLeaf, &s); err != nil {
		return 0, 0, err
	}
	if s.Out < 1 || s.In < 1 {
		return 0, 0, fmt.Errorf("blockwise: %s is [%d, %d]", linear, s.Out, s.In)
	}
	return s.Out, s.In, nil
}

func openVectors(v *artifact.Value, linear string) (Coded, error) {
	out, in, err := vectorsShape(v, linear)
	if err != nil {
		return nil, err
	}
	m := &vq.Matrix{Out: out, In: in}
	outliers := 0
	if v.Has(linear + marksLeaf) {
		packed, err := v.Bytes(linear + marksLeaf)
		if err != nil {
			return nil, err
		}
		bits, err := vq.Unpack(packed, in, 1)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", linear, err)
		}
		m.Marks = make([]bool, in)
		for c, o := range bits {
			m.Marks[c] = o == 1
			outliers += int(o)
		}
	}
	part := func(leaf string, columns int) (*vq.Part, error) {
		if !v.Has(linear + leaf) {
			return nil, nil
		}
		e, err := v.Entry(linear + leaf)
		if err != nil {
			return nil, err
		}
		if len(e.Meta.Shape) != 2 {
			return nil, fmt.Errorf("blockwise: %s is %v; expected a matrix", e.Name, e.Meta)
		}
		centroids, err := v.Float32(e.Name)
		if err != nil {
			return nil, err
		}
		packed, err := v.Bytes(e.Name + indicesOf)
		if err != nil {
			return nil, err
		}
		p := &vq.Part{}
		if p.Book, err = vq.NewCodebook(e.Meta.Shape[1], centroids); err == nil {
			p.Index, err = vq.Unpack(packed, columns*((out+p.Book.Vector-1)/p.Book.Vector), p.Book.Bits())
		}
		return p, err
	}
	main, err := part(codebookLeaf, in-outliers)
	if err == nil && main == nil {
		err = fmt.Errorf("blockwise: no codebook of %s", linear)
	}
	if err != nil {
		return nil, err
	}
	m.Main = *main
	if m.Residual, err = part(residualLeaf, in-outliers); err != nil {
		return nil, err
	}
	if m.Outlier, err = part(outlierLeaf, outliers); err != nil {
		return nil, err
	}
	if err := m.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", linear, err)
	}
	return vectors{m}, nil
}
