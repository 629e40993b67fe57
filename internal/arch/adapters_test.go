package arch

import (
	"strings"
	"testing"
)

const smolLM2 = `"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
	"num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": true`

// The numbers of the paper's adapters for SmolLM2: 1,776 an adapter, and 64 that
// all share.
func TestAdapterParameters(t *testing.T) {
	for _, c := range []struct {
		adapters string
		want     int64
	}{
		{`{"placement": "both", "order": 4, "width": 16, "rank": 1}`, 60*1776 + 64},
		{`{"placement": "ffn", "order": 4, "width": 16, "rank": 1}`, 30*1776 + 64},
	} {
		without, err := ParseConfig([]byte(`{` + smolLM2 + `}`))
		if err != nil {
			t.Fatal(err)
		}
		with, err := ParseConfig([]byte(`{` + smolLM2 + `, "bottleneck_adapters": ` + c.adapters + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := with.Parameters() - without.Parameters(); got != c.want || with.Adapters.Parameters(576, 30) != c.want {
			t.Errorf("%s: %d more parameters; expected %d", c.adapters, got, c.want)
		}
		if with.LinearParameters() != without.LinearParameters() {
			t.Errorf("%s: adapters count as linear layers", c.adapters)
		}
	}
}

func TestAdaptersInConfig(t *testing.T) {
	for _, family := range []string{smolLM2, `"model_type": "gpt2", "n_embd": 576, "n_head": 9, "n_layer": 2, "n_positions": 16, "vocab_size": 10`} {
		with := `, "bottleneck_adapters": {"placement": "both", "order": 4, "width": 16, "rank": 2}`
		c, err := ParseConfig([]byte(`{` + family + with + `}`))
		if err != nil {
			t.Fatal(err)
		}
		raw, err := c.JSON()
		if err != nil {
			t.Fatal(err)
		}
		back, err := ParseConfig(raw)
		if err != nil {
			t.Fatal(err)
		}
		if want := (Adapters{AdaptersBoth, 4, 16, 2}); c.Adapters != want || back.Adapters != want {
			t.Errorf("%s: %+v, and read back %+v", c.ModelType, c.Adapters, back.Adapters)
		}
		c.Adapters = Adapters{}
		if raw, err = c.JSON(); err != nil || strings.Contains(string(raw), adaptersKey) {
			t.Errorf("%s: a model without adapters says %s, %v", c.ModelType, raw, err)
		}
	}
	for adapters, want := range map[string]string{
		`{"placement": "delta", "order": 4, "width": 16, "rank": 1}`: `placement is "delta"`,
		`{"placement": "ffn", "order": 5, "width": 15, "rank": 1}`:   "order is 5",
		`{"placement": "ffn", "width": 15, "rank": 1}`:               "order is 0",
		`{"placement": "ffn", "order": 4, "width": 18, "rank": 1}`:   "width is 18",
		`{"placement": "ffn", "order": 4, "width": 16, "rank": 5}`:   "rank is 5",
	} {
		_, err := ParseConfig([]byte(`{` + smolLM2 + `, "bottleneck_adapters": ` + adapters + `}`))
		if err == nil || !strings.Contains(err.Error(), adaptersKey+": "+want) {
			t.Errorf("%s: %v", adapters, err)
		}
	}
}
