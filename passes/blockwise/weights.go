package blockwise

import (
	"slices"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/mask"
	"github.com/compressc/compressc/internal/nn"
	"github.com/compressc/compressc/internal/tensor"
)

// Leaf names beside a linear layer's path.
const (
	maskLeaf   = ".mask"
	codesLeaf  = ".codes"
	scalesLeaf = ".scales"
	zerosLeaf  = ".zeros"
	quantLeaf  = ".quant"
)

// QuantLeaf names the JSON leaf that says how the codes of a linear are stored,
// a compressedtensors.Stored or, where nothing is packed, its grid.Spec.
func QuantLeaf(linear string) string { return linear + quantLeaf }

// IsQuantized reports whether the linear layer is stored as integer codes.
func IsQuantized(v *artifact.Value, linear string) bool {
	return v.Has(linear+codesLeaf) || IsPacked(v, linear)
}

// Quantized returns the codes, scales and zero points of a linear layer. Its
// slices may be views of shared memory: do not write to them.
func Quantized(v *artifact.Value, linear string) (*grid.Quantized, error) {
	if IsPacked(v, linear) {
		return unpack(v, linear)
	}
	var q grid.Quantized
	if err := v.JSON(linear+quantLeaf, &q.Spec); err != nil {
		return nil, err
	}
	e, err := v.Entry(linear + codesLeaf)
	if err != nil {
		return nil, err
	}
	q.Out, q.In = e.Meta.Shape[0], e.Meta.Shape[1]
	if q.Codes, err = v.Bytes(linear + codesLeaf); err != nil {
		return nil, err
	}
	if q.Scales, err = v.Float32(linear + scalesLeaf); err != nil {
		return nil, err
	}
	q.Zeros, err = v.Bytes(linear + zerosLeaf)
	return &q, err
}

// Mask returns a linear layer's mask, or nil where it is dense.
func Mask(v *artifact.Value, linear string) (*mask.Mask, error) {
	if !v.Has(linear + maskLeaf) {
		return nil, nil
	}
	out, in, err := shapeOf(v, linear)
	if err != nil {
		return nil, err
	}
	b, err := v.Bytes(linear + maskLeaf)
	if err != nil {
		return nil, err
	}
	return mask.FromBytes(out, in, b)
}

// Load decodes a block.
func Load(c *arch.Config, v *artifact.Value) (*nn.Block, error) {
	return (*Scratch)(nil).Load(c, v)
}

// LoadForward opens a block for forward passes alone: layers that are codes stay
// codes and are decoded where they are multiplied, with the same bits.
func LoadForward(c *arch.Config, v *artifact.Value) (*nn.Block, error) {
	return (*Scratch)(nil).LoadForward(c, v)
}

// Lin returns the linear layer of a block by its name in the checkpoint.
func Lin(b *nn.Block, name string) *nn.Linear { return b.Linears()[nn.LinearIndex(name)] }

func cutWeight(c *arch.Config, name string) (string, bool) {
	for _, s := range c.Linears() {
		if name == s.Weight() {
			return s.Name, true
		}
	}
	return "", false
}

// PutDense stores weights [out, in] and, unless nil, their mask.
func PutDense(b *artifact.Builder, linear string, out, in int, w []float32, m *mask.Mask) {
	b.PutFloat32(linear+".weight", []int{out, in}, w)
	putMask(b, linear, m)
}

func putMask(b *artifact.Builder, linear string, m *mask.Mask) {
	if m != nil {
		rows, cols := m.Shape()
		b.PutBytes(linear+maskLeaf, tensor.Meta{DType: tensor.U8, Shape: []int{rows, (cols + 7) / 8}}, slices.Clone(m.Bytes()))
	}
}

// PutCoded stores weights in the form they have and, unless nil, the mask.
func PutCoded(b *artifact.Builder, linear string, c Coded, m *mask.Mask) error {
	putMask(b, linear, m)
	return c.put(b, linear)
}

// putCodes stores codes, scales and zero points.
func putCodes(b *artifact.Builder, linear string, q *grid.Quantized) error {
	groups := len(q.Scales) / q.Out
	b.PutBytes(linear+codesLeaf, tensor.Meta{DType: tensor.U8, Shape: []int{q.Out, q.In}}, q.Codes)
	if q.Spec.ScaleDType == "f16" {
		putHalf(b, linear+scalesLeaf, []int{q.Out, groups}, q.Scales)
	} else {
		b.PutFloat32(linear+scalesLeaf, []int{q.Out, groups}, q.Scales)
	}
	b.PutBytes(linear+zerosLeaf, tensor.Meta{DType: tensor.U8, Shape: []int{q.Out, groups}}, q.Zeros)
	return b.PutJSON(linear+quantLeaf, q.Spec)
}

// putHalf stores numbers as float16.
func putHalf(b *artifact.Builder, name string, shape []int, x []float32) {
	data := make([]byte, 2*len(x))
	half.F32ToF16(data, x)
	b.PutBytes(name, tensor.Meta{DType: tensor.F16, Shape: shape}, data)
}
