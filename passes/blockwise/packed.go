package blockwise

import (
	"encoding/binary"
	"fmt"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/tensor"
)

// IsPacked reports whether the linear layer lies as a compressed-tensors
// checkpoint has it.
func IsPacked(v *artifact.Value, linear string) bool {
	return v.Has(linear + compressedtensors.PackedSuffix)
}

// Stored returns the grids of a linear layer that is stored as codes and, where
// they are packed, how.
func Stored(v *artifact.Value, linear string) (s compressedtensors.Stored, err error) {
	return s, v.JSON(linear+quantLeaf, &s)
}

// packedShape reads the shape that a packed layer says it has.
func packedShape(v *artifact.Value, linear string) (out, in int, err error) {
	e, err := v.Entry(linear + compressedtensors.ShapeSuffix)
	if err != nil {
		return 0, 0, err
	}
	b, err := v.Bytes(e.Name)
	if err != nil {
		return 0, 0, err
	}
	if e.Meta.DType != tensor.I64 || len(b) != 16 {
		return 0, 0, fmt.Errorf("blockwise: %s is %v; expected two I64", e.Name, e.Meta)
	}
	return int(binary.LittleEndian.Uint64(b)), int(binary.LittleEndian.Uint64(b[8:])), nil
}

// unpack returns the codes of a packed layer.
func unpack(v *artifact.Value, linear string) (*grid.Quantized, error) {
	s, err := Stored(v, linear)
	if err != nil {
		return nil, err
	}
	out, in, err := packedShape(v, linear)
	if err != nil {
		return nil, err
	}
	packed, err := v.Int32(linear + compressedtensors.PackedSuffix)
	if err != nil {
		return nil, err
	}
	scales, err := v.Float32(linear + compressedtensors.ScaleSuffix)
	if err != nil {
		return nil, err
	}
	var zeros []int32
	if !s.Symmetric {
		if zeros, err = v.Int32(linear + compressedtensors.ZeroSuffix); err != nil {
			return nil, err
		}
	}
	q, err := s.Decode(out, in, packed, scales, zeros)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", linear, err)
	}
	return q, nil
}
