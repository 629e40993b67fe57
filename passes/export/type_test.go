package export

import (
	"slices"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/passes"
)

func TestTypeRules(t *testing.T) {
	quantized := func(s grid.Spec) func(int, string) layer { return same(layer{spec: &s}) }
	sym4 := grid.Spec{Bits: 4, GroupSize: 32, Symmetric: true, ScaleDType: grid.F16}
	with := func(change func(*grid.Spec)) func(int, string) layer {
		s := sym4
		change(&s)
		return quantized(s)
	}
	qwenScaled := strings.Replace(toyScaled, `"model_type": "llama"`, `"model_type": "qwen3"`, 1)
	for _, c := range []struct {
		name     string
		pass     *passes.Pass
		config   string
		of       func(int, string) layer
		args     func(*toy) any
		severity diag.Severity
		arg      string
		summary  string
		says     string // part of the detail
	}{
		{"side paths without a place", Safetensors, toyLlama, same(layer{sides: []int{2}}),
			func(m *toy) any { return folder(m, "f16", "auto", "") }, diag.Error, "adapters", "Side paths need a place", `adapters = "merge"`},
		{"side paths on zeros without a place", GGUF, toyLlama, same(layer{masked: true, sides: []int{2}}),
			func(m *toy) any { return ggufFile(m, "f16", "") }, diag.Error, "adapters", "Side paths need a place", "since compensate.toy"},
		{"merge into codes", GGUF, toyLlama, same(layer{spec: &sym4, sides: []int{2}}),
			func(m *toy) any { return ggufFile(m, "f16", "merge") }, diag.Error, "adapters", "Merging into codes", "4-bit"},
		{"merge into zeros", Safetensors, toyLlama, same(layer{masked: true, sides: []int{2}}),
			func(m *toy) any { return folder(m, "f16", "auto", "merge") }, diag.Error, "adapters", "Merging would fill zeros", "2:4"},
		{"no side paths", Safetensors, toyLlama, same(layer{}),
			func(m *toy) any { return folder(m, "f16", "auto", "file") }, diag.Warning, "adapters", "No side paths", "model.toy"},
		{"no path", Safetensors, toyLlama, same(layer{}),
			func(m *toy) any { return &SafetensorsArgs{Common: Common{Model: m.model}} }, diag.Error, "path", "No path", "path"},
		{"the root", PEFT, toyLlama, same(layer{sides: []int{2}}),
			func(m *toy) any { return &PEFTArgs{Model: m.model, Path: "/."} }, diag.Error, "path", "No path", "path"},
		{"nothing to pack", Safetensors, toyLlama, same(layer{}),
			func(m *toy) any { return folder(m, "f16", "compressed-tensors", "") }, diag.Error, "layout", "Nothing to pack", `"auto"`},
		{"short groups in a folder", Safetensors, toyLlama, with(func(s *grid.Spec) { s.GroupSize, s.PartialGroup = 40, true }),
			func(m *toy) any { return folder(m, "f16", "auto", "") }, diag.Error, "model", "Short groups", `layout = "dense"`},
		{"scales that readers round", Safetensors, toyLlama, with(func(s *grid.Spec) { s.ScaleDType = grid.F32 }),
			func(m *toy) any { return folder(m, "bf16", "auto", "") }, diag.Warning, "dtype", "Readers may round scales", "bf16"},
		{"not a GGUF path", GGUF, toyLlama, same(layer{}),
			func(m *toy) any { return &GGUFArgs{Common{Model: m.model, Path: "toy.bin"}} }, diag.Error, "path", "Not a GGUF file", "toy.bin"},
		{"8 bits with zero points", GGUF, toyLlama, with(func(s *grid.Spec) { s.Bits, s.Symmetric = 8, false }),
			func(m *toy) any { return ggufFile(m, "f16", "") }, diag.Error, "model", "GGUF cannot hold the codes", "symmetric = true"},
		{"groups of 16", GGUF, toyLlama, with(func(s *grid.Spec) { s.GroupSize = 16 }),
			func(m *toy) any { return ggufFile(m, "f16", "") }, diag.Error, "model", "GGUF cannot hold the groups", "multiple of 32"},
		{"f32 scales", GGUF, toyLlama, with(func(s *grid.Spec) { s.ScaleDType = grid.F32 }),
			func(m *toy) any { return ggufFile(m, "f16", "") }, diag.Warning, "model", "Scales are rounded", `scale_dtype = "f16"`},
		{"llama3 scaling in qwen3", GGUF, qwenScaled, same(layer{}),
			func(m *toy) any { return ggufFile(m, "f16", "") }, diag.Error, "model", "GGUF cannot hold the rotary scaling", "qwen3"},
		{"sliding window", GGUF, toyMistral, same(layer{}),
			func(m *toy) any { return ggufFile(m, "f16", "") }, diag.Warning, "model", "llama.cpp has no sliding window here", "12"},
		{"peft of nothing", PEFT, toyLlama, same(layer{}),
			func(m *toy) any { return &PEFTArgs{Path: "a"} }, diag.Error, "model", "One of model and adapter", "exactly one"},
		{"peft of a model without side paths", PEFT, toyLlama, same(layer{}),
			func(m *toy) any { return &PEFTArgs{Model: m.model, Path: "a"} }, diag.Error, "model", "No side paths", "Compensate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newToy(t, c.config, c.of)
			_, ds := c.pass.Type(&passes.Call{Node: "export.toy", Args: c.args(m)})
			i := slices.IndexFunc(ds, func(d diag.Diagnostic) bool { return d.Summary == c.summary })
			if i < 0 {
				t.Fatalf("no %q among %v", c.summary, ds)
			}
			if d := ds[i]; d.Severity != c.severity || d.Arg != c.arg || !strings.Contains(d.Detail, c.says) {
				t.Errorf("%+v; expected severity %v about %q that says %q", d, c.severity, c.arg, c.says)
			}
			if c.severity == diag.Warning && ds.HasErrors() {
				t.Errorf("errors beside the warning: %v", ds.Err())
			}
		})
	}
}

