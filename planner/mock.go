package planner

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/internal/tokenizer"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes"
)

// mockDefaults are the arguments of a mocked model that need not be given, by
// their names in config.json.
var mockDefaults = map[string]any{
	"hidden_act": "silu", "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000, "tie_word_embeddings": false, "vocab_size": 32000,
}

// mockTypes are the element types that mocked weights may have.
var mockTypes = map[string]tensor.DType{"bf16": tensor.BF16, "f16": tensor.F16, "f32": tensor.F32}

// Mocked returns sources of which some are made up: they have types and no
// bytes. The mocks must have been checked by CheckMocks.
func Mocked(s Sources, mocks []lang.Mock) Sources {
	if len(mocks) == 0 {
		return s
	}
	find := func(addr string) *lang.Mock {
		// The last wins: a run's stand behind those of its file.
		for i := len(mocks) - 1; i >= 0; i-- {
			if a := mocks[i].Address; a == addr || strings.HasPrefix(addr, a+"[") {
				return &mocks[i]
			}
		}
		return nil
	}
	return Sources{
		Adapter: s.Adapter,
		Text: func(addr string, a *lang.DataArgs) diag.List {
			if find(addr) != nil || s.Text == nil {
				return nil
			}
			return s.Text(addr, a)
		},
		Model: func(addr string, a *lang.ModelArgs) (*passes.Model, diag.List) {
			m := find(addr)
			if m == nil {
				return s.Model(addr, a)
			}
			out := &passes.Model{From: addr}
			var ds diag.List
			cp, err := mockModel(m)
			if err != nil {
				ds.Errorf("source", "Mock cannot be made", "%s", err)
				return out, ds
			}
			out.Type = cp.Type(addr)
			out.Type.Tokenizer = string(artifact.Sum([]byte("tokenizer of " + m.Address)))
			return out, ds
		},
		Data: func(addr string, a *lang.DataArgs, seed uint64) (*passes.Data, diag.List) {
			if find(addr) == nil {
				return s.Data(addr, a, seed)
			}
			d := &passes.Data{From: addr, Type: passes.DataType{Windows: max(1, a.Samples), SequenceLength: a.SequenceLength}}
			switch {
			case a.Tokenizer == nil:
				d.Type.Tokenizer = tokenizer.ByteLevel().Digest()
			case a.Tokenizer.Type != nil:
				d.Type.Tokenizer = a.Tokenizer.Type.Tokenizer
			}
			return d, nil
		},
	}
}

// CheckMocks reports what is wrong with mocks for a pipeline.
func CheckMocks(p *lang.Pipeline, mocks []lang.Mock) hcl.Diagnostics {
	if len(mocks) == 0 {
		return nil
	}
	var known []string
	for _, b := range p.Blocks {
		if b.Kind == lang.KindModel || b.Kind == lang.KindData {
			addr, _, _ := strings.Cut(b.Addr(), "[")
			known = append(known, b.Addr(), addr)
		}
	}
	var diags hcl.Diagnostics
	bad := func(m lang.Mock, summary, format string, args ...any) {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: m.Range.Ptr()})
	}
	for _, m := range mocks {
		if !slices.Contains(known, m.Address) {
			bad(m, "Mock of nothing", "The pipeline has no source %s.%s", m.Address, didyoumean.Hint(m.Address, known))
			continue
		}
		parts := strings.Split(m.Address, ".")
		if parts[len(parts)-2] == "data" {
			for _, name := range slices.Sorted(maps.Keys(m.Args)) {
				bad(m, "Unsupported argument", "A mock of data has no argument %q: what it is follows from the block's own arguments.", name)
			}
			continue
		}
		if _, err := mockModel(&m); err != nil {
			bad(m, "Mock cannot be made", "%s", err)
		}
	}
	return diags
}

// mockModel makes a model from a mock's arguments: those of a config.json, and
// "dtype". "architecture" is the config's model_type.
func mockModel(m *lang.Mock) (*checkpoint.Checkpoint, error) {
	config := maps.Clone(mockDefaults)
	dtype := tensor.BF16
	for name, v := range m.Args {
		switch name {
		case "dtype":
			t, ok := mockTypes[textOf(v)]
			if !ok {
				return nil, fmt.Errorf("dtype: expected bf16, f16 or f32")
			}
			dtype = t
			continue
		case "architecture":
			name = "model_type"
		}
		raw, err := ctyjson.Marshal(v, v.Type())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		config[name] = json.RawMessage(raw)
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	cp, err := checkpoint.Mock(m.Address, raw, dtype)
	if err != nil {
		return nil, fmt.Errorf("%w. A mock takes the arguments of a config.json: architecture, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, vocab_size", err)
	}
	return cp, nil
}

func textOf(v cty.Value) string {
	if v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
		return v.AsString()
	}
	return ""
}
