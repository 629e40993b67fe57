package planner

import (
	"fmt"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/pattern"
)

// The methods here have the arguments and the type rules of their kind and
// nothing else: what is tested is how they are called.

type fakePrune struct {
	Model    *passes.Model    `arg:"model" doc:"the model to prune"`
	Data     *passes.Data     `arg:"data" optional:"true" doc:"calibration windows"`
	Sparsity pattern.Sparsity `arg:"sparsity" default:"0.5" per_module:"true" doc:"fraction to remove"`

	Overrides schema.Overrides `overrides:"true"`
}

type fakeAdamW struct {
	LearningRate float64 `arg:"learning_rate" default:"1e-4" above:"0" doc:"step size"`
}

type fakeLoRA struct {
	Model     *passes.Model `arg:"model" doc:"the model to heal"`
	Data      *passes.Data  `arg:"data" doc:"training windows"`
	Rank      int           `arg:"rank" default:"16" min:"1" doc:"rank of the updates"`
	Steps     int           `arg:"steps" min:"1" doc:"optimizer steps"`
	Optimizer fakeAdamW     `block:"optimizer" label:"adamw" optional:"true"`
}

type fakeGPTQ struct {
	Model     *passes.Model `arg:"model" doc:"the model to quantize"`
	Data      *passes.Data  `arg:"data" doc:"calibration windows"`
	Bits      int           `arg:"bits" default:"4" enum:"2|3|4|8" per_module:"true" doc:"bits of a code"`
	GroupSize int           `arg:"group_size" default:"64" min:"1" doc:"inputs that share a scale"`

	Overrides schema.Overrides `overrides:"true"`
}

type fakeEoRA struct {
	Model     *passes.Model `arg:"model" doc:"the model to compensate"`
	Reference *passes.Model `arg:"reference" doc:"the model to come close to"`
	Data      *passes.Data  `arg:"data" doc:"calibration windows"`
	Rank      int           `arg:"rank" min:"1" doc:"rank of the side paths"`
}

type fakePerplexity struct {
	Model *passes.Model `arg:"model" doc:"the model to measure"`
	Data  *passes.Data  `arg:"data" doc:"test windows"`
}

type fakeGGUF struct {
	Model    *passes.Model `arg:"model" doc:"the model to write"`
	Path     string        `arg:"path" doc:"the file"`
	Adapters string        `arg:"adapters" optional:"true" enum:"file|merge" doc:"what becomes of side paths"`
}

