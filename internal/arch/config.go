package arch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Config is what compressc understands of a config.json.
type Config struct {
	ModelType    string  // "llama", "mistral", "qwen2" or "qwen3"; "gpt2" or "opt"
	Hidden       int     // width of the residual stream
	Intermediate int     // width inside the MLP; of the widest block where they differ
	Layers       int     // decoder blocks
	Heads        int     // query heads; of the widest block where they differ
	KVHeads      int     // key and value heads; divides Heads
	HeadDim      int     // width of one head, even; Heads·HeadDim need not equal Hidden
	RMSEps       float64 // added to the mean square or the variance in every norm
	RopeTheta    float64
	RopeScaling  *RopeScaling // nil: none
	Vocab        int
	MaxPosition  int  // longest sequence the model was made for; 0: not said
	Tied         bool // the head is the embedding table

	AttentionBias    bool // q, k and v have biases
	AttentionOutBias bool // o has a bias
	MLPBias          bool // gate and up have biases
	MLPOutBias       bool // down has a bias
	QKNorm           bool // RMSNorm over every query and key head

	Norm           string // of blocks and before the head: NormRMS, NormLayer or NormCompressed
	NormBias       bool   // these norms have biases beside their gains
	HeadBias       bool   // the head has a bias
	Plain          bool   // the MLP has no gate
	Activation     string // in the MLP: ActSiLU, ActGELUTanh, ActReLU; a gated one has ActSiLU
	Learned        bool   // positions are rows added to the embedding, and nothing is rotated
	PositionOffset int    // learned: the row of the first position

	Adapters Adapters // behind attention and MLP

	// SlidingWindow is how many positions, its own included, one position
	// attends to in the blocks that have a window; 0: no block has one. Use
	// LayerWindow to ask for one block.
	SlidingWindow int
	// windowed says, where blocks differ, which of them have the window.
	windowed []bool
	// shapes are those of the blocks where they differ; nil: all are as above.
	shapes []BlockShape

	BOS, EOS []int32 // token ids; empty: none

	// Raw is the whole config.json, unknown keys included.
	Raw map[string]json.RawMessage
}

// RopeScaling stretches the rotary embedding to longer sequences.
type RopeScaling struct {
	Type     string  // "linear" or "llama3"
	Factor   float64 // all frequencies (linear) or the low ones (llama3) are divided by it
	Low      float64 // llama3: low_freq_factor
	High     float64 // llama3: high_freq_factor
	Original int     // llama3: original_max_position_embeddings
}

// Supported lists the values of model_type that ParseConfig accepts.
func Supported() []string { return []string{"llama", "mistral", "qwen2", "qwen3", "gpt2", "opt"} }

// hfConfig has the keys of config.json that are read. Pointers tell an absent
// key from a zero.
type hfConfig struct {
	ModelType    string `json:"model_type"`
	HiddenAct    string `json:"hidden_act"`
	Hidden       *int   `json:"hidden_size"`
	Intermediate *int   `json:"intermediate_size"`
	Layers       *int   `json:"num_hidden_layers"`
	Heads        *int   `json:"num_attention_heads"`
	KVHeads      *int   `json:"num_key_value_heads"`
	HeadDim      *int   `json:"head_dim"`
	Vocab        *int   `json:"vocab_size"`
	MaxPosition  *int   `json:"max_position_embeddings"`

	RMSEps *float64 `json:"rms_norm_eps"`
	Tied   *bool    `json:"tie_word_embeddings"`

	RopeTheta      *float64 `json:"rope_theta"`
	RopeScaling    *hfRope  `json:"rope_scaling"`
	RopeParameters *hfRope  `json:"rope_parameters"`
	PartialRotary  *float64 `json:"partial_rotary_factor"`

	AttentionBias *bool `json:"attention_bias"`
	MLPBias       *bool `json:"mlp_bias"`

	// Keys of our own, for what the others cannot say; see shapes.go, norms.go and
	// adapters.go.
	AttentionOutBias *bool   `json:"attention_out_bias"`
	MLPOutBias       *bool   `json:"mlp_out_bias"`
	NormKind         *string `json:"norm_kind"`
	NormBias         *bool   `json:"norm_bias"`
	HeadBias         *bool   `json:"head_bias"`
	OwnHeadDim       *int    `json:"attention_head_dim"`
	LayerHeads       []int   `json:"num_attention_heads_per_layer"`
	LayerKVHeads     []int   `json:"num_key_value_heads_per_layer"`
	LayerSizes       []int   `json:"intermediate_size_per_layer"`

	Adapters *Adapters `json:"bottleneck_adapters"`

	SlidingWindow    *int     `json:"sliding_window"`
	UseSlidingWindow *bool    `json:"use_sliding_window"`
	MaxWindowLayers  *int     `json:"max_window_layers"`
	LayerTypes       []string `json:"layer_types"`

	BOS tokenIDs `json:"bos_token_id"`
	EOS tokenIDs `json:"eos_token_id"`
}

