package export

import (
	"context"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/passes/blockwise"
)

// packPiece returns the tensors of a quantised layer as compressed-tensors has
// them, and adds the layer to the configuration.
func packPiece(ctx context.Context, o *opened, q piece, groups *compressedtensors.Config) ([]safetensors.WriteTensor, error) {
	s, err := blockwise.Stored(q.v, q.leaf)
	if err != nil {
		return nil, err
	}
	groups.Add(q.name, compressedtensors.Weights{Bits: s.Bits, GroupSize: s.GroupSize, Symmetric: s.Symmetric})
	// Words in the layout of old versions are packed anew.
	asIs := blockwise.IsPacked(q.v, q.leaf) && !s.Padded
	s.Padded = false
	var out []safetensors.WriteTensor
	for _, p := range s.Parts(q.linear.Out, q.linear.In) {
		t := safetensors.WriteTensor{Name: q.name + p.Suffix, Meta: p.Meta}
		if asIs {
			e, err := q.v.Entry(q.leaf + p.Suffix)
			if err != nil {
				return nil, err
			}
			t.Meta = e.Meta
		}
		t.Data = o.reading(ctx, q, func(q piece) ([]byte, error) {
			if asIs {
				return q.v.Bytes(q.leaf + p.Suffix)
			}
			c, err := q.codes()
			if err != nil {
				return nil, err
			}
			return partBytes(p, c)
		})
		out = append(out, t)
	}
	return out, nil
}

// partBytes returns the bytes of one tensor of a layer.
func partBytes(p compressedtensors.Part, c *grid.Quantized) ([]byte, error) {
	switch p.Suffix {
	case compressedtensors.PackedSuffix:
		return artifact.AsBytes(compressedtensors.PackRows(c.Codes, c.Out, c.In, c.Bits)), nil
	case compressedtensors.ScaleSuffix:
		return encode(p.Meta.DType, c.Scales)
	case compressedtensors.ShapeSuffix:
		return artifact.AsBytes([]int64{int64(c.Out), int64(c.In)}), nil
	case compressedtensors.ZeroSuffix:
		return artifact.AsBytes(compressedtensors.PackColumns(c.Zeros, c.Out, c.Groups(c.In), c.Bits)), nil
	}
	panic("export: no tensor " + p.Suffix)
}
