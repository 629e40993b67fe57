package export

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/tensor"
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
	Doc: `Codes become the blocks that hold them without loss: Q4_0 for up to 3 bits and
for symmetric 4 bits, Q5_0 for 4 bits with zero points and symmetric 5 bits, Q8_0
for up to 7 bits and symmetric 8 bits. A pruned weight stays exactly zero. Layers
that came from a GGUF file and were not changed are copied as they are; other
weights are stored as ` + "`dtype`" + ` says, norms and biases as f32.

Side paths go into a second file, NAME-adapter.gguf, for llama.cpp's ` + "`--lora`" + `.
`,
	NewArgs: func() any { return &GGUFArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*GGUFArgs)
		ds := a.check()
		if !strings.HasSuffix(a.Path, ".gguf") {
			ds.Errorf("path", "Not a GGUF file", "%q does not end in .gguf.", a.Path)
		}
		if a.Model.Type != nil {
			ds = append(ds, holdable(a.Model.Type)...)
			ds = append(ds, readable(a.Model.Type, a.Model.From)...)
		}
		return passes.Result{Export: &passes.Export{Files: a.files()}}, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*GGUFArgs)
		m := a.Model
		p := ggufParams{DType: a.DType, Merge: a.Adapters == "merge", Sides: a.Adapters == "file" && hasSides(m.Type)}
		files, layers, tok := a.files(), len(m.Blocks), m.Tokenizer.Valid()
		r.Export = &passes.Export{Kernel: "export.gguf", Impl: 1, Params: p, Inputs: inputs(m), Files: files,
			Write: func(ctx context.Context, load loader, create creator) error {
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

// encodingOf is the block type that carries a grid's codes without loss: what
// matters is the range of a code less its zero point. It is "" where there is
// none.
func encodingOf(bits int, symmetric bool) string {
	switch {
	case bits <= 3, bits == 4 && symmetric:
		return "q4_0" // −8 … 7
	case bits == 4, bits == 5 && symmetric:
		return "q5_0" // −16 … 15
	case bits <= 7, bits == 8 && symmetric:
		return "q8_0" // −128 … 127
	}
	return ""
}

// holdable reports grids that no block type holds, or none without rounding.
func holdable(ty *model.Type) (ds diag.List) {
	var odd, wide, rounded []*model.Linear
	for _, l := range ty.Linears {
		if !l.Format.OnGrid() {
			continue
		}
		g := l.Format.GroupSize
		switch {
		case encodingOf(l.Format.Bits, l.Format.Symmetric) == "":
			wide = append(wide, l)
		case l.In%32 != 0 || g > 0 && g < l.In && g%32 != 0:
			odd = append(odd, l)
		case l.Format.ScaleBits != 16:
			rounded = append(rounded, l)
		}
	}
	if len(wide) > 0 {
		ds.Errorf("model", "GGUF cannot hold the codes", "%s have %d-bit codes with a zero point, for which GGUF has no blocks. Quantise with symmetric = true, or export \"safetensors\".", blockwise.Paths(wide), wide[0].Format.Bits)
		ds.Since(wide[0].QuantizedBy)
	}
	if len(odd) > 0 {
		ds.Errorf("model", "GGUF cannot hold the groups", "%s have groups of %d of %d inputs, but a GGUF block is 32 inputs that share a scale. Use a group_size that is a multiple of 32, or export \"safetensors\".", blockwise.Paths(odd), odd[0].Format.GroupSize, odd[0].In)
		ds.Since(odd[0].QuantizedBy)
	}
	if len(rounded) > 0 {
		ds.Warnf("model", "Scales are rounded", "GGUF stores scales as f16, but %s were quantised with f32 scales, so weights move by up to 0.05 %%. Quantise with scale_dtype = \"f16\" for a file that is exact.", blockwise.Paths(rounded))
	}
	return ds
}

// readable reports what llama.cpp does not know of an architecture.
func readable(ty *model.Type, from string) (ds diag.List) {
	c := ty.Config
	if ds = bottlenecks(ty, from, "a GGUF file", nativeOrDelta); ds != nil {
		return ds
	}
	if c.Renamed() {
		ds.Errorf("model", "No GGUF of this family", "%s is a %s model; GGUF files are written of llama, mistral, qwen2 and qwen3 models. Export \"safetensors\", which the converters of llama.cpp read.", from, c.ModelType)
		return ds
	}
	if s := c.RopeScaling; s != nil && s.Type == "llama3" && c.ModelType != "llama" {
		ds.Errorf("model", "GGUF cannot hold the rotary scaling", "%s is a %s model with rope_type llama3, which readers of GGUF know in llama models alone. Export \"safetensors\".", from, c.ModelType)
		ds.Since(from)
	}
	if own := c.ModelType != "llama" && c.ModelType != "mistral"; own && (!c.Uniform() || ty.Undecided != "") {
		ds.Errorf("model", "GGUF cannot hold the shapes", "The blocks of %s differ in heads or width, which readers of GGUF know in llama models alone; it is a %s model. Prune with structure = \"ul-um\", or mode = \"mask\".", from, c.ModelType)
		ds.Since(from)
	} else if own && (c.MLPOutBias || c.AttentionOutBias && !c.AttentionBias || c.ModelType == "qwen2" && c.AttentionOutBias) {
		ds.Errorf("model", "GGUF cannot hold the biases", "%s has biases that %s models do not have, and readers of GGUF would pass over them. Prune with compensate = false.", from, c.ModelType)
		ds.Since(from)
	}
	if c.SlidingWindow > 0 {
		ds.Warnf("model", "llama.cpp has no sliding window here", "%s attends to the last %d positions; llama.cpp lets a %s model attend to all, and gives other results for longer texts.", from, c.SlidingWindow, c.ModelType)
	}
	return ds
}

func writeGGUF(ctx context.Context, o *opened, p ggufParams, files []string, create creator) error {
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
	for _, q := range pieces {
		t, err := ggufTensor(ctx, o, kvs, q, p)
		if err != nil {
			return err
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
	fileType, quantized := gguf.FileType(w.Tensors)
	kvs = kvs.Set("general.file_type", fileType)
	if quantized {
		kvs = kvs.Set("general.quantization_version", uint32(2))
	}
	if w.KVs, err = o.tokenizerKVs(kvs); err != nil {
		return err
	}
	if err := write(create, files[0], w.Write); err != nil {
		return err
	}
	if !p.Sides {
		return nil
	}
	ads, err := o.adapters()
	if err != nil {
		return err
	}
	return writeGGUFAdapter(ads, kvs, files[1], create)
}

// ggufTensor is one tensor of the file.
func ggufTensor(ctx context.Context, o *opened, kvs gguf.KVs, q piece, p ggufParams) (gguf.WriteTensor, error) {
	name, ok := gguf.GGUFName(q.weightName())
	if !ok {
		return gguf.WriteTensor{}, fmt.Errorf("%s has no name in GGUF", q.weightName())
	}
	headDim := gguf.RotaryHeadDim(kvs, name, q.shape[0])
	t := gguf.WriteTensor{Name: name, Meta: tensor.Meta{DType: tensor.F32, Shape: q.shape, RotaryHeadDim: headDim}}
	if q.isBlocks(headDim) && !(p.Merge && q.hasSides()) {
		e, err := q.v.Entry(q.weightLeaf())
		t.Meta.Encoding = e.Meta.Encoding
		t.Data = o.reading(ctx, q, func(q piece) ([]byte, error) { return q.v.Bytes(q.weightLeaf()) })
		return t, err
	}
	var rows func(piece) ([]byte, error)
	if q.quantized() {
		s, err := blockwise.Stored(q.v, q.leaf)
		if err != nil {
			return t, err
		}
		t.Meta.Encoding = encodingOf(s.Bits, s.Symmetric)
		rows = func(q piece) ([]byte, error) {
			c, err := q.codes()
			if err != nil {
				return nil, err
			}
			return packCodes(t.Meta.Encoding, c)
		}
	} else {
		if len(q.shape) > 1 { // readers want norms and biases in F32
			t.Meta.DType = dtypeOf(p.DType)
		}
		rows = func(q piece) ([]byte, error) {
			w, err := q.dense(p.Merge)
			if err != nil {
				return nil, err
			}
			return encode(t.Meta.DType, w)
		}
	}
	t.Data = o.reading(ctx, q, func(q piece) ([]byte, error) {
		b, err := rows(q)
		if err != nil {
			return nil, err
		}
		return toRotary(b, q.shape[0], headDim), nil
	})
	return t, nil
}

// isBlocks reports whether the tensor is as it came from a GGUF file: in its
// blocks, rows in the order that a file of this model has them.
func (p piece) isBlocks(headDim int) bool {
	e, ok := p.v.Tree.Lookup(p.weightLeaf())
	return ok && e.Meta.Encoding != "" && e.Meta.RotaryHeadDim == headDim
}

// toRotary returns rows in the order of the file; headDim 0 is the usual one.
func toRotary(b []byte, rows, headDim int) []byte {
	if headDim == 0 {
		return b
	}
	out := make([]byte, len(b))
	gguf.ToRotary(out, b, len(b)/rows, headDim)
	return out
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
