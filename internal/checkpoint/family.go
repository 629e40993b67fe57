package checkpoint

import (
	"fmt"
	"strings"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/tensor"
)

// Fused says what a tensor is made from that a family's checkpoint holds in
// another form: GPT-2 stores weights [in, out], and q, k and v as one.
type Fused struct {
	// Stored is the tensor in the file.
	Stored Tensor
	// Part of Parts equal pieces of its outputs.
	Part, Parts int
}

// addFamily adds the tensors of a family that has names of its own, under the
// names that they have here. Pieces of a vector are places in the file; what
// must be transposed is said in Fused. Tensors that the family has no use for are
// passed over, and others keep their names, for check to refuse.
func (c *Checkpoint) addFamily(ts []*safetensors.Tensor) error {
	stored := map[string]*safetensors.Tensor{}
	for _, t := range ts {
		if _, _, packed := cutPart(t.Name); packed {
			return fmt.Errorf("%s: %s is stored as codes; in %s models supported are floating point numbers", t.Path, t.Name, c.Config.ModelType)
		}
		stored[t.Name] = t
	}
	used := map[string]bool{}
	add := func(x arch.TensorSpec) {
		at := c.Config.Source(x.Name)
		t, name := lookup(stored, at.Name)
		if t == nil {
			return
		}
		used[name] = true
		whole := Tensor{Name: name, Meta: t.Meta, Path: t.Path, Offset: t.Offset, Length: t.Length}
		own := whole
		own.Name = x.Name
		switch shape := t.Meta.Shape; {
		case at.Transposed && len(shape) == 2 && shape[1]%at.Parts == 0:
			own.Meta.Shape = []int{shape[1] / at.Parts, shape[0]}
			own.Offset, own.Length = 0, whole.Length/int64(at.Parts)
			own.Fused = &Fused{Stored: whole, Part: at.Part, Parts: at.Parts}
		case at.Parts > 1 && len(shape) == 1 && shape[0]%at.Parts == 0:
			own.Meta.Shape = []int{shape[0] / at.Parts}
			own.Length /= int64(at.Parts)
			own.Offset += int64(at.Part) * own.Length
		}
		c.Tensors = append(c.Tensors, own)
	}
	for _, x := range c.Config.OuterTensors() {
		add(x)
	}
	for i := range c.Config.Layers {
		for _, x := range c.Config.At(i).BlockTensors() {
			x.Name = c.Config.BlockPrefix(i) + x.Name
			add(x)
		}
	}
	for _, t := range ts {
		switch {
		case used[t.Name], c.Config.Tied && t.Name == "lm_head.weight":
		case strings.HasSuffix(t.Name, ".attn.bias"), strings.HasSuffix(t.Name, ".attn.masked_bias"):
			// Causal masks that old writers stored.
		default:
			c.Tensors = append(c.Tensors, Tensor{Name: t.Name, Meta: t.Meta, Path: t.Path, Offset: t.Offset, Length: t.Length})
		}
	}
	return nil
}

// lookup finds a tensor by its full name or, as files that hold the decoder
// without its head have it, by the name without the outermost module.
func lookup(stored map[string]*safetensors.Tensor, name string) (*safetensors.Tensor, string) {
	if t := stored[name]; t != nil {
		return t, name
	}
	_, short, _ := strings.Cut(name, ".")
	return stored[short], short
}

// Transposed returns [out, in], a piece of the stored tensor [in, parts·out] that
// meta is of.
func Transposed(stored []byte, meta tensor.Meta, part, parts int) []byte {
	in, width, size := meta.Shape[0], meta.Shape[1], meta.DType.Size()
	out := width / parts
	b := make([]byte, in*out*size)
	for r := range out {
		for k := range in {
			from := (k*width + part*out + r) * size
			copy(b[(r*in+k)*size:], stored[from:from+size])
		}
	}
	return b
}