// hfRope is rope_scaling (older files, "type" or "rope_type") or
// rope_parameters (transformers 5, where the base lies inside as well).
type hfRope struct {
	Type     string   `json:"type"`
	RopeType string   `json:"rope_type"`
	Theta    *float64 `json:"rope_theta"`
	Factor   *float64 `json:"factor"`
	Low      *float64 `json:"low_freq_factor"`
	High     *float64 `json:"high_freq_factor"`
	Original *int     `json:"original_max_position_embeddings"`
	Partial  *float64 `json:"partial_rotary_factor"`
}

// tokenIDs reads null, one id or a list of ids.
type tokenIDs []int32

func (t *tokenIDs) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	if bytes.Equal(b, []byte("null")) {
		*t = nil
		return nil
	}
	if len(b) > 0 && b[0] == '[' {
		var ids []int32
		if err := json.Unmarshal(b, &ids); err != nil {
			return err
		}
		*t = ids
		return nil
	}
	var id int32
	if err := json.Unmarshal(b, &id); err != nil {
		return err
	}
	*t = tokenIDs{id}
	return nil
}

// ParseConfig reads a Hugging Face config.json. Both spellings of the rotary
// embedding are understood: rope_theta with rope_scaling, and rope_parameters.
// An error names the key, what was found and what is supported.
func ParseConfig(raw []byte) (*Config, error) {
	c := &Config{}
	if err := json.Unmarshal(raw, &c.Raw); err != nil {
		return nil, fmt.Errorf("config.json: not a JSON object: %w", err)
	}
	if c.Raw == nil {
		return nil, fmt.Errorf("config.json: is null; expected an object with model_type and sizes")
	}
	var h hfConfig
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	h.ModelType = strings.TrimPrefix(h.ModelType, NativePrefix)
	if !slices.Contains(Supported(), h.ModelType) {
		found := fmt.Sprintf("model_type is %q", h.ModelType)
		if h.ModelType == "" {
			found = "model_type is missing"
		}
		return nil, fmt.Errorf("config.json: %s; supported are %s", found, strings.Join(Supported(), ", "))
	}
	own := h.ModelType == "gpt2" || h.ModelType == "opt"
	if !own && h.HiddenAct != "" && h.HiddenAct != "silu" && h.HiddenAct != "swish" {
		return nil, fmt.Errorf("config.json: hidden_act is %q; only \"silu\" is supported for model_type %q", h.HiddenAct, h.ModelType)
	}
	c.ModelType = h.ModelType
	if own {
		if err := c.readLayerNorm(raw, h); err != nil {
			return nil, err
		}
		return c, nil
	}
	if err := c.readSizes(&h); err != nil {
		return nil, err
	}
	if err := c.readRope(&h); err != nil {
		return nil, err
	}
	if err := c.readWindow(&h); err != nil {
		return nil, err
	}
	bias := h.AttentionBias != nil && *h.AttentionBias
	switch c.ModelType {
	case "llama":
		c.AttentionBias, c.AttentionOutBias = bias, bias
		c.MLPBias = h.MLPBias != nil && *h.MLPBias
		c.MLPOutBias = c.MLPBias
	case "qwen2":
		c.AttentionBias = true
	case "qwen3":
		c.AttentionBias, c.AttentionOutBias = bias, bias
		c.QKNorm = true
	}
	if err := c.readOwn(&h); err != nil {
		return nil, err
	}
	c.Tied = h.Tied != nil && *h.Tied
	c.BOS, c.EOS = h.BOS, h.EOS
	return c, nil
}

