package blockwise

import (
	"github.com/compressc/compressc/internal/arch"
)

// Geometry is what a block's arithmetic depends on, and nothing else of a
// configuration, so that two spellings of one config.json make equal actions.
type Geometry struct {
	Hidden       int               `json:"hidden"`
	Intermediate int               `json:"intermediate"`
	Heads        int               `json:"heads"`
	KVHeads      int               `json:"kv_heads"`
	HeadDim      int               `json:"head_dim"`
	RMSEps       float64           `json:"rms_eps"`
	RopeTheta    float64           `json:"rope_theta"`
	RopeScaling  *arch.RopeScaling `json:"rope_scaling,omitempty"`
	Vocab        int               `json:"vocab,omitempty"`
	AttnBias     bool              `json:"attention_bias,omitempty"`
	AttnOutBias  bool              `json:"attention_out_bias,omitempty"`
	MLPBias      bool              `json:"mlp_bias,omitempty"`
	MLPOutBias   bool              `json:"mlp_out_bias,omitempty"`
	QKNorm       bool              `json:"qk_norm,omitempty"`
	Window       int               `json:"window,omitempty"`
	Tied         bool              `json:"tied,omitempty"`
	Norm         string            `json:"norm,omitempty"`
	NormBias     bool              `json:"norm_bias,omitempty"`
	HeadBias     bool              `json:"head_bias,omitempty"`
	Plain        bool              `json:"plain_mlp,omitempty"`
	Activation   string            `json:"activation,omitempty"`
	Learned      bool              `json:"learned_positions,omitempty"`
	Positions    int               `json:"positions,omitempty"`
	Offset       int               `json:"position_offset,omitempty"`
	Adapters     arch.Adapters     `json:"adapters,omitzero"`
}

// BlockGeometry returns the geometry of block i of c.
func BlockGeometry(c *arch.Config, i int) Geometry {
	window := c.LayerWindow(i)
	c = c.At(i)
	return Geometry{Hidden: c.Hidden, Intermediate: c.Intermediate, Heads: c.Heads, KVHeads: c.KVHeads,
		HeadDim: c.HeadDim, RMSEps: c.RMSEps, RopeTheta: c.RopeTheta, RopeScaling: c.RopeScaling,
		AttnBias: c.AttentionBias, AttnOutBias: c.AttentionOutBias, MLPBias: c.MLPBias, MLPOutBias: c.MLPOutBias, QKNorm: c.QKNorm,
		Window: window, Norm: c.Norm, NormBias: c.NormBias, Plain: c.Plain, Activation: c.Activation, Learned: c.Learned, Adapters: c.Adapters}
}

// ModelGeometry returns what the embedding and the head of c depend on.
func ModelGeometry(c *arch.Config) Geometry {
	g := Geometry{Hidden: c.Hidden, RMSEps: c.RMSEps, Norm: c.Norm, NormBias: c.NormBias}
	return g.WithOuter(c)
}

// WithOuter returns g with what only the embedding and the head depend on.
func (g Geometry) WithOuter(c *arch.Config) Geometry {
	g.Vocab, g.Tied, g.HeadBias = c.Vocab, c.Tied, c.HeadBias
	if g.Learned = c.Learned; g.Learned {
		g.Positions, g.Offset = c.MaxPosition, c.PositionOffset
	}
	return g
}

// Config returns the configuration of a model of one such block.
func (g Geometry) Config() *arch.Config {
	return &arch.Config{ModelType: "llama", Layers: 1, Hidden: g.Hidden, Intermediate: g.Intermediate,
		Heads: g.Heads, KVHeads: g.KVHeads, HeadDim: g.HeadDim, RMSEps: g.RMSEps, RopeTheta: g.RopeTheta,
		RopeScaling: g.RopeScaling, Vocab: g.Vocab, AttentionBias: g.AttnBias, AttentionOutBias: g.AttnOutBias,
		MLPBias: g.MLPBias, MLPOutBias: g.MLPOutBias, QKNorm: g.QKNorm, SlidingWindow: g.Window, Tied: g.Tied,
		Norm: g.Norm, NormBias: g.NormBias, HeadBias: g.HeadBias, Plain: g.Plain, Activation: g.Activation, Learned: g.Learned, MaxPosition: g.Positions, PositionOffset: g.Offset,
		Adapters: g.Adapters}
}
