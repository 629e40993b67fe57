package arch

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// The activations between the layers of an MLP.
const (
	ActSiLU     = ""         // x·σ(x), the gate of Llama's family
	ActGELUTanh = "gelu_new" // GELU by its approximation with tanh: GPT-2
	ActReLU     = "relu"     // OPT
)

// The names, inside a block, of the biases of its norms where they have any.
const (
	InputNormBiasName = "input_layernorm.bias"
	PostNormBiasName  = "post_attention_layernorm.bias"
)

// PositionName is the name of the table [PositionRows, hidden] of learned
// positions.
func (c *Config) PositionName() string { return "model.embed_positions.weight" }

// FinalNormBiasName is the name of the bias [hidden] of the norm before the head
// where it has one.
func (c *Config) FinalNormBiasName() string { return "model.norm.bias" }

// PositionRows is the number of rows in the table of learned positions.
func (c *Config) PositionRows() int { return c.MaxPosition + c.PositionOffset }

// readLayerNorm reads the config.json of a GPT-2 or an OPT: decoders with
// LayerNorm before attention and MLP, learned positions, biases everywhere and
// an MLP without a gate. Models whose norms come after the residual sum
// (OPT-350m) are refused.
func (c *Config) readLayerNorm(raw []byte, h hfConfig) error {
	read := c.readOPT
	if c.ModelType == "gpt2" {
		read = c.readGPT2
	}
	if err := read(raw, &h); err != nil {
		return err
	}
	if err := c.readSizes(&h); err != nil {
		return err
	}
	if c.MaxPosition < 1 || c.MaxPosition > maxSize {
		return fmt.Errorf("config.json: learned positions need their number, found %d; expected 1 to %d", c.MaxPosition, maxSize)
	}
	c.Plain, c.Learned = true, true
	c.AttentionBias, c.AttentionOutBias, c.MLPBias, c.MLPOutBias = true, true, true, true
	c.RopeTheta = 10000 // not used: positions are learned
	c.Tied = h.Tied == nil || *h.Tied
	c.BOS, c.EOS = h.BOS, h.EOS
	h.AttentionOutBias, h.MLPOutBias, h.LayerKVHeads = nil, nil, h.LayerHeads
	return c.readOwn(&h)
}

func (c *Config) readGPT2(raw []byte, h *hfConfig) error {
	var g struct {
		Hidden      *int     `json:"n_embd"`
		Inner       *int     `json:"n_inner"`
		Layers      *int     `json:"n_layer"`
		Heads       *int     `json:"n_head"`
		Positions   *int     `json:"n_positions"`
		Eps         *float64 `json:"layer_norm_epsilon"`
		Act         string   `json:"activation_function"`
		Scale       *bool    `json:"scale_attn_weights"`
		LayerScale  bool     `json:"scale_attn_by_inverse_layer_idx"`
		CrossAttend bool     `json:"add_cross_attention"`
	}
	if err := json.Unmarshal(raw, &g); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	// transformers takes the names of other families for its own as well.
	for _, s := range []struct{ own, common **int }{
		{&g.Hidden, &h.Hidden}, {&g.Layers, &h.Layers}, {&g.Heads, &h.Heads}, {&g.Positions, &h.MaxPosition},
	} {
		if *s.own == nil {
			*s.own = *s.common
		}
	}
	switch g.Act {
	case "", "gelu_new", "gelu_pytorch_tanh":
		c.Activation = ActGELUTanh
	case "relu":
		c.Activation = ActReLU
	default:
		return fmt.Errorf("config.json: activation_function is %q; supported are gelu_new, gelu_pytorch_tanh, relu", g.Act)
	}
	switch {
	case g.Scale != nil && !*g.Scale:
		return fmt.Errorf("config.json: scale_attn_weights is false; only attention scaled by the width of a head is supported")
	case g.LayerScale:
		return fmt.Errorf("config.json: scale_attn_by_inverse_layer_idx is true; only false is supported")
	case g.CrossAttend:
		return fmt.Errorf("config.json: add_cross_attention is true; only decoders that stand alone are supported")
	case g.Hidden == nil:
		return fmt.Errorf("config.json: n_embd is missing")
	}
	if g.Inner == nil {
		g.Inner = h.Intermediate
	}
	if g.Inner == nil && *g.Hidden > 0 && *g.Hidden <= maxSize {
		n := 4 * *g.Hidden
		g.Inner = &n
	}
	h.Hidden, h.Intermediate, h.Layers, h.Heads = g.Hidden, g.Inner, g.Layers, g.Heads
	h.MaxPosition, h.RMSEps = g.Positions, g.Eps
	h.KVHeads, h.HeadDim = nil, h.OwnHeadDim // GPT-2 has neither, whatever a file says
	if h.RMSEps == nil {
		h.RMSEps = new(layerEps)
	}
	return nil
}