// Sizes read from a file are bounded: products of two stay far from overflow,
// and what is allocated for each layer stays small, whatever the file says.
const (
	maxSize   = 1 << 28
	maxLayers = 1 << 16
)

func (c *Config) readSizes(h *hfConfig) error {
	for _, s := range []struct {
		key  string
		from *int
		to   *int
		most int
	}{
		{"hidden_size", h.Hidden, &c.Hidden, maxSize},
		{"intermediate_size", h.Intermediate, &c.Intermediate, maxSize},
		{"num_hidden_layers", h.Layers, &c.Layers, maxLayers},
		{"num_attention_heads", h.Heads, &c.Heads, maxSize},
		{"vocab_size", h.Vocab, &c.Vocab, maxSize},
	} {
		switch {
		case s.from == nil:
			return fmt.Errorf("config.json: %s is missing", s.key)
		case *s.from < 1 || *s.from > s.most:
			return fmt.Errorf("config.json: %s is %d; expected 1 to %d", s.key, *s.from, s.most)
		}
		*s.to = *s.from
	}
	c.KVHeads = c.Heads
	if h.KVHeads != nil {
		c.KVHeads = *h.KVHeads
	}
	if c.KVHeads < 1 || c.Heads%c.KVHeads != 0 {
		return fmt.Errorf("config.json: num_key_value_heads is %d; expected a divisor of num_attention_heads = %d", c.KVHeads, c.Heads)
	}
	switch {
	case h.HeadDim != nil:
		c.HeadDim = *h.HeadDim
	case c.Hidden%c.Heads != 0:
		return fmt.Errorf("config.json: head_dim is missing and hidden_size = %d is no multiple of num_attention_heads = %d", c.Hidden, c.Heads)
	default:
		c.HeadDim = c.Hidden / c.Heads
	}
	if c.HeadDim < 2 || c.HeadDim%2 != 0 || c.HeadDim > maxSize {
		return fmt.Errorf("config.json: head_dim is %d; expected an even number, as rotary embedding turns pairs", c.HeadDim)
	}
	if c.Heads > maxSize/c.HeadDim {
		return fmt.Errorf("config.json: num_attention_heads = %d times head_dim = %d is too large", c.Heads, c.HeadDim)
	}
	if h.MaxPosition != nil {
		if *h.MaxPosition < 0 {
			return fmt.Errorf("config.json: max_position_embeddings is %d; expected 0 or more", *h.MaxPosition)
		}
		c.MaxPosition = *h.MaxPosition
	}
	c.RMSEps = 1e-6 // the default of every supported configuration class
	if h.RMSEps != nil {
		c.RMSEps = *h.RMSEps
	}
	if !(c.RMSEps >= 0 && c.RMSEps < 1) {
		return fmt.Errorf("config.json: rms_norm_eps is %v; expected 0 to 1", c.RMSEps)
	}
	return nil
}

