package export

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/passes"
)

// PEFTArgs are the arguments of export "peft".
type PEFTArgs struct {
	Model     *passes.Model   `arg:"model" optional:"true" doc:"a model whose side paths are written"`
	Adapter   *passes.Adapter `arg:"adapter" optional:"true" doc:"a trained adapter, such as retrain.NAME.adapter"`
	Path      string          `arg:"path" doc:"the folder to write, relative to the pipeline's folder"`
	DType     string          `arg:"dtype" default:"f32" enum:"f16|bf16|f32" doc:"how the adapter's weights are stored"`
	BaseModel string          `arg:"base_model" default:"" doc:"what adapter_config.json names as the base model"`
}

type peftParams struct {
	DType     string `json:"dtype"`
	BaseModel string `json:"base_model"`
	// Alpha and Alphas are those of passes.Adapter.
	Alpha  float64            `json:"alpha"`
	Alphas map[string]float64 `json:"alphas,omitempty"`
}

// PEFT writes a folder with adapter_config.json and adapter_model.safetensors.
var PEFT = &passes.Pass{
	Verb: "export", Method: "peft",
	Summary: "An adapter folder for PEFT, vLLM and llama.cpp's converter.",
	NewArgs: func() any { return &PEFTArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*PEFTArgs)
		ds := checkPath(a.Path)
		switch {
		case (a.Model == nil) == (a.Adapter == nil):
			ds.Errorf("model", "One of model and adapter", "export \"peft\" writes either the side paths of a model or an adapter; give exactly one of them.")
		case a.Model != nil && a.Model.Type != nil && !hasSides(a.Model.Type):
			ds.Errorf("model", "No side paths", "%s has no side paths to write. Compensate it first, or give adapter = retrain.NAME.adapter.", a.Model.From)
		}
		base := a.Model
		if base == nil && a.Adapter != nil {
			base = a.Adapter.Base
		}
		if base != nil {
			ds = append(ds, adaptable(base)...)
		}
		if base != nil && base.Type != nil && !ds.HasErrors() {
			ds = append(ds, bottlenecks(base.Type, base.From, "what PEFT loads beside a model", "Merge the update into the weights and export \"safetensors\" with layout = \"native\".")...)
		}
		return passes.Result{Export: &passes.Export{Files: a.files()}}, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*PEFTArgs)
		e := &passes.Export{Kernel: "export.peft", Impl: 1, Files: a.files()}
		p := peftParams{DType: a.DType, BaseModel: a.BaseModel}
		if a.Adapter != nil {
			p.Alpha, p.Alphas = a.Adapter.Alpha, a.Adapter.Alphas
			for b, ref := range a.Adapter.Blocks {
				e.Inputs = append(e.Inputs, action.Input{Name: fmt.Sprintf("block%d", b), Ref: ref})
			}
			cfg, layers := a.Adapter.Base.Type.Config, len(a.Adapter.Blocks)
			e.Write = func(_ context.Context, load loader, create creator) error {
				ads, err := loadAdapter(load, cfg, layers)
				if err != nil {
					return err
				}
				return writePEFT(ads, p, layers, a.Path, create)
			}
		} else {
			m := a.Model
			e.Inputs = inputs(m)
			layers, tok := len(m.Blocks), m.Tokenizer.Valid()
			e.Write = func(_ context.Context, load loader, create creator) error {
				o, err := open(load, layers, tok)
				if err != nil {
					return err
				}
				defer o.close()
				ads, err := o.adapters()
				if err != nil {
					return err
				}
				return writePEFT(ads, p, layers, a.Path, create)
			}
		}
		e.Params = p
		r.Export = e
		return r
	},
}

func (a *PEFTArgs) files() []string {
	return []string{path.Join(a.Path, "adapter_config.json"), path.Join(a.Path, "adapter_model.safetensors")}
}

// writePEFT writes the two files of an adapter of a model of so many blocks.
func writePEFT(ads []adapter, p peftParams, layers int, dir string, create creator) error {
	cfg, err := marshal(peftConfig(ads, p, layers))
	if err != nil {
		return err
	}
	if err := writeBytes(create, path.Join(dir, "adapter_config.json"), cfg); err != nil {
		return err
	}
	dt := dtypeOf(p.DType)
	var ts []safetensors.WriteTensor
	for _, ad := range ads {
		key := "base_model.model." + ad.path
		ts = append(ts,
			safetensors.WriteTensor{Name: key + ".lora_A.weight", Meta: tensor.Meta{DType: dt, Shape: []int{ad.rank, ad.in}}, Data: func() ([]byte, error) { return encode(dt, ad.a) }},
			safetensors.WriteTensor{Name: key + ".lora_B.weight", Meta: tensor.Meta{DType: dt, Shape: []int{ad.out, ad.rank}}, Data: func() ([]byte, error) { return encode(dt, ad.b) }})
	}
	return write(create, path.Join(dir, "adapter_model.safetensors"), func(w io.Writer) error {
		return safetensors.Write(w, ts, map[string]string{"format": "pt"})
	})
}

// peftConfig is the adapter_config.json (peft, tuners/lora/config.py). The rank
// that most layers have stands for all, with the numerator of the first of
// them; the others are exceptions.
func peftConfig(ads []adapter, p peftParams, layers int) map[string]any {
	of := passes.Adapter{Alpha: p.Alpha, Alphas: p.Alphas}
	rank := usualRank(ads)
	first := ads[slices.IndexFunc(ads, func(ad adapter) bool { return ad.rank == rank })]
	alpha := of.AlphaOf(first.path, rank)
	ranks, alphas := map[string]int{}, map[string]float64{}
	for _, ad := range ads {
		if ad.rank != rank {
			ranks[ad.path] = ad.rank
		}
		if x := of.AlphaOf(ad.path, ad.rank); x != alpha {
			alphas[ad.path] = x
		}
	}
	var base any // null where it is not known
	if p.BaseModel != "" {
		base = p.BaseModel
	}
	return map[string]any{
		"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "inference_mode": true,
		"r": rank, "lora_alpha": alpha, "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": false,
		"target_modules": targetModules(ads, layers), "rank_pattern": ranks, "alpha_pattern": alphas,
		"use_rslora": false, "use_dora": false, "modules_to_save": nil, "init_lora_weights": true,
	}
}

// usualRank is the rank that most have, the smaller of equals.
func usualRank(ads []adapter) (rank int) {
	count := map[int]int{}
	for _, ad := range ads {
		count[ad.rank]++
	}
	for r, n := range count {
		if n > count[rank] || n == count[rank] && r < rank {
			rank = r
		}
	}
	return rank
}

// targetModules names the layers with an adapter: "q_proj" where every block
// has one, the whole path else, because a short name makes PEFT expect an
// adapter in every block.
func targetModules(ads []adapter, layers int) []string {
	last := func(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
	count := map[string]int{}
	for _, ad := range ads {
		count[last(ad.path)]++
	}
	var names []string
	for _, ad := range ads {
		if name := last(ad.path); count[name] == layers {
			names = append(names, name)
		} else {
			names = append(names, ad.path)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
