package export

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/internal/tokenizer"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// GGUFArgs are the arguments of export "gguf".
type GGUFArgs struct {
	Common
}

type ggufParams struct {
	DType string `json:"dtype"`
	Merge bool   `json:"merge"`
	Sides bool   `json:"sides"`
}

// GGUF writes one file that llama.cpp runs. Codes are carried over, not
// quantised again: every weight reads back as what it was.
var GGUF = &passes.Pass{
	Verb: "export", Method: "gguf",
	Summary: "A GGUF file for llama.cpp; codes are carried over bit for bit.",
	NewArgs: func() any { return &GGUFArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*GGUFArgs)
		ds := a.check()
		if !strings.HasSuffix(a.Path, ".gguf") {
			ds.Errorf("path", "Not a GGUF file", "%q does not end in .gguf.", a.Path)
		}
		if a.Model.Type != nil {
			ds = append(ds, holdable(a.Model.Type)...)
		}
		return passes.Result{Export: &passes.Export{Files: a.files()}}, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*GGUFArgs)
		m := a.Model
		p := ggufParams{DType: a.DType, Merge: a.Adapters == "merge", Sides: a.Adapters == "file" && hasSides(m.Type)}
		files, layers, tok := a.files(), len(m.Blocks), m.Tokenizer.Valid()
		r.Export = &passes.Export{Kernel: "export.gguf", Impl: 1, Params: p, Inputs: inputs(m), Files: files,
			Write: func(ctx context.Context, load func(string) (*artifact.Value, func(), error), create func(string) (io.WriteCloser, error)) error {
				o, err := open(load, layers, tok)
				if err != nil {
					return err
				}
				defer o.close()
				return writeGGUF(ctx, o, p, files, create)
			}}
		return r
	},
}

func (a *GGUFArgs) files() []string {
	f := []string{a.Path}
	if a.Adapters == "file" && a.Model.Type != nil && hasSides(a.Model.Type) {
		f = append(f, strings.TrimSuffix(a.Path, ".gguf")+"-adapter.gguf")
	}
	return f
}

// encodingOf is the block type that carries a grid's codes without loss.
func encodingOf(bits int, symmetric bool) string {
	switch {
	case bits <= 4 && symmetric, bits <= 3:
		return "q4_0" // −8 … 7
	case bits == 4:
		return "q5_0" // a code less its zero point lies in −15 … 15
	case bits == 8 && symmetric:
		return "q8_0"
	}
	return ""
}

// holdable reports grids that no block type can hold.
func holdable(ty *model.Type) (ds diag.List) {
	var odd, wide, rounded []*model.Linear
	for _, l := range ty.Linears {
		if !l.Format.Quantized() {
			continue
		}
		g := l.Format.GroupSize
		switch {
		case encodingOf(l.Format.Bits, l.Format.Symmetric) == "":
			wide = append(wide, l)
		case l.In%32 != 0 || g > 0 && g%32 != 0:
			odd = append(odd, l)
		case l.Format.ScaleBits != 16:
			rounded = append(rounded, l)
		}
	}
	if len(wide) > 0 {
		ds.Errorf("model", "GGUF cannot hold the codes", "%s have %d-bit codes with a zero point, for which GGUF has no blocks. Quantise with symmetric = true, or export \"safetensors\".", blockwise.Paths(wide), wide[0].Format.Bits)
	}
	if len(odd) > 0 {
		ds.Errorf("model", "GGUF cannot hold the groups", "%s have groups of %d of %d inputs, but a GGUF block is 32 inputs that share a scale. Use a group_size that is a multiple of 32, or export \"safetensors\".", blockwise.Paths(odd), odd[0].Format.GroupSize, odd[0].In)
	}
	if len(rounded) > 0 {
		ds.Warnf("model", "Scales are rounded", "GGUF stores scales as f16, but %s were quantised with f32 scales, so weights move by up to 0.05 %%. Quantise with scale_dtype = \"f16\" for a file that is exact.", blockwise.Paths(rounded))
	}
	return ds
}

// fileTypes are general.file_type by the encoding that most linears have.
var fileTypes = map[string]uint32{"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k": 12, "q4_k": 15, "q5_k": 17, "q6_k": 18, "bf16": 32}

