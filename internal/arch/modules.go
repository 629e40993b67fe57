package arch

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The input sites of a block: where the inputs of its linear layers arise.
const (
	SiteAttnIn  = "attn_in"  // after the input norm: q, k, v
	SiteAttnOut = "attn_out" // the heads' outputs side by side: o
	SiteMLPIn   = "mlp_in"   // after the post-attention norm: gate, up
	SiteMLPMid  = "mlp_mid"  // silu(gate)·up, or act(up) without a gate: down
)

// Sites lists the input sites in the order a forward pass reaches them.
func Sites() []string { return []string{SiteAttnIn, SiteAttnOut, SiteMLPIn, SiteMLPMid} }

// LinearSpec is one linear layer of a block: y = W·x + b, W [Out, In].
type LinearSpec struct {
	Name string // module path inside the block: "self_attn.q_proj"
	Role string // "attn.q", "attn.k", "attn.v", "attn.o", "mlp.gate", "mlp.up", "mlp.down"
	Site string // where its input arises, one of Sites
	Out  int    // output features
	In   int    // input features
	Bias bool   // has a bias of Out entries
}

// Weight is the checkpoint name, inside the block, of the layer's weight.
func (l LinearSpec) Weight() string { return l.Name + ".weight" }

// BiasName is the checkpoint name, inside the block, of the layer's bias.
func (l LinearSpec) BiasName() string { return l.Name + ".bias" }

// ReadsStream reports whether the layer's input is the residual stream, through a
// norm.
func (l LinearSpec) ReadsStream() bool { return l.Site == SiteAttnIn || l.Site == SiteMLPIn }

// WritesStream reports whether the layer's output is added to the residual
// stream.
func (l LinearSpec) WritesStream() bool { return l.Role == "attn.o" || l.Role == "mlp.down" }

// TensorSpec names a tensor and gives its shape, outermost first.
type TensorSpec struct {
	Name  string
	Shape []int
}

// Elements returns the product of the shape.
func (t TensorSpec) Elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		n *= int64(d)
	}
	return n
}

// QDim is the width of all query heads together.
func (c *Config) QDim() int { return c.Heads * c.HeadDim }

// KVDim is the width of all key (or value) heads together.
func (c *Config) KVDim() int { return c.KVHeads * c.HeadDim }

// Linears returns the linear layers of one block in checkpoint order:
// q, k, v, o, gate, up, down; a plain MLP has no gate. Where blocks differ, ask
// At(i).
func (c *Config) Linears() []LinearSpec {
	d, q, kv, f := c.Hidden, c.QDim(), c.KVDim(), c.Intermediate
	ls := []LinearSpec{
		{"self_attn.q_proj", "attn.q", SiteAttnIn, q, d, c.AttentionBias},
		{"self_attn.k_proj", "attn.k", SiteAttnIn, kv, d, c.AttentionBias},
		{"self_attn.v_proj", "attn.v", SiteAttnIn, kv, d, c.AttentionBias},
		{"self_attn.o_proj", "attn.o", SiteAttnOut, d, q, c.AttentionOutBias},
		{"mlp.gate_proj", "mlp.gate", SiteMLPIn, f, d, c.MLPBias},
		{"mlp.up_proj", "mlp.up", SiteMLPIn, f, d, c.MLPBias},
		{"mlp.down_proj", "mlp.down", SiteMLPMid, d, f, c.MLPOutBias},
	}
	if c.Plain {
		ls = slices.Delete(ls, 4, 5)
	}
	return ls
}

// SiteWidth returns the number of features at an input site. It panics for a
// name that is not one of Sites.
func (c *Config) SiteWidth(site string) int {
	switch site {
	case SiteAttnIn, SiteMLPIn:
		return c.Hidden
	case SiteAttnOut:
		return c.QDim()
	case SiteMLPMid:
		return c.Intermediate
	}
	panic("arch: unknown input site " + strconv.Quote(site))
}

// The names, inside a block, of its norm gains.
const (
	InputNormName = "input_layernorm.weight"
	PostNormName  = "post_attention_layernorm.weight"
	QNormName     = "self_attn.q_norm.weight"
	KNormName     = "self_attn.k_norm.weight"
)

// BlockTensors returns every tensor of one block, without the block's prefix:
// the linear layers in checkpoint order, each bias after its weight, then the
// norms, then the adapters.
func (c *Config) BlockTensors() []TensorSpec {
	var out []TensorSpec
	for _, l := range c.Linears() {
		out = append(out, TensorSpec{l.Weight(), []int{l.Out, l.In}})
		if l.Bias {
			out = append(out, TensorSpec{l.BiasName(), []int{l.Out}})
		}
	}
	if c.QKNorm {
		out = append(out,
			TensorSpec{QNormName, []int{c.HeadDim}},
			TensorSpec{KNormName, []int{c.HeadDim}})
	}
	out = append(out,
		TensorSpec{InputNormName, []int{c.Hidden}},
		TensorSpec{PostNormName, []int{c.Hidden}})
	if c.NormBias {
		out = append(out,
			TensorSpec{InputNormBiasName, []int{c.Hidden}},
			TensorSpec{PostNormBiasName, []int{c.Hidden}})
	}
	return append(out, c.Adapters.Tensors(c.Hidden)...)
}