// layerEps is what torch's LayerNorm adds to a variance where a file says
// nothing.
const layerEps = 1e-5

func (c *Config) readOPT(raw []byte, h *hfConfig) error {
	o := struct {
		Inner   *int   `json:"ffn_dim"`
		Act     string `json:"activation_function"`
		Before  *bool  `json:"do_layer_norm_before"`
		Project *int   `json:"word_embed_proj_dim"`
		Bias    *bool  `json:"enable_bias"`
		Affine  *bool  `json:"layer_norm_elementwise_affine"`
		NoFinal bool   `json:"_remove_final_layer_norm"`
	}{}
	if err := json.Unmarshal(raw, &o); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	switch o.Act {
	case "", "relu":
		c.Activation = ActReLU
	case "gelu_new", "gelu_pytorch_tanh":
		c.Activation = ActGELUTanh
	default:
		return fmt.Errorf("config.json: activation_function is %q; supported are relu, gelu_new, gelu_pytorch_tanh", o.Act)
	}
	switch {
	case o.Before != nil && !*o.Before:
		return fmt.Errorf("config.json: do_layer_norm_before is false: the norms come after the residual sums, as in OPT-350m; only norms before attention and MLP are supported")
	case o.Bias != nil && !*o.Bias:
		return fmt.Errorf("config.json: enable_bias is false; only OPT with biases is supported")
	case o.Affine != nil && !*o.Affine:
		return fmt.Errorf("config.json: layer_norm_elementwise_affine is false; only norms with gain and bias are supported")
	case o.NoFinal:
		return fmt.Errorf("config.json: _remove_final_layer_norm is true; only models with a norm before the head are supported")
	case o.Project != nil && h.Hidden != nil && *o.Project != *h.Hidden:
		return fmt.Errorf("config.json: word_embed_proj_dim is %d; only embeddings as wide as hidden_size = %d are supported", *o.Project, *h.Hidden)
	}
	if o.Inner != nil {
		h.Intermediate = o.Inner
	}
	h.KVHeads, h.HeadDim = nil, h.OwnHeadDim // OPT has neither, whatever a file says
	h.RMSEps = new(layerEps)
	c.PositionOffset = 2 // OPTLearnedPositionalEmbedding: the first two rows are for padding
	return nil
}

// setLayerNorm writes the keys of GPT-2 and OPT.
func (c *Config) setLayerNorm(raw map[string]json.RawMessage, set func(string, any) error) error {
	keys := []string{"hidden_size", "ffn_dim", "num_hidden_layers", "num_attention_heads", "max_position_embeddings"}
	act := map[string]string{ActGELUTanh: "gelu_new", ActReLU: "relu"}[c.Activation]
	if c.ModelType == "gpt2" {
		keys = []string{"n_embd", "n_inner", "n_layer", "n_head", "n_positions"}
		if err := set("layer_norm_epsilon", c.RMSEps); err != nil {
			return err
		}
	} else if err := set("word_embed_proj_dim", c.Hidden); err != nil {
		return err
	}
	for i, n := range []int{c.Hidden, c.Intermediate, c.Layers, c.Heads, c.MaxPosition} {
		if err := set(keys[i], n); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		key string
		v   any
	}{{"model_type", c.ModelType}, {"activation_function", act}, {"vocab_size", c.Vocab}, {"tie_word_embeddings", c.Tied}} {
		if err := set(f.key, f.v); err != nil {
			return err
		}
	}
	if _, ok := raw["architectures"]; !ok {
		if err := set("architectures", []string{architecture[c.ModelType]}); err != nil {
			return err
		}
	}
	// These families have heads of Hidden/Heads; ours may be narrower together.
	if delete(raw, headDimKey); c.QDim() != c.Hidden {
		if err := set(headDimKey, c.HeadDim); err != nil {
			return err
		}
	}
	return c.setOwn(raw, set)
}