func writeGGUF(ctx context.Context, o *opened, p ggufParams, files []string, create func(string) (io.WriteCloser, error)) error {
	pieces, err := o.pieces()
	if err != nil {
		return err
	}
	var cfg map[string]any
	if err := json.Unmarshal(o.config, &cfg); err != nil {
		return fmt.Errorf("config.json: %w", err)
	}
	kvs, err := gguf.KVFromConfig(cfg)
	if err != nil {
		return err
	}
	w := &gguf.Writer{}
	count := map[string]int{}
	for _, q := range pieces {
		t, err := ggufTensor(ctx, kvs, q, p)
		if err != nil {
			return err
		}
		if q.linear != nil {
			enc := t.Meta.Encoding
			if enc == "" {
				enc = strings.ToLower(string(t.Meta.DType))
			}
			count[enc]++
		}
		w.Tensors = append(w.Tensors, t)
	}
	freqs, err := gguf.RopeFreqs(cfg)
	if err != nil {
		return err
	}
	if freqs != nil {
		w.Tensors = append(w.Tensors, gguf.WriteTensor{Name: "rope_freqs.weight", Meta: tensor.Meta{DType: tensor.F32, Shape: []int{len(freqs)}},
			Data: func() ([]byte, error) { return artifact.AsBytes(freqs), nil }})
	}
	most := ""
	for _, enc := range []string{"f32", "f16", "bf16", "q8_0", "q6_k", "q5_k", "q5_1", "q5_0", "q4_k", "q4_1", "q4_0", "q3_k", "q2_k"} {
		if most == "" || count[enc] > count[most] {
			most = enc
		}
	}
	kvs = kvs.Set("general.file_type", fileTypes[most])
	kvs = kvs.Set("general.quantization_version", uint32(2))
	if w.KVs, err = tokenizerKVs(kvs, o); err != nil {
		return err
	}
	if err := write(create, files[0], w.Write); err != nil {
		return err
	}
	if !p.Sides {
		return nil
	}
	return writeGGUFAdapter(o, kvs, files[1], create)
}

// ggufTensor is one tensor of the file.
func ggufTensor(ctx context.Context, kvs gguf.KVs, q piece, p ggufParams) (gguf.WriteTensor, error) {
	hf := q.name
	if q.linear != nil {
		hf += ".weight"
	}
	name, ok := gguf.GGUFName(hf)
	if !ok {
		return gguf.WriteTensor{}, fmt.Errorf("%s has no name in GGUF", hf)
	}
	headDim := gguf.RotaryHeadDim(kvs, name, q.shape[0])
	t := gguf.WriteTensor{Name: name, Meta: tensor.Meta{Shape: q.shape, RotaryHeadDim: headDim}}
	var rows func() ([]byte, error)
	source := q.leaf
	if q.linear != nil {
		source += ".weight"
	}
	sides := q.linear != nil && p.Merge && q.v.Has(blockwise.SideLeaf(q.leaf, 0, "A"))
	switch e, _ := q.v.Tree.Lookup(source); {
	case q.quantized():
		c, err := q.codes()
		if err != nil {
			return t, err
		}
		t.Meta.DType, t.Meta.Encoding = tensor.F32, encodingOf(c.Spec.Bits, c.Spec.Symmetric)
		rows = func() ([]byte, error) { return packCodes(t.Meta.Encoding, c) }
	case e.Meta.Encoding != "" && !sides && e.Meta.RotaryHeadDim == headDim:
		// As it came from a GGUF file: its blocks, row order included.
		t.Meta.DType, t.Meta.Encoding = tensor.F32, e.Meta.Encoding
		t.Data = func() ([]byte, error) { return q.v.Bytes(source) }
		return t, nil
	default:
		t.Meta.DType = dtypeOf(p.DType)
		if len(q.shape) == 1 {
			t.Meta.DType = tensor.F32
		}
		rows = func() ([]byte, error) {
			w, err := q.dense(p.Merge)
			if err != nil {
				return nil, err
			}
			return encode(t.Meta.DType, w), nil
		}
	}
	t.Data = func() ([]byte, error) {
		if err := canceled(ctx); err != nil {
			return nil, err
		}
		b, err := rows()
		if err != nil || headDim == 0 {
			return b, err
		}
		out := make([]byte, len(b))
		gguf.ToRotary(out, b, len(b)/q.shape[0], headDim)
		return out, nil
	}
	return t, nil
}