func (c *Config) readRope(h *hfConfig) error {
	c.RopeTheta = 10000
	if h.RopeTheta != nil {
		c.RopeTheta = *h.RopeTheta
	}
	key, r := "rope_scaling", h.RopeScaling
	if h.RopeParameters != nil {
		key, r = "rope_parameters", h.RopeParameters
		if r.Theta != nil {
			c.RopeTheta = *r.Theta
		}
	}
	if !(c.RopeTheta > 0) {
		return fmt.Errorf("config.json: rope_theta is %v; expected a positive number", c.RopeTheta)
	}
	partial := h.PartialRotary
	if r != nil && r.Partial != nil {
		partial = r.Partial
	}
	if partial != nil && *partial != 1 {
		return fmt.Errorf("config.json: partial_rotary_factor is %v; only whole heads (1) are supported", *partial)
	}
	if r == nil {
		return nil
	}
	kind := r.RopeType
	if kind == "" {
		kind = r.Type
	}
	switch kind {
	case "", "default":
		return nil
	case "linear", "llama3":
	default:
		return fmt.Errorf("config.json: %s has rope_type %q; supported are default, linear, llama3", key, kind)
	}
	s := &RopeScaling{Type: kind}
	if r.Factor == nil || !(*r.Factor >= 1) {
		return fmt.Errorf("config.json: %s: factor is missing or below 1", key)
	}
	s.Factor = *r.Factor
	if kind == "llama3" {
		if r.Low == nil || r.High == nil || r.Original == nil {
			return fmt.Errorf("config.json: %s: rope_type llama3 needs low_freq_factor, high_freq_factor and original_max_position_embeddings", key)
		}
		s.Low, s.High, s.Original = *r.Low, *r.High, *r.Original
		if !(s.Low > 0 && s.High > s.Low) || s.Original < 1 {
			return fmt.Errorf("config.json: %s: expected 0 < low_freq_factor < high_freq_factor and original_max_position_embeddings of 1 or more, found %v, %v, %d", key, s.Low, s.High, s.Original)
		}
	}
	c.RopeScaling = s
	return nil
}

func (c *Config) readWindow(h *hfConfig) error {
	if c.ModelType == "llama" || h.SlidingWindow == nil || *h.SlidingWindow == 0 {
		return nil
	}
	if *h.SlidingWindow < 0 {
		return fmt.Errorf("config.json: sliding_window is %d; expected 1 or more, or null", *h.SlidingWindow)
	}
	qwen := c.ModelType != "mistral"
	if qwen && !(h.UseSlidingWindow != nil && *h.UseSlidingWindow) {
		return nil
	}
	c.SlidingWindow = *h.SlidingWindow
	if !qwen {
		return nil
	}
	c.windowed = make([]bool, c.Layers)
	if h.LayerTypes != nil {
		if len(h.LayerTypes) != c.Layers {
			return fmt.Errorf("config.json: layer_types has %d entries; expected num_hidden_layers = %d", len(h.LayerTypes), c.Layers)
		}
		for i, t := range h.LayerTypes {
			switch t {
			case "sliding_attention":
				c.windowed[i] = true
			case "full_attention":
			default:
				return fmt.Errorf("config.json: layer_types[%d] is %q; supported are full_attention, sliding_attention", i, t)
			}
		}
		return nil
	}
	first := 28 // the default of Qwen2Config and Qwen3Config
	if h.MaxWindowLayers != nil {
		first = *h.MaxWindowLayers
	}
	for i := max(first, 0); i < c.Layers; i++ {
		c.windowed[i] = true
	}
	return nil
}

// LayerWindow returns the sliding window of block i, or 0 for full attention.
func (c *Config) LayerWindow(i int) int {
	if c.windowed != nil && !c.windowed[i] {
		return 0
	}
	return c.SlidingWindow
}

