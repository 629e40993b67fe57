package checkpoint

import (
	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/model"
)

// Type returns the model type of the checkpoint, without a tokenizer's digest;
// from is the address of the block that names it, for messages.
func (c *Checkpoint) Type(from string) *model.Type {
	bytes := map[string]int64{} // of a linear layer, by its path
	ty := model.New(c.Config, from, func(path string) float64 {
		bytes[path] = c.weightBytes(path)
		return 0
	})
	for _, l := range ty.Linears {
		l.StoredBits = float64(8*bytes[l.Path]) / (float64(l.Out) * float64(l.In))
		if s, ok := c.Quantized[l.Path]; ok {
			l.Format = model.Format{Bits: s.Bits, GroupSize: s.GroupSize, Symmetric: s.Symmetric, ScaleBits: s.ScaleBits()}
			l.QuantizedBy = from
		}
	}
	if c.Config.Adapters.Any() {
		ty.AdaptedBy = from
	}
	for _, t := range c.Tensors {
		ty.OtherBytes += t.Length
	}
	for _, n := range bytes {
		ty.OtherBytes -= n
	}
	return ty
}

// weightBytes is what the weights of a linear layer take, scales and zero
// points counted.
func (c *Checkpoint) weightBytes(path string) (n int64) {
	for _, suffix := range append(compressedtensors.Suffixes(), ".weight") {
		if t, ok := c.Lookup(path + suffix); ok {
			n += t.Length
		}
	}
	return n
}

// BlockTensors returns the names of block i's tensors without the block's
// prefix, in model order: of a linear layer stored as codes its parts.
func (c *Checkpoint) BlockTensors(i int) []string {
	prefix := c.Config.BlockPrefix(i)
	linears := map[string]string{}
	for _, l := range c.Config.Linears() {
		linears[l.Weight()] = l.Name
	}
	var names []string
	for _, t := range c.Config.At(i).BlockTensors() {
		s, quantized := c.Quantized[prefix+linears[t.Name]]
		if !quantized {
			names = append(names, t.Name)
			continue
		}
		for _, p := range s.Parts(t.Shape[0], t.Shape[1]) {
			names = append(names, linears[t.Name]+p.Suffix)
		}
	}
	return names
}
