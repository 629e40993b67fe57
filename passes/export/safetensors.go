package export

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/internal/version"
	"github.com/compressc/compressc/passes"
)

// SafetensorsArgs are the arguments of export "safetensors".
type SafetensorsArgs struct {
	Common
	Layout string `arg:"layout" default:"auto" enum:"auto|dense|compressed-tensors" doc:"how codes are stored: packed as compressed-tensors does, or as the floating point numbers they stand for; auto packs what is quantised"`
}

func (a *SafetensorsArgs) packs(ty *model.Type) bool {
	if a.Layout == "dense" {
		return false
	}
	for _, l := range ty.Linears {
		if l.Format.Quantized() {
			return true
		}
	}
	return false
}

type safetensorsParams struct {
	DType  string `json:"dtype"`
	Packed bool   `json:"packed"`
	Merge  bool   `json:"merge"`
	Sides  bool   `json:"sides"`
}

// Safetensors writes a Hugging Face folder: config.json, tokenizer.json and
// model.safetensors, with quantised layers in the pack-quantized layout of
// compressed-tensors.
var Safetensors = &passes.Pass{
	Verb: "export", Method: "safetensors",
	Summary: "A Hugging Face folder, quantised layers packed as compressed-tensors.",
	NewArgs: func() any { return &SafetensorsArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*SafetensorsArgs)
		ds := a.check()
		if a.Model.Type != nil {
			if a.packs(a.Model.Type) {
				ds = append(ds, packable(a.Model.Type)...)
			} else if a.Layout == "compressed-tensors" {
				ds.Errorf("layout", "Nothing to pack", "%s has no quantised layers. Use layout = \"auto\".", a.Model.From)
			}
		}
		return passes.Result{Export: &passes.Export{Files: a.files()}}, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*SafetensorsArgs)
		m := a.Model
		p := safetensorsParams{DType: a.DType, Packed: a.packs(m.Type), Merge: a.Adapters == "merge", Sides: a.Adapters == "file" && hasSides(m.Type)}
		layers, tok := len(m.Blocks), m.Tokenizer.Valid()
		r.Export = &passes.Export{Kernel: "export.safetensors", Impl: 1, Params: p, Inputs: inputs(m), Files: a.files(),
			Write: func(ctx context.Context, load func(string) (*artifact.Value, func(), error), create func(string) (io.WriteCloser, error)) error {
				o, err := open(load, layers, tok)
				if err != nil {
					return err
				}
				defer o.close()
				return writeFolder(ctx, o, p, a.Path, create)
			}}
		return r
	},
}

func (a *SafetensorsArgs) files() []string {
	f := []string{path.Join(a.Path, "config.json"), path.Join(a.Path, "model.safetensors")}
	if a.Model.Type == nil || a.Model.Type.Tokenizer != "" {
		f = append(f, path.Join(a.Path, "tokenizer.json"))
	}
	if a.Adapters == "file" && a.Model.Type != nil && hasSides(a.Model.Type) {
		f = append(f, path.Join(a.Path, "adapter", "adapter_config.json"), path.Join(a.Path, "adapter", "adapter_model.safetensors"))
	}
	return f
}

// packable reports grids that compressed-tensors cannot hold: it has one
// configuration for all layers of a group, and no short groups.
func packable(ty *model.Type) (ds diag.List) {
	var first *model.Linear
	for _, l := range ty.Linears {
		if !l.Format.Quantized() {
			continue
		}
		if l.Format.PartialGroup {
			ds.Errorf("model", "Short groups", "The last group of %s is shorter than the others, which compressed-tensors cannot hold. Use layout = \"dense\", or a group_size that divides %d.", l.Path, l.In)
			return ds
		}
		if first == nil {
			first = l
		}
	}
	return ds
}