// JSON returns a config.json that says what c says: the keys c was read from,
// unknown ones included, with the sizes, flags and rotary parameters of c. The
// bytes are stable: keys sorted, two spaces of indent.
func (c *Config) JSON() ([]byte, error) {
	raw := maps.Clone(c.Raw)
	if raw == nil {
		raw = map[string]json.RawMessage{}
	}
	set := func(key string, v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("config.json: %s: %w", key, err)
		}
		raw[key] = b
		return nil
	}
	if c.Renamed() {
		if err := c.setLayerNorm(raw, set); err != nil {
			return nil, err
		}
		return json.MarshalIndent(raw, "", "  ")
	}
	fields := []struct {
		key string
		v   any
	}{
		{"model_type", c.ModelType},
		{"hidden_size", c.Hidden},
		{"intermediate_size", c.Intermediate},
		{"num_hidden_layers", c.Layers},
		{"num_attention_heads", c.Heads},
		{"num_key_value_heads", c.KVHeads},
		{"head_dim", c.HeadDim},
		{"vocab_size", c.Vocab},
		{"rms_norm_eps", c.RMSEps},
		{"tie_word_embeddings", c.Tied},
	}
	for _, f := range fields {
		if err := set(f.key, f.v); err != nil {
			return nil, err
		}
	}
	if c.MaxPosition > 0 {
		if err := set("max_position_embeddings", c.MaxPosition); err != nil {
			return nil, err
		}
	}
	if _, ok := raw["architectures"]; !ok {
		if err := set("architectures", []string{architecture[c.ModelType]}); err != nil {
			return nil, err
		}
	}
	switch c.ModelType {
	case "llama":
		if err := set("mlp_bias", c.MLPBias); err != nil {
			return nil, err
		}
		fallthrough
	case "qwen3":
		if err := set("attention_bias", c.AttentionBias); err != nil {
			return nil, err
		}
	}
	if err := c.setOwn(raw, set); err != nil {
		return nil, err
	}
	if c.windowed != nil {
		types := make([]string, c.Layers)
		for i := range types {
			types[i] = "full_attention"
			if c.LayerWindow(i) > 0 {
				types[i] = "sliding_attention"
			}
		}
		if err := set("layer_types", types); err != nil {
			return nil, err
		}
	} else if types, ok := raw["layer_types"]; ok {
		// A model whose blocks were dropped still lists the old ones.
		var old []string
		if json.Unmarshal(types, &old) == nil && len(old) > c.Layers {
			if err := set("layer_types", old[:c.Layers]); err != nil {
				return nil, err
			}
		}
	}
	if err := c.setRope(raw, set); err != nil {
		return nil, err
	}
	return json.MarshalIndent(raw, "", "  ")
}

// architecture is the class name that loaders look up in "architectures".
var architecture = map[string]string{
	"llama":   "LlamaForCausalLM",
	"mistral": "MistralForCausalLM",
	"qwen2":   "Qwen2ForCausalLM",
	"qwen3":   "Qwen3ForCausalLM",
	"gpt2":    "GPT2LMHeadModel",
	"opt":     "OPTForCausalLM",
}

// setRope writes the rotary parameters in the spelling the file already has;
// the older one otherwise, which both old and new loaders read.
func (c *Config) setRope(raw map[string]json.RawMessage, set func(string, any) error) error {
	key := "rope_scaling"
	if _, ok := raw["rope_parameters"]; ok {
		key = "rope_parameters"
	}
	m := map[string]json.RawMessage{}
	if old, ok := raw[key]; ok {
		if err := json.Unmarshal(old, &m); err != nil {
			return fmt.Errorf("config.json: %s: %w", key, err)
		}
		if m == nil {
			m = map[string]json.RawMessage{}
		}
	}
	put := func(k string, v any) error {
		b, err := json.Marshal(v)
		m[k] = b
		return err
	}
	var err error
	keep := func(k string, v any) {
		if err == nil {
			err = put(k, v)
		}
	}
	if s := c.RopeScaling; s != nil {
		keep("rope_type", s.Type)
		keep("factor", s.Factor)
		if s.Type == "llama3" {
			keep("low_freq_factor", s.Low)
			keep("high_freq_factor", s.High)
			keep("original_max_position_embeddings", s.Original)
		}
	} else if key == "rope_parameters" {
		keep("rope_type", "default")
	}
	if key == "rope_parameters" {
		keep("rope_theta", c.RopeTheta)
	}
	if err != nil {
		return fmt.Errorf("config.json: %s: %w", key, err)
	}
	if key == "rope_parameters" || c.RopeScaling != nil {
		if err := set(key, m); err != nil {
			return err
		}
	} else {
		delete(raw, "rope_scaling")
	}
	if key == "rope_parameters" {
		if _, ok := raw["rope_theta"]; !ok {
			return nil
		}
	}
	return set("rope_theta", c.RopeTheta)
}
