package export

import (
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
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
	DType     string  `json:"dtype"`
	BaseModel string  `json:"base_model"`
	Alpha     float64 `json:"alpha"`
}

// PEFT writes a folder with adapter_config.json and adapter_model.safetensors.
var PEFT = &passes.Pass{
	Verb: "export", Method: "peft",
	Summary: "An adapter folder for PEFT, vLLM and llama.cpp's converter.",
	NewArgs: func() any { return &PEFTArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*PEFTArgs)
		var ds diag.List
		switch {
		case (a.Model == nil) == (a.Adapter == nil):
			ds.Errorf("model", "One of model and adapter", "export \"peft\" writes either the side paths of a model or an adapter; give exactly one of them.")
		case a.Model != nil && a.Model.Type != nil && !hasSides(a.Model.Type):
			ds.Errorf("model", "No side paths", "%s has no side paths to write. Compensate it first, or give adapter = retrain.NAME.adapter.", a.Model.From)
		}
		return passes.Result{Export: &passes.Export{Files: a.files()}}, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*PEFTArgs)
		p := peftParams{DType: a.DType, BaseModel: a.BaseModel}
		r.Export = &passes.Export{Kernel: "export.peft", Impl: 1, Files: a.files()}
		dir := a.Path
		if a.Adapter != nil {
			p.Alpha = a.Adapter.Alpha
			cfg := a.Adapter.Base.Type.Config
			for b, ref := range a.Adapter.Blocks {
				r.Export.Inputs = append(r.Export.Inputs, action.Input{Name: fmt.Sprintf("block%d", b), Ref: ref})
			}
			var names []string
			for _, l := range cfg.Linears() {
				names = append(names, l.Name)
			}
			layers := len(a.Adapter.Blocks)
			r.Export.Write = func(_ context.Context, load func(string) (*artifact.Value, func(), error), create func(string) (io.WriteCloser, error)) error {
				var ads []adapter
				for b := 0; b < layers; b++ {
					v, release, err := load(fmt.Sprintf("block%d", b))
					if err != nil {
						return err
					}
					defer release()
					one, err := adapterOf(cfg.BlockPrefix(b), v, names)
					if err != nil {
						return err
					}
					ads = append(ads, one...)
				}
				return writePEFT(ads, p.Alpha, dtypeOf(p.DType), dir, p.BaseModel, create)
			}
		} else {
			m := a.Model
			r.Export.Inputs = inputs(m)
			layers, tok := len(m.Blocks), m.Tokenizer.Valid()
			r.Export.Write = func(_ context.Context, load func(string) (*artifact.Value, func(), error), create func(string) (io.WriteCloser, error)) error {
				o, err := open(load, layers, tok)
				if err != nil {
					return err
				}
				defer o.close()
				return writeAdapter(o, dtypeOf(p.DType), dir, p.BaseModel, create)
			}
		}
		r.Export.Params = p
		return r
	},
}

func (a *PEFTArgs) files() []string {
	return []string{path.Join(a.Path, "adapter_config.json"), path.Join(a.Path, "adapter_model.safetensors")}
}

// writeAdapter writes a model's side paths; their scale is 1, so alpha is the
// rank.
func writeAdapter(o *opened, dt tensor.DType, dir, base string, create func(string) (io.WriteCloser, error)) error {
	ads, err := o.adapters()
	if err != nil {
		return err
	}
	return writePEFT(ads, 0, dt, dir, base, create)
}

// writePEFT writes the two files. alpha 0 stands for a scale of 1 whatever the
// rank.
func writePEFT(ads []adapter, alpha float64, dt tensor.DType, dir, base string, create func(string) (io.WriteCloser, error)) error {
	if len(ads) == 0 {
		return fmt.Errorf("the adapter is empty")
	}
	count := map[int]int{}
	rank := ads[0].rank
	for _, ad := range ads {
		count[ad.rank]++
	}
	for _, ad := range ads {
		if count[ad.rank] > count[rank] {
			rank = ad.rank
		}
	}
	scaleOf := func(r int) float64 {
		if alpha == 0 {
			return float64(r)
		}
		return alpha
	}
	ranks, alphas := map[string]int{}, map[string]float64{}
	targets := map[string]bool{}
	var ts []safetensors.WriteTensor
	for _, ad := range ads {
		targets[ad.path[strings.LastIndexByte(ad.path, '.')+1:]] = true
		if ad.rank != rank {
			ranks[ad.path] = ad.rank
			if s := scaleOf(ad.rank); s != scaleOf(rank) {
				alphas[ad.path] = s
			}
		}
		key := "base_model.model." + ad.path
		ts = append(ts,
			safetensors.WriteTensor{Name: key + ".lora_A.weight", Meta: tensor.Meta{DType: dt, Shape: []int{ad.rank, ad.in}}, Data: func() ([]byte, error) { return encode(dt, ad.a), nil }},
			safetensors.WriteTensor{Name: key + ".lora_B.weight", Meta: tensor.Meta{DType: dt, Shape: []int{ad.out, ad.rank}}, Data: func() ([]byte, error) { return encode(dt, ad.b), nil }})
	}
	names := make([]string, 0, len(targets))
	for n := range targets {
		names = append(names, n)
	}
	slices.Sort(names)
	cfg, err := marshal(map[string]any{
		"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "inference_mode": true,
		"r": rank, "lora_alpha": scaleOf(rank), "lora_dropout": 0.0, "bias": "none", "fan_in_fan_out": false,
		"target_modules": names, "rank_pattern": ranks, "alpha_pattern": alphas, "use_rslora": false, "use_dora": false,
		"modules_to_save": nil, "init_lora_weights": true,
	})
	if err != nil {
		return err
	}
	if err := writeBytes(create, path.Join(dir, "adapter_config.json"), cfg); err != nil {
		return err
	}
	return write(create, path.Join(dir, "adapter_model.safetensors"), func(w io.Writer) error {
		return safetensors.Write(w, ts, map[string]string{"format": "pt"})
	})
}