// What is fine brings no finding.
func TestTypeRulesAreSilent(t *testing.T) {
	sym4 := &grid.Spec{Bits: 4, GroupSize: 32, Symmetric: true, ScaleDType: grid.F16}
	for name, c := range map[string]struct {
		pass *passes.Pass
		of   layer
		args func(*toy) any
	}{
		"dense folder":            {Safetensors, layer{}, func(m *toy) any { return folder(m, "bf16", "auto", "") }},
		"packed folder":           {Safetensors, layer{spec: sym4, masked: true}, func(m *toy) any { return folder(m, "f16", "auto", "") }},
		"packed folder, adapters": {Safetensors, layer{spec: sym4, sides: []int{2}}, func(m *toy) any { return folder(m, "f16", "compressed-tensors", "file") }},
		"GGUF of codes":           {GGUF, layer{spec: sym4, masked: true}, func(m *toy) any { return ggufFile(m, "f16", "") }},
		"merged GGUF":             {GGUF, layer{sides: []int{2, 3}}, func(m *toy) any { return ggufFile(m, "f16", "merge") }},
		"PEFT":                    {PEFT, layer{sides: []int{2}}, func(m *toy) any { return &PEFTArgs{Model: m.model, Path: "a"} }},
	} {
		if _, ds := c.pass.Type(&passes.Call{Args: c.args(newToy(t, toyLlama, same(c.of)))}); len(ds) > 0 {
			t.Errorf("%s: %v", name, ds)
		}
	}
}

// An input whose type is not known gives the files that are certain.
func TestUnknownModel(t *testing.T) {
	m := &passes.Model{From: "model.absent"}
	for _, c := range []struct {
		pass *passes.Pass
		args any
	}{
		{Safetensors, &SafetensorsArgs{Common: Common{Model: m, Path: "out", Adapters: "file"}}},
		{GGUF, &GGUFArgs{Common{Model: m, Path: "out.gguf", Adapters: "merge"}}},
		{PEFT, &PEFTArgs{Model: m, Path: "out"}},
	} {
		r, ds := c.pass.Type(&passes.Call{Args: c.args})
		if len(ds) > 0 || r.Export == nil || len(r.Export.Files) == 0 {
			t.Errorf("%s: %v, %+v", c.pass.Method, ds, r.Export)
		}
	}
}
