package arch

import (
	"encoding/json"
	"fmt"
)

// The norms before attention, MLP and head, all with one kind. The norms over
// query and key heads (QKNorm) are RMSNorm whatever the kind.
const (
	NormRMS   = ""      // x/√(mean x² + eps)
	NormLayer = "layer" // (x − mean)/√(variance + eps)
	// NormCompressed is CRMSNorm: the stream is a vector without mean of
	// Hidden + 1 entries, of which the last, −Σx, is not stored. It is
	// x/√((Σx² + (Σx)²)/(Hidden + 1) + eps), the RMSNorm of the whole vector.
	//
	// Jiang et al. 2023, arXiv:2305.14858.
	NormCompressed = "crms"
)

// NormName is what a kind of norm is called in messages.
func NormName(kind string) string {
	return map[string]string{NormRMS: "RMSNorm", NormLayer: "LayerNorm", NormCompressed: "CRMSNorm"}[kind]
}

// HeadBiasName is the full name of the head's bias [vocab].
const HeadBiasName = "lm_head.bias"

// NativePrefix stands before model_type in folders that hold what no other
// program knows: they refuse an unknown type, where under the family's name they
// would compute something else. ParseConfig reads past it.
const NativePrefix = "compressc-"

// The keys of config.json that are ours.
const (
	normKindKey = "norm_kind" // "rms", "layer" or "crms"
	normBiasKey = "norm_bias"
	headBiasKey = "head_bias"
	headDimKey  = "attention_head_dim"
)

// FamilyNorm returns the norm of the family's own models, and whether it has
// biases.
func (c *Config) FamilyNorm() (kind string, bias bool) {
	if c.Renamed() {
		return NormLayer, true
	}
	return NormRMS, false
}

// readNorms sets the norms: those of the family, unless keys of our own say
// otherwise.
func (c *Config) readNorms(h *hfConfig) error {
	c.Norm, c.NormBias = c.FamilyNorm()
	if h.NormKind != nil {
		switch *h.NormKind {
		case "rms":
			c.Norm = NormRMS
		case NormLayer, NormCompressed:
			c.Norm = *h.NormKind
		default:
			return fmt.Errorf("config.json: %s is %q; supported are rms, layer, crms", normKindKey, *h.NormKind)
		}
	}
	if h.NormBias != nil {
		c.NormBias = *h.NormBias
	}
	c.HeadBias = h.HeadBias != nil && *h.HeadBias
	return nil
}

// setNorms writes the keys of our own where they say anything.
func (c *Config) setNorms(raw map[string]json.RawMessage, set func(string, any) error) error {
	kind, bias := c.FamilyNorm()
	name := c.Norm
	if name == NormRMS {
		name = "rms"
	}
	for _, k := range []struct {
		key  string
		v    any
		says bool
	}{{normKindKey, name, c.Norm != kind}, {normBiasKey, c.NormBias, c.NormBias != bias}, {headBiasKey, c.HeadBias, c.HeadBias}} {
		if delete(raw, k.key); !k.says {
			continue
		}
		if err := set(k.key, k.v); err != nil {
			return err
		}
	}
	return nil
}
