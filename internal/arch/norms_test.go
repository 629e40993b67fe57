package arch

import (
	"strings"
	"testing"
)

// Norms that are not the family's are keys of our own, with which a configuration
// reads back as what it was; without them it says what it always said.
func TestNormsOfAConfiguration(t *testing.T) {
	const llama = `{"model_type": "llama", "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 10}`
	for _, base := range []string{tinyGPT2, tinyOPT, llama} {
		c, err := ParseConfig([]byte(base))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := c.JSON()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{normKindKey, normBiasKey, headBiasKey, headDimKey} {
			if strings.Contains(string(raw), key) {
				t.Errorf("%s: %s is written of a model of the family", c.ModelType, key)
			}
		}
		for _, kind := range []string{NormRMS, NormLayer, NormCompressed} {
			for _, bias := range []bool{false, true} {
				n := *c
				n.Norm, n.NormBias, n.HeadBias, n.Tied = kind, bias, !bias, bias
				n.Hidden -= 1 // CRMSNorm's, with heads that are no part of it
				raw, err := n.JSON()
				if err != nil {
					t.Fatal(err)
				}
				native := strings.Replace(string(raw), `"`+c.ModelType+`"`, `"`+NativePrefix+c.ModelType+`"`, 1)
				for _, text := range []string{string(raw), native} {
					b, err := ParseConfig([]byte(text))
					if err != nil {
						t.Fatal(err)
					}
					if b.Norm != kind || b.NormBias != bias || b.HeadBias != !bias || b.Hidden != 7 || b.HeadDim != 4 || b.ModelType != c.ModelType || b.Parameters() != n.Parameters() {
						t.Errorf("%s, %s reads back as %+v", c.ModelType, NormName(kind), b)
					}
				}
				have := map[string]bool{}
				for _, x := range append(n.OuterTensors(), n.BlockTensors()...) {
					have[x.Name] = true
				}
				if have[InputNormBiasName] != bias || have[n.FinalNormBiasName()] != bias || have[HeadBiasName] == bias {
					t.Errorf("%s, bias %v: tensors %v", NormName(kind), bias, have)
				}
			}
		}
	}
	if _, err := ParseConfig([]byte(strings.Replace(tinyGPT2, `"n_embd"`, `"norm_kind": "batch", "n_embd"`, 1))); err == nil || !strings.Contains(err.Error(), "norm_kind") {
		t.Errorf("error %v; expected one with norm_kind", err)
	}
}