func fakeRegistry(t testing.TB) *lang.Registry {
	r, err := lang.NewRegistry(
		&passes.Pass{Verb: "prune", Method: "sparsegpt", NewArgs: func() any { return &fakePrune{} }, Type: typePrune},
		&passes.Pass{Verb: "prune", Method: "wanda", NewArgs: func() any { return &fakePrune{} }, Type: typePrune},
		&passes.Pass{Verb: "retrain", Method: "lora", NewArgs: func() any { return &fakeLoRA{} }, Type: typeLoRA},
		&passes.Pass{Verb: "quantize", Method: "gptq", NewArgs: func() any { return &fakeGPTQ{} }, Type: typeGPTQ},
		&passes.Pass{Verb: "compensate", Method: "eora", NewArgs: func() any { return &fakeEoRA{} }, Type: typeEoRA},
		&passes.Pass{Verb: "evaluate", Method: "perplexity", NewArgs: func() any { return &fakePerplexity{} },
			Type: func(*passes.Call) (passes.Result, diag.List) {
				return passes.Result{Report: &passes.Report{Metrics: []passes.Metric{{Name: "perplexity"}, {Name: "windows"}}}}, nil
			}},
		&passes.Pass{Verb: "export", Method: "gguf", NewArgs: func() any { return &fakeGGUF{} }, Type: typeGGUF},
	)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// change returns a copy of m in which f changed each linear.
func change(m *passes.Model, f func(*model.Linear)) *passes.Model {
	if m.Type == nil {
		return &passes.Model{}
	}
	t := m.Type.Clone()
	for _, l := range t.Linears {
		f(l)
	}
	return &passes.Model{Type: t}
}

func typePrune(c *passes.Call) (passes.Result, diag.List) {
	a := c.Args.(*fakePrune)
	var ds diag.List
	m := change(a.Model, func(l *model.Linear) {
		if l.Format.Quantized() && len(ds) == 0 {
			ds.Errorf("model", "Pruning after packing", "The weights of %s are codes since %s.", l.Path, l.QuantizedBy)
		}
		l.Mask = schema.Resolve(*a, schema.Module{Path: l.Path, Role: l.Role, Block: l.Block}).Sparsity.Pattern
	})
	return passes.Result{Model: m}, ds
}

func typeLoRA(c *passes.Call) (passes.Result, diag.List) {
	a := c.Args.(*fakeLoRA)
	return passes.Result{Model: change(a.Model, func(*model.Linear) {}), Adapter: &passes.Adapter{Rank: a.Rank, Alpha: 32}}, nil
}

func typeGPTQ(c *passes.Call) (passes.Result, diag.List) {
	a := c.Args.(*fakeGPTQ)
	var ds diag.List
	m := change(a.Model, func(l *model.Linear) {
		if l.In%a.GroupSize != 0 && len(ds) == 0 {
			ds.Errorf("group_size", "Group size does not divide", "group_size = %d does not divide the %d inputs of %s.", a.GroupSize, l.In, l.Path)
		}
		l.Format = model.Format{Bits: a.Bits, GroupSize: a.GroupSize}
		l.StoredBits = float64(a.Bits) + 32/float64(a.GroupSize)
		l.QuantizedBy = c.Node
	})
	return passes.Result{Model: m}, ds
}

func typeEoRA(c *passes.Call) (passes.Result, diag.List) {
	a := c.Args.(*fakeEoRA)
	return passes.Result{Model: change(a.Model, func(l *model.Linear) {
		l.Sides, l.SideBits = append(l.Sides, a.Rank), 16
	})}, nil
}

func typeGGUF(c *passes.Call) (passes.Result, diag.List) {
	a := c.Args.(*fakeGGUF)
	var ds diag.List
	if a.Model.Type != nil && len(a.Model.Type.Linears[0].Sides) > 0 && a.Adapters == "" {
		ds.Errorf("adapters", "Side paths in an export", `The model has side paths of rank %d; say adapters = "file" or "merge".`, a.Model.Type.Linears[0].Sides[0])
	}
	return passes.Result{Export: &passes.Export{Files: []string{a.Path}}}, ds
}

// fakeSources know a model of 4 blocks, and texts by their name: the words
// before ".txt" are the windows, split at "+". "missing" is not at hand.
func fakeSources() Sources {
	return Sources{
		Model: func(addr string, a *lang.ModelArgs) (*passes.Model, diag.List) {
			if strings.Contains(a.Source, "missing") {
				return nil, nil
			}
			var ds diag.List
			if strings.Contains(a.Source, "broken") {
				ds.Errorf("source", "Cannot read the model", "%q is no model.", a.Source)
				return nil, ds
			}
			cfg := &arch.Config{ModelType: "llama", Hidden: 576, Intermediate: 1536, Layers: 4, Heads: 9, KVHeads: 3, HeadDim: 64, Vocab: 1000}
			t := model.New(cfg, a.Source, func(string) float64 { return 16 })
			t.Tokenizer = "tok-" + strings.TrimSuffix(a.Source, "-pruned")
			return &passes.Model{Type: t, From: addr}, nil
		},
		Data: func(addr string, a *lang.DataArgs, seed uint64) (*passes.Data, diag.List) {
			if strings.Contains(a.Source, "missing") {
				return nil, nil
			}
			words := strings.Split(strings.TrimSuffix(a.Source, ".txt"), "+")
			d := &passes.Data{From: addr, Type: passes.DataType{Windows: len(words), SequenceLength: a.SequenceLength}}
			for _, w := range words {
				d.Type.WindowDigests = append(d.Type.WindowDigests, fmt.Sprint(w, a.SequenceLength))
			}
			if a.Tokenizer != nil && a.Tokenizer.Type != nil {
				d.Type.Tokenizer = a.Tokenizer.Type.Tokenizer
			}
			return d, nil
		},
	}
}