func writeFolder(ctx context.Context, o *opened, p safetensorsParams, dir string, create func(string) (io.WriteCloser, error)) error {
	pieces, err := o.pieces()
	if err != nil {
		return err
	}
	dt := dtypeOf(p.DType)
	var ts []safetensors.WriteTensor
	groups := compressedtensors.NewConfig(version.Number)
	for _, q := range pieces {
		if p.Packed && q.linear != nil {
			if !q.quantized() {
				groups.Ignore(q.name)
			} else {
				packed, err := packPiece(q, dt)
				if err != nil {
					return err
				}
				groups.Add(q.name, packed.spec)
				ts = append(ts, packed.tensors...)
				continue
			}
		}
		name := q.name
		if q.linear != nil {
			name += ".weight"
		}
		ts = append(ts, safetensors.WriteTensor{Name: name, Meta: tensor.Meta{DType: dt, Shape: q.shape}, Data: func() ([]byte, error) {
			if err := canceled(ctx); err != nil {
				return nil, err
			}
			w, err := q.dense(p.Merge)
			if err != nil {
				return nil, err
			}
			return encode(dt, w), nil
		}})
	}
	var cfg map[string]json.RawMessage
	if err := json.Unmarshal(o.config, &cfg); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	delete(cfg, "quantization_config")
	delete(cfg, "dtype")
	cfg["torch_dtype"] = json.RawMessage(fmt.Sprintf("%q", map[string]string{"f16": "float16", "bf16": "bfloat16", "f32": "float32"}[p.DType]))
	if p.Packed {
		if !o.cfg.Tied {
			groups.Ignore("lm_head")
		}
		if cfg["quantization_config"], err = json.Marshal(groups); err != nil {
			return err
		}
	}
	text, err := marshal(cfg)
	if err != nil {
		return err
	}
	if err := writeBytes(create, path.Join(dir, "config.json"), text); err != nil {
		return err
	}
	if o.tokenizer != nil {
		if err := writeBytes(create, path.Join(dir, "tokenizer.json"), o.tokenizer); err != nil {
			return err
		}
	}
	err = write(create, path.Join(dir, "model.safetensors"), func(w io.Writer) error {
		return safetensors.Write(w, ts, map[string]string{"format": "pt"})
	})
	if err != nil || !p.Sides {
		return err
	}
	return writeAdapter(o, tensor.F32, path.Join(dir, "adapter"), "..", create)
}

// packedPiece is a quantised layer in the layout of compressed-tensors.
type packedPiece struct {
	spec    compressedtensors.Weights
	tensors []safetensors.WriteTensor
}

func packPiece(q piece, dt tensor.DType) (packedPiece, error) {
	c, err := q.codes()
	if err != nil {
		return packedPiece{}, err
	}
	spec := compressedtensors.Weights{Bits: c.Spec.Bits, GroupSize: c.Spec.GroupSize, Symmetric: c.Spec.Symmetric}
	groups := len(c.Scales) / c.Out
	// Scales keep the type they were chosen in: rounding them again would move
	// every weight of the group.
	sdt := tensor.F32
	if c.Spec.ScaleDType == "f16" {
		sdt = tensor.F16
	}
	out := packedPiece{spec: spec}
	add := func(suffix string, m tensor.Meta, data func() ([]byte, error)) {
		out.tensors = append(out.tensors, safetensors.WriteTensor{Name: q.name + suffix, Meta: m, Data: data})
	}
	words := compressedtensors.Words(c.In, spec.Bits)
	add(".weight_packed", tensor.Meta{DType: tensor.I32, Shape: []int{c.Out, words}}, func() ([]byte, error) {
		return artifact.AsBytes(compressedtensors.PackRows(c.Codes, c.Out, c.In, spec.Bits)), nil
	})
	add(".weight_scale", tensor.Meta{DType: sdt, Shape: []int{c.Out, groups}}, func() ([]byte, error) { return encode(sdt, c.Scales), nil })
	add(".weight_shape", tensor.Meta{DType: tensor.I64, Shape: []int{2}}, func() ([]byte, error) {
		return artifact.AsBytes([]int64{int64(c.Out), int64(c.In)}), nil
	})
	if !spec.Symmetric {
		add(".weight_zero_point", tensor.Meta{DType: tensor.I32, Shape: []int{compressedtensors.Words(c.Out, spec.Bits), groups}}, func() ([]byte, error) {
			return artifact.AsBytes(compressedtensors.PackColumns(c.Zeros, c.Out, groups, spec.Bits)), nil
		})
	}
	return out, nil
}

// marshal writes JSON as Hugging Face does: sorted keys, two spaces.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
