package arch

import (
	"encoding/json"
	"fmt"
	"slices"
)

// BlockShape is what blocks of one model may differ in: pruning whole heads and
// neurons leaves each block with as many as it needs.
type BlockShape struct {
	Heads        int `json:"heads"`        // query heads
	KVHeads      int `json:"kv_heads"`     // key and value heads; divides Heads
	Intermediate int `json:"intermediate"` // width inside the MLP
}

// Uniform reports whether all blocks have the same shape.
func (c *Config) Uniform() bool { return c.shapes == nil }

// At returns the configuration of block i: c itself where all blocks are alike,
// else a copy whose Heads, KVHeads and Intermediate are the block's own. The
// copy is still asked for LayerWindow(i) and BlockPrefix(i) of the same i.
func (c *Config) At(i int) *Config {
	if c.shapes == nil {
		return c
	}
	s, b := c.shapes[i], *c
	b.shapes = nil
	b.Heads, b.KVHeads, b.Intermediate = s.Heads, s.KVHeads, s.Intermediate
	return &b
}

// Shape returns the shape of block i.
func (c *Config) Shape(i int) BlockShape {
	if c.shapes != nil {
		return c.shapes[i]
	}
	return BlockShape{c.Heads, c.KVHeads, c.Intermediate}
}

// WithShapes returns a copy of c whose blocks have the given shapes, one each;
// its own sizes are the largest of theirs. It panics for another number of
// shapes than blocks.
func (c *Config) WithShapes(shapes []BlockShape) *Config {
	if len(shapes) != c.Layers {
		panic(fmt.Sprintf("arch: %d shapes for %d blocks", len(shapes), c.Layers))
	}
	n := *c
	n.Heads, n.KVHeads, n.Intermediate, n.shapes = 0, 0, 0, nil
	for _, s := range shapes {
		if s.Heads > n.Heads {
			n.Heads, n.KVHeads = s.Heads, s.KVHeads
		}
		n.Intermediate = max(n.Intermediate, s.Intermediate)
	}
	for _, s := range shapes {
		if s != n.Shape(0) {
			n.shapes = slices.Clone(shapes)
			break
		}
	}
	return &n
}

// overBlocks sums f over the blocks.
func (c *Config) overBlocks(f func(*Config) int64) (n int64) {
	if c.shapes == nil {
		return f(c) * int64(c.Layers)
	}
	for i := range c.shapes {
		n += f(c.At(i))
	}
	return n
}

// The keys of config.json that are ours: the lists have an entry a block.
const (
	layerHeadsKey   = "num_attention_heads_per_layer"
	layerKVHeadsKey = "num_key_value_heads_per_layer"
	layerSizesKey   = "intermediate_size_per_layer"
	outBiasKey      = "attention_out_bias"
	mlpOutBiasKey   = "mlp_out_bias"
)

// readShapes reads the keys of our own.
func (c *Config) readShapes(h *hfConfig) error {
	if h.AttentionOutBias != nil {
		c.AttentionOutBias = *h.AttentionOutBias
	}
	if h.MLPOutBias != nil {
		c.MLPOutBias = *h.MLPOutBias
	}
	if h.LayerHeads == nil && h.LayerKVHeads == nil && h.LayerSizes == nil {
		return nil
	}
	shapes := slices.Repeat([]BlockShape{c.Shape(0)}, c.Layers)
	for _, l := range []struct {
		key  string
		list []int
		most int
		set  func(*BlockShape, int)
	}{
		{layerHeadsKey, h.LayerHeads, c.Heads, func(s *BlockShape, n int) { s.Heads = n }},
		{layerKVHeadsKey, h.LayerKVHeads, c.Heads, func(s *BlockShape, n int) { s.KVHeads = n }},
		{layerSizesKey, h.LayerSizes, c.Intermediate, func(s *BlockShape, n int) { s.Intermediate = n }},
	} {
		if l.list == nil {
			continue
		}
		if len(l.list) != c.Layers {
			return fmt.Errorf("config.json: %s has %d entries; expected num_hidden_layers = %d", l.key, len(l.list), c.Layers)
		}
		for i, n := range l.list {
			if n < 1 || n > l.most {
				return fmt.Errorf("config.json: %s[%d] is %d; expected 1 to %d, the size of the whole model", l.key, i, n, l.most)
			}
			l.set(&shapes[i], n)
		}
	}
	for i, s := range shapes {
		if s.Heads%s.KVHeads != 0 {
			return fmt.Errorf("config.json: block %d has %d heads and %d of keys and values; expected a divisor", i, s.Heads, s.KVHeads)
		}
	}
	*c = *c.WithShapes(shapes)
	return nil
}

// setShapes writes the keys of our own where they say anything.
func (c *Config) setShapes(raw map[string]json.RawMessage, set func(string, any) error) error {
	for _, b := range []struct {
		key      string
		has, usu bool
	}{
		{outBiasKey, c.AttentionOutBias, c.AttentionBias && c.ModelType != "qwen2"},
		{mlpOutBiasKey, c.MLPOutBias, c.MLPBias},
	} {
		if delete(raw, b.key); b.has == b.usu {
			continue
		}
		if err := set(b.key, b.has); err != nil {
			return err
		}
	}
	for _, l := range []struct {
		key string
		of  func(BlockShape) int
	}{
		{layerHeadsKey, func(s BlockShape) int { return s.Heads }},
		{layerKVHeadsKey, func(s BlockShape) int { return s.KVHeads }},
		{layerSizesKey, func(s BlockShape) int { return s.Intermediate }},
	} {
		if delete(raw, l.key); c.shapes == nil {
			continue
		}
		list := make([]int, c.Layers)
		for i := range list {
			list[i] = l.of(c.shapes[i])
		}
		if err := set(l.key, list); err != nil {
			return err
		}
	}
	return nil
}
