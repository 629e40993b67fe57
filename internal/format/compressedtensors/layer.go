package compressedtensors

import (
	"fmt"

	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/tensor"
)

// What follows a layer's path in the names of its tensors.
const (
	PackedSuffix = ".weight_packed"
	ScaleSuffix  = ".weight_scale"
	ShapeSuffix  = ".weight_shape"
	ZeroSuffix   = ".weight_zero_point"
)

// Suffixes lists them all.
func Suffixes() []string { return []string{PackedSuffix, ScaleSuffix, ShapeSuffix, ZeroSuffix} }

// Stored is how a layer's codes are stored: their grids and the layout of the
// words. Its JSON is that of the grid with one key more.
type Stored struct {
	grid.Spec
	// Padded is the layout of versions before 0.18.
	Padded bool `json:",omitempty"`
}

func (s Stored) layout() layout { return layout{s.Bits, s.Padded} }

// Part is one of the tensors of a layer.
type Part struct {
	Suffix string
	Meta   tensor.Meta
}

// Parts lists the tensors of a layer [out, in] in the order of Suffixes.
// Scales are given in the type that holds s's exactly, F16 or F32.
func (s Stored) Parts(out, in int) []Part {
	groups := s.Groups(in)
	scale := tensor.F32
	if s.ScaleDType == grid.F16 {
		scale = tensor.F16
	}
	p := []Part{
		{PackedSuffix, tensor.Meta{DType: tensor.I32, Shape: []int{out, s.layout().words(in)}}},
		{ScaleSuffix, tensor.Meta{DType: scale, Shape: []int{out, groups}}},
		{ShapeSuffix, tensor.Meta{DType: tensor.I64, Shape: []int{2}}},
	}
	if !s.Symmetric {
		p = append(p, Part{ZeroSuffix, tensor.Meta{DType: tensor.I32, Shape: []int{s.layout().words(out), groups}}})
	}
	return p
}

// Infer sets Padded to the layout of a layer [out, in] whose rows of codes take
// words words each. Where both layouts take as many, version decides: that of
// the quantization_config. It fails where neither does.
func (s *Stored) Infer(in, words int, version string) error {
	stream, padded := layout{s.Bits, false}.words(in), layout{s.Bits, true}.words(in)
	switch {
	case 32%s.Bits == 0 && words == stream:
		s.Padded = false // one layout by two names
	case stream == padded && words == stream:
		s.Padded = before018(version)
	case words == stream:
		s.Padded = false
	case words == padded:
		s.Padded = true
	default:
		return fmt.Errorf("rows of %d words for %d codes of %d bits; expected %d, or %d as versions before 0.18 packed them", words, in, s.Bits, stream, padded)
	}
	return nil
}

// Decode returns the layer [out, in] that the tensors stand for. zeros is not
// read on symmetric grids. The layer keeps scales.
func (s Stored) Decode(out, in int, packed []int32, scales []float32, zeros []int32) (*grid.Quantized, error) {
	if err := s.Validate(in); err != nil {
		return nil, err
	}
	groups := s.Groups(in)
	if len(scales) != out*groups {
		return nil, fmt.Errorf("compressed-tensors: %d scales for %d rows of %d groups", len(scales), out, groups)
	}
	q := &grid.Quantized{Spec: s.Spec, Out: out, In: in, Scales: scales}
	var err error
	if q.Codes, err = unpackRows(packed, out, in, s.layout()); err != nil {
		return nil, err
	}
	if !s.Symmetric {
		q.Zeros, err = unpackColumns(zeros, out, groups, s.layout())
		return q, err
	}
	q.Zeros = make([]uint8, out*groups)
	for i := range q.Zeros {
		q.Zeros[i] = 1 << (s.Bits - 1)
	}
	return q, nil
}