// packCodes carries integer codes into GGUF blocks.
func packCodes(encoding string, q *grid.Quantized) ([]byte, error) {
	g := q.Spec.GroupSize
	if g < 0 {
		g = q.In
	}
	c := &gguf.Codes{Cols: q.In, GroupSize: g, Values: q.Codes, Zeros: q.Zeros, Scales: make([]uint16, len(q.Scales))}
	for i, s := range q.Scales {
		c.Scales[i] = half.ToF16(s)
	}
	elems, size, _ := gguf.BlockSize(encoding)
	dst := make([]byte, len(q.Codes)/elems*size)
	switch encoding {
	case "q4_0":
		return dst, gguf.PackQ4_0(dst, c)
	case "q5_0":
		return dst, gguf.PackQ5_0(dst, c)
	case "q8_0":
		return dst, gguf.PackQ8_0(dst, c)
	}
	panic("export: no packer for " + encoding)
}

// tokenizerKVs adds the model's tokenizer.
func tokenizerKVs(kvs gguf.KVs, o *opened) (gguf.KVs, error) {
	if o.tokenizer == nil {
		return kvs.Set("tokenizer.ggml.model", "none"), nil
	}
	tok, err := tokenizer.FromJSON(o.tokenizer)
	if err != nil {
		return nil, err
	}
	v, err := tok.GGUF()
	if err != nil {
		return nil, fmt.Errorf("the tokenizer cannot be written as GGUF: %w", err)
	}
	v = v.PadTo(o.cfg.Vocab)
	kvs = kvs.Set("tokenizer.ggml.model", v.Model)
	kvs = kvs.Set("tokenizer.ggml.pre", v.Pre)
	kvs = kvs.Set("tokenizer.ggml.tokens", v.Tokens)
	kvs = kvs.Set("tokenizer.ggml.token_type", v.TokenTypes)
	kvs = kvs.Set("tokenizer.ggml.merges", v.Merges)
	if v.BOS >= 0 {
		kvs = kvs.Set("tokenizer.ggml.bos_token_id", uint32(v.BOS))
	}
	if v.EOS >= 0 {
		kvs = kvs.Set("tokenizer.ggml.eos_token_id", uint32(v.EOS))
	}
	return kvs.Set("tokenizer.ggml.add_bos_token", v.AddBOS), nil
}

// writeGGUFAdapter writes the side paths as a LoRA file that llama.cpp loads
// with --lora.
func writeGGUFAdapter(o *opened, kvs gguf.KVs, file string, create func(string) (io.WriteCloser, error)) error {
	arch, _ := kvs.String("general.architecture")
	ads, err := o.adapters()
	if err != nil {
		return err
	}
	w := &gguf.Writer{}
	alpha := float32(0) // every scale is 1
	if r, same := sameRank(ads); same {
		alpha = float32(r)
	}
	w.KVs = w.KVs.Set("general.type", "adapter")
	w.KVs = w.KVs.Set("general.architecture", arch)
	w.KVs = w.KVs.Set("adapter.type", "lora")
	w.KVs = w.KVs.Set("adapter.lora.alpha", alpha)
	for _, ad := range ads {
		name, ok := gguf.GGUFName(ad.path + ".weight")
		if !ok {
			return fmt.Errorf("%s has no name in GGUF", ad.path)
		}
		headDim := gguf.RotaryHeadDim(kvs, name, ad.out)
		w.Tensors = append(w.Tensors,
			gguf.WriteTensor{Name: name + ".lora_a", Meta: tensor.Meta{DType: tensor.F32, Shape: []int{ad.rank, ad.in}},
				Data: func() ([]byte, error) { return artifact.AsBytes(ad.a), nil }},
			gguf.WriteTensor{Name: name + ".lora_b", Meta: tensor.Meta{DType: tensor.F32, Shape: []int{ad.out, ad.rank}, RotaryHeadDim: headDim},
				Data: func() ([]byte, error) {
					b := artifact.AsBytes(ad.b)
					if headDim == 0 {
						return b, nil
					}
					out := make([]byte, len(b))
					gguf.ToRotary(out, b, ad.rank*4, headDim)
					return out, nil
				}})
	}
	return write(create, file, w.Write)
}