// Place is where a checkpoint of a family holds a tensor that has another name
// or another form there.
type Place struct {
	Name string // of the tensor in the checkpoint
	// Transposed weights are stored [in, out] (GPT-2's Conv1D).
	Transposed bool
	// Part and Parts say which of how many equal pieces of the outputs it is: q,
	// k and v of GPT-2 are one tensor. Parts is 1 where it is the whole.
	Part, Parts int
}

// Renamed reports whether the family's own checkpoints have names or forms of
// tensors that are not those used here: whether Source has anything to say.
func (c *Config) Renamed() bool { return c.names() != nil }

func (c *Config) names() map[string]string {
	switch c.ModelType {
	case "gpt2":
		return gpt2Names
	case "opt":
		return optNames
	}
	return nil
}

// Source returns where the family's own checkpoint holds the tensor that has the
// given full name here.
func (c *Config) Source(name string) Place {
	table := c.names()
	if table == nil {
		return Place{Name: name, Parts: 1}
	}
	outer, inner := "", name
	if rest, ok := strings.CutPrefix(name, "model.layers."); ok {
		if block, leaf, ok := strings.Cut(rest, "."); ok {
			if _, err := strconv.Atoi(block); err == nil {
				outer, inner = block, leaf
			}
		}
	}
	dot := strings.LastIndexByte(inner, '.')
	if dot < 0 {
		return Place{Name: name, Parts: 1}
	}
	module, kind := inner[:dot], inner[dot:]
	to, ok := table[module]
	if !ok {
		return Place{Name: name, Parts: 1}
	}
	p := Place{Name: strings.Replace(to, "*", outer, 1) + kind, Parts: 1}
	if c.ModelType == "gpt2" && outer != "" {
		p.Transposed = kind == ".weight" && !strings.HasSuffix(module, "layernorm")
		if strings.HasSuffix(to, "c_attn") {
			p.Parts = 3
			p.Part = map[string]int{"self_attn.q_proj": 0, "self_attn.k_proj": 1, "self_attn.v_proj": 2}[module]
		}
	}
	return p
}

// Modules by their names here, and what the families call them. "*" stands for
// the block's number.
var (
	gpt2Names = map[string]string{
		"model.embed_tokens":       "transformer.wte",
		"model.embed_positions":    "transformer.wpe",
		"model.norm":               "transformer.ln_f",
		"self_attn.q_proj":         "transformer.h.*.attn.c_attn",
		"self_attn.k_proj":         "transformer.h.*.attn.c_attn",
		"self_attn.v_proj":         "transformer.h.*.attn.c_attn",
		"self_attn.o_proj":         "transformer.h.*.attn.c_proj",
		"mlp.up_proj":              "transformer.h.*.mlp.c_fc",
		"mlp.down_proj":            "transformer.h.*.mlp.c_proj",
		"input_layernorm":          "transformer.h.*.ln_1",
		"post_attention_layernorm": "transformer.h.*.ln_2",
	}
	optNames = map[string]string{
		"model.embed_tokens":       "model.decoder.embed_tokens",
		"model.embed_positions":    "model.decoder.embed_positions",
		"model.norm":               "model.decoder.final_layer_norm",
		"self_attn.q_proj":         "model.decoder.layers.*.self_attn.q_proj",
		"self_attn.k_proj":         "model.decoder.layers.*.self_attn.k_proj",
		"self_attn.v_proj":         "model.decoder.layers.*.self_attn.v_proj",
		"self_attn.o_proj":         "model.decoder.layers.*.self_attn.out_proj",
		"mlp.up_proj":              "model.decoder.layers.*.fc1",
		"mlp.down_proj":            "model.decoder.layers.*.fc2",
		"input_layernorm":          "model.decoder.layers.*.self_attn_layer_norm",
		"post_attention_layernorm": "model.decoder.layers.*.final_layer_norm",
	}
)

// Take returns the tensor [rows, cols] (cols 1 for a vector) that lies at p,
// whose stored values are x.
func (p Place) Take(x []float32, rows, cols int) ([]float32, error) {
	if len(x) != rows*cols*p.Parts {
		return nil, fmt.Errorf("%s has %d elements; expected %d pieces of %d by %d", p.Name, len(x), p.Parts, rows, cols)
	}
	if !p.Transposed {
		return x[p.Part*rows*cols : (p.Part+1)*rows*cols], nil
	}
	out, width := make([]float32, rows*cols), rows*p.Parts
	for r := range rows {
		for k := range cols {
			out[r*cols+k] = x[k*width+p.Part*rows+r]
		}
	}
	return out, nil
}
