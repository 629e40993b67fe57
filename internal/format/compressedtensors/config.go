package compressedtensors

import (
	"encoding/json"
	"fmt"
	"slices"
)

// formatVersion is what a quantization_config names as its version: that of
// the compressed-tensors release whose layout is written, because readers tell
// the layouts of odd widths apart by it.
const formatVersion = "0.18.0"

// Weights is how a quantization_config describes the codes of a layer.
type Weights struct {
	Bits int
	// GroupSize is the inputs that share a scale; −1 is the whole row.
	GroupSize int
	Symmetric bool
}

func (w Weights) strategy() string {
	if w.GroupSize < 0 {
		return "channel"
	}
	return "group"
}

// Config is a quantization_config under construction. It is not safe for
// concurrent use.
type Config struct {
	order   []Weights
	targets map[Weights][]string
	ignore  []string
}

// NewConfig returns an empty configuration.
func NewConfig() *Config { return &Config{targets: map[Weights][]string{}} }

// Add says that a module's weights are stored as w.
func (c *Config) Add(module string, w Weights) {
	if c.targets[w] == nil {
		c.order = append(c.order, w)
	}
	c.targets[w] = append(c.targets[w], module)
}

// Ignore says that a linear module is left as it is. A tied head is such a
// module too, although it has no tensor.
func (c *Config) Ignore(module string) { c.ignore = append(c.ignore, module) }

// MarshalJSON writes the keys that all readers know and no others: they refuse
// unknown ones under "weights". One scheme for all layers targets the class
// "Linear"; several name their modules.
func (c *Config) MarshalJSON() ([]byte, error) {
	type weights struct {
		ActOrder  *string `json:"actorder"`
		Dynamic   bool    `json:"dynamic"`
		GroupSize *int    `json:"group_size"`
		NumBits   int     `json:"num_bits"`
		Strategy  string  `json:"strategy"`
		Symmetric bool    `json:"symmetric"`
		Type      string  `json:"type"`
	}
	type group struct {
		Input   any      `json:"input_activations"`
		Output  any      `json:"output_activations"`
		Targets []string `json:"targets"`
		Weights weights  `json:"weights"`
	}
	groups := map[string]group{}
	for i, w := range c.order {
		g := group{Targets: []string{"Linear"}, Weights: weights{NumBits: w.Bits, Strategy: w.strategy(), Symmetric: w.Symmetric, Type: "int"}}
		if w.GroupSize > 0 {
			g.Weights.GroupSize = &w.GroupSize
		}
		if len(c.order) > 1 {
			g.Targets = slices.Clone(c.targets[w])
		}
		groups[fmt.Sprintf("group_%d", i)] = g
	}
	ignore := c.ignore
	if ignore == nil {
		ignore = []string{}
	}
	return json.Marshal(map[string]any{
		"config_groups": groups, "format": "pack-quantized", "global_compression_ratio": nil, "ignore": ignore,
		"kv_cache_scheme": nil, "quant_method": "compressed-tensors", "quantization_status": "compressed", "version": formatVersion,
	})
}