// BlockPrefix returns what precedes the names of block i in a checkpoint:
// "model.layers.3.".
func (c *Config) BlockPrefix(i int) string { return "model.layers." + strconv.Itoa(i) + "." }

// EmbedName is the checkpoint name of the embedding table [vocab, hidden].
func (c *Config) EmbedName() string { return "model.embed_tokens.weight" }

// FinalNormName is the checkpoint name of the gain [hidden] before the head.
func (c *Config) FinalNormName() string { return "model.norm.weight" }

// HeadName is the checkpoint name of the head [vocab, hidden]: of the embedding
// table where the two are tied.
func (c *Config) HeadName() string {
	if c.Tied {
		return c.EmbedName()
	}
	return "lm_head.weight"
}

// EmbedTensors returns the tensors that make hidden states of tokens: the
// embedding and, where they are learned, the positions.
func (c *Config) EmbedTensors() []TensorSpec {
	out := []TensorSpec{{c.EmbedName(), []int{c.Vocab, c.Hidden}}}
	if c.Learned {
		out = append(out, TensorSpec{c.PositionName(), []int{c.PositionRows(), c.Hidden}})
	}
	return out
}

// FinalTensors returns the tensors that make logits of hidden states: the final
// norm, the head where it is not tied, and the head's bias.
func (c *Config) FinalTensors() []TensorSpec {
	out := []TensorSpec{{c.FinalNormName(), []int{c.Hidden}}}
	if c.NormBias {
		out = append(out, TensorSpec{c.FinalNormBiasName(), []int{c.Hidden}})
	}
	if !c.Tied {
		out = append(out, TensorSpec{c.HeadName(), []int{c.Vocab, c.Hidden}})
	}
	if c.HeadBias {
		out = append(out, TensorSpec{HeadBiasName, []int{c.Vocab}})
	}
	return out
}

// OuterTensors returns the tensors outside the blocks: EmbedTensors, then
// FinalTensors.
func (c *Config) OuterTensors() []TensorSpec { return append(c.EmbedTensors(), c.FinalTensors()...) }

// Parameters returns the number of parameters, tied and shared ones counted once.
func (c *Config) Parameters() int64 {
	n := c.overBlocks(func(b *Config) (n int64) {
		for _, t := range b.BlockTensors() {
			n += t.Elements()
		}
		return n
	})
	for _, t := range c.OuterTensors() {
		n += t.Elements()
	}
	// The blocks' copies of the matrices that adapters share are one.
	own := c.Adapters.Parameters(c.Hidden, c.Layers)
	copies := c.Adapters.Parameters(c.Hidden, 1) * int64(c.Layers)
	return n + own - copies
}

// LinearParameters returns the number of weights in the blocks' linear layers:
// what compression methods work on.
func (c *Config) LinearParameters() int64 {
	return c.overBlocks(func(b *Config) (n int64) {
		for _, l := range b.Linears() {
			n += int64(l.Out) * int64(l.In)
		}
		return n
	})
}

// Mismatch is one difference between a checkpoint and its config.json.
type Mismatch struct {
	Name string
	Kind string // "missing", "unexpected" or "shape"
	Want []int  // nil when unexpected
	Have []int  // nil when missing
}

func (m Mismatch) String() string {
	switch m.Kind {
	case "missing":
		return fmt.Sprintf("tensor %s %v is missing", m.Name, m.Want)
	case "unexpected":
		return fmt.Sprintf("tensor %s %v is not part of this architecture", m.Name, m.Have)
	}
	return fmt.Sprintf("tensor %s has shape %v, expected %v", m.Name, m.Have, m.Want)
}

// CheckShapes compares the tensors of a checkpoint, by their full names, with
// what the configuration asks for. Missing and mis-shaped tensors come first in
// model order, then unexpected ones by name. Harmless extras (a copy of a tied
// head, stored rotary frequencies) are passed over.
func (c *Config) CheckShapes(have map[string][]int) []Mismatch {
	var out []Mismatch
	known := make(map[string]bool, len(have))
	check := func(name string, want []int) {
		known[name] = true
		got, ok := have[name]
		switch {
		case !ok:
			out = append(out, Mismatch{Name: name, Kind: "missing", Want: want})
		case !slices.Equal(got, want):
			out = append(out, Mismatch{Name: name, Kind: "shape", Want: want, Have: got})
		}
	}
	for _, t := range c.OuterTensors() {
		check(t.Name, t.Shape)
	}
	for i := range c.Layers {
		for _, t := range c.At(i).BlockTensors() {
			check(c.BlockPrefix(i)+t.Name, t.Shape)
		}
	}
	var extra []string
	for name := range have {
		switch {
		case known[name], name == "lm_head.weight", strings.HasSuffix(name, "rotary_emb.inv_freq"):
		default:
			extra = append(extra, name)
		}
	}
	slices.Sort(extra)
	for _, name := range extra {
		out = append(out, Mismatch{Name: name, Kind: "unexpected", Have: have[name]})
	}
	return out
}
