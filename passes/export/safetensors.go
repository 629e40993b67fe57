package export

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// SafetensorsArgs are the arguments of export "safetensors".
type SafetensorsArgs struct {
	Common
	Layout string `arg:"layout" default:"auto" enum:"auto|dense|compressed-tensors|native" doc:"how codes are stored: packed as compressed-tensors does, or as the floating point numbers they stand for; auto packs what is quantised. native holds what no other program knows, such as blocks of different shapes, as floating point numbers; only compressc reads it back"`
}

// packs reports whether layers on a grid are written as codes.
func (a *SafetensorsArgs) packs(ty *model.Type) bool {
	if a.Layout == "dense" || a.Layout == "native" {
		return false
	}
	for _, l := range ty.Linears {
		if l.Format.OnGrid() {
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
	Native bool   `json:"native,omitempty"`
}

// Safetensors writes a Hugging Face folder: config.json, generation_config.json,
// model.safetensors, with quantised layers in the pack-quantized format of
// compressed-tensors, and, where the model has a tokenizer, tokenizer.json with
// its tokenizer_config.json.
var Safetensors = &passes.Pass{
	Verb: "export", Method: "safetensors",
	Summary: "A Hugging Face folder, quantised layers packed as compressed-tensors.",
	Doc: `Writes config.json, generation_config.json, model.safetensors and, where the
model has a tokenizer, tokenizer.json and tokenizer_config.json. Quantised layers
are packed in the pack-quantized format of compressed-tensors, which vLLM and
transformers load; transformers (with compressed-tensors up to 0.20) cannot load
zero points, so choose ` + "`symmetric = true`" + ` or ` + "`layout = \"dense\"`" + ` for it. Pruned
layers are stored with their zeros.

Side paths go into the folder's subfolder adapter, for PEFT.

What no class of transformers knows (blocks of different shapes, adapters behind the
sublayers, RMSNorm in a GPT-2)
is refused, unless ` + "`layout = \"native\"`" + ` says that the folder is for compressc alone:
its config.json has keys of our own and a model_type that other programs refuse, where
they would take it for a model of the family and compute something else.
`,
	NewArgs: func() any { return &SafetensorsArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*SafetensorsArgs)
		ds := a.check()
		if a.Model.Type != nil {
			foreign := knownToTransformers(a.Model.Type, a.Model.From)
			if a.Layout != "native" {
				ds = append(ds, foreign...)
			} else if len(foreign) == 0 {
				ds.Warnf("layout", "Other programs know this model", "%s has nothing that a Hugging Face %s model has no place for, and in the native layout compressc alone reads it. Use layout = \"dense\".", a.Model.From, a.Model.Type.Config.ModelType)
			}
			if a.Adapters == "file" {
				ds = append(ds, adaptable(a.Model)...)
				if a.Layout == "native" && hasSides(a.Model.Type) {
					ds = append(ds, bottlenecks(a.Model.Type, a.Model.From, "what PEFT loads beside a model", "Use adapters = \"merge\", or export the model from before the side paths.")...)
				}
			}
			if c := a.Model.Type.Config; c.Renamed() && a.packs(a.Model.Type) {
				ds.Errorf("layout", "No codes in this family", "%s is a %s model, whose layers have other names and forms in its own checkpoints than those that are packed. Use layout = \"dense\", which writes the numbers that the codes stand for.", a.Model.From, c.ModelType)
			} else if a.packs(a.Model.Type) {
				ds = append(ds, packable(a.Model.Type, a.DType)...)
			} else if a.Layout == "compressed-tensors" {
				ds.Errorf("layout", "Nothing to pack", "%s has no layers of integer codes with scales. Use layout = \"auto\".", a.Model.From)
			}
		}
		return passes.Result{Export: &passes.Export{Files: a.files()}}, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*SafetensorsArgs)
		m := a.Model
		p := safetensorsParams{DType: a.DType, Packed: a.packs(m.Type), Merge: a.Adapters == "merge", Sides: a.Adapters == "file" && hasSides(m.Type), Native: a.Layout == "native"}
		layers, tok := len(m.Blocks), m.Tokenizer.Valid()
		r.Export = &passes.Export{Kernel: "export.safetensors", Impl: 1, Params: p, Inputs: inputs(m), Files: a.files(),
			Write: func(ctx context.Context, load loader, create creator) error {
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
	names := []string{"config.json", "generation_config.json", "model.safetensors"}
	if a.Model.Type == nil || a.Model.Type.Tokenizer != "" {
		names = append(names, "tokenizer.json", "tokenizer_config.json")
	}
	if a.Adapters == "file" && a.Model.Type != nil && hasSides(a.Model.Type) {
		names = append(names, "adapter/adapter_config.json", "adapter/adapter_model.safetensors")
	}
	for i, n := range names {
		names[i] = path.Join(a.Path, n)
	}
	return names
}

// packable reports what compressed-tensors cannot hold, and what its readers
// may round.
func packable(ty *model.Type, dtype string) (ds diag.List) {
	var short, rounded []*model.Linear
	for _, l := range ty.Linears {
		if !l.Format.OnGrid() {
			continue
		}
		if l.Format.PartialGroup {
			short = append(short, l)
		}
		if l.Format.ScaleBits != 16 && dtype != "f32" {
			rounded = append(rounded, l)
		}
	}
	if len(short) > 0 {
		ds.Errorf("model", "Short groups", "The last group of a row of %s is shorter than the others, which compressed-tensors cannot hold. Use layout = \"dense\", or quantise with a group_size that divides %d.", blockwise.Paths(short), short[0].In)
		ds.Since(short[0].QuantizedBy)
	}
	if len(rounded) > 0 {
		ds.Warnf("dtype", "Readers may round scales", "%s were quantised with f32 scales, which are written as they are; programs that load a model in %s, as its config.json says, round them. Quantise with scale_dtype = \"f16\", or export with dtype = \"f32\".", blockwise.Paths(rounded), dtype)
	}
	return ds
}

func writeFolder(ctx context.Context, o *opened, p safetensorsParams, dir string, create creator) error {
	pieces, err := o.pieces()
	if err != nil {
		return err
	}
	dt := dtypeOf(p.DType)
	var ts []safetensors.WriteTensor
	groups := compressedtensors.NewConfig()
	for _, q := range pieces {
		if p.Packed && q.quantized() {
			packed, err := packPiece(ctx, o, q, groups)
			if err != nil {
				return err
			}
			ts = append(ts, packed...)
			continue
		}
		if q.linear != nil {
			groups.Ignore(q.name)
		}
		t := safetensors.WriteTensor{Name: q.weightName(), Meta: tensor.Meta{DType: dt, Shape: q.shape}}
		t.Data, t.Ahead = o.readingAhead(ctx, q, func(q piece) ([]byte, error) {
			w, err := q.dense(p.Merge)
			if err != nil {
				return nil, err
			}
			return encode(dt, w)
		})
		ts = append(ts, t)
	}
	if o.cfg.Renamed() {
		ts = familyTensors(o.cfg, ts)
	}
	groups.Ignore("lm_head")
	config := o.config
	if p.Native {
		if config, err = nativeConfig(config); err != nil {
			return err
		}
	} else if to := switchedBiases(o.cfg); to != nil {
		if config, err = to.JSON(); err != nil {
			return err
		}
		ts = append(ts, zeroBiases(o.cfg, to, dt)...)
	}
	cfg, err := folderConfig(config, p, groups)
	if err != nil {
		return err
	}
	if err := writeBytes(create, path.Join(dir, "config.json"), cfg); err != nil {
		return err
	}
	gen, err := marshal(generationConfig(o.cfg))
	if err != nil {
		return err
	}
	if err := writeBytes(create, path.Join(dir, "generation_config.json"), gen); err != nil {
		return err
	}
	if o.tokenizer != nil {
		tok, err := o.openTokenizer()
		if err != nil {
			return err
		}
		if err := writeBytes(create, path.Join(dir, "tokenizer.json"), o.tokenizer); err != nil {
			return err
		}
		if err := writeBytes(create, path.Join(dir, "tokenizer_config.json"), tok.ConfigJSON()); err != nil {
			return err
		}
	}
	err = write(create, path.Join(dir, "model.safetensors"), func(w io.Writer) error {
		return safetensors.Write(w, ts, map[string]string{"format": "pt"})
	})
	if err != nil || !p.Sides {
		return err
	}
	ads, err := o.adapters()
	if err != nil {
		return err
	}
	return writePEFT(ads, peftParams{DType: "f32"}, o.cfg.Layers, path.Join(dir, "adapter"), create)
}

// knownToTransformers reports what no configuration class of transformers says.
func knownToTransformers(ty *model.Type, from string) (ds diag.List) {
	c := ty.Config
	norm, bias := c.FamilyNorm()
	switch {
	case c.Adapters.Any():
		ds = append(ds, bottlenecks(ty, from, fmt.Sprintf("a Hugging Face %s model", c.ModelType), nativeOrDelta)...)
	case c.Norm != norm || c.NormBias != bias || c.HeadBias:
		head := ""
		if c.HeadBias {
			head = " and a bias of the head"
		}
		ds.Errorf("model", "The format has other norms", "%s has %s%s, and a Hugging Face %s model has %s: programs that load it would compute something else. Use layout = \"native\", which compressc reads back, or export the model from before that transformation.", from, arch.NormName(c.Norm), head, c.ModelType, arch.NormName(norm))
		ds.Since(from)
	case !c.Uniform() || ty.Undecided != "":
		ds.Errorf("model", "The format has one shape for all blocks", "The blocks of %s differ in heads or width, and a Hugging Face %s model has one number for all. Export \"gguf\", or prune with structure = \"ul-um\", or mode = \"mask\"; layout = \"native\" holds it for compressc alone.", from, c.ModelType)
		ds.Since(from)
	case c.Renamed() && c.QDim() != c.Hidden:
		ds.Errorf("model", "The format has no width of heads", "%s has %d heads of %d beside a residual stream of %d, and in a Hugging Face %s model the heads are as wide as that together. Use layout = \"native\", which compressc reads back, or prune with mode = \"mask\".", from, c.Heads, c.HeadDim, c.Hidden, c.ModelType)
		ds.Since(from)
	case c.Renamed(): // these have all biases
	case c.ModelType != "llama" && (c.MLPOutBias || c.ModelType == "mistral" && c.AttentionOutBias || c.ModelType == "qwen2" && c.AttentionOutBias || c.AttentionOutBias != c.AttentionBias && c.ModelType == "qwen3"):
		ds.Errorf("model", "The format has no place for the biases", "%s has biases that a Hugging Face %s model does not have. Prune with compensate = false.", from, c.ModelType)
		ds.Since(from)
	}
	return ds
}

// switchedBiases returns the configuration of a llama model some of whose layers
// have biases, with all that the switches of its class stand for; nil where they
// already say it.
func switchedBiases(c *arch.Config) *arch.Config {
	if c.ModelType != "llama" || c.AttentionOutBias == c.AttentionBias && c.MLPOutBias == c.MLPBias {
		return nil
	}
	to := *c
	to.AttentionBias = c.AttentionBias || c.AttentionOutBias
	to.AttentionOutBias = to.AttentionBias
	to.MLPBias = c.MLPBias || c.MLPOutBias
	to.MLPOutBias = to.MLPBias
	return &to
}

// zeroBiases are the biases that to has beyond those of c.
func zeroBiases(c, to *arch.Config, dt tensor.DType) (ts []safetensors.WriteTensor) {
	for b := range c.Layers {
		has := c.At(b).Linears()
		for i, l := range to.At(b).Linears() {
			if l.Bias && !has[i].Bias {
				ts = append(ts, safetensors.WriteTensor{Name: c.BlockPrefix(b) + l.BiasName(), Meta: tensor.Meta{DType: dt, Shape: []int{l.Out}},
					Data: func() ([]byte, error) { return make([]byte, l.Out*dt.Size()), nil }})
			}
		}
	}
	return ts
}

// nativeConfig puts a prefix before model_type, so that programs that do not know
// the keys of our own do not take the folder for a model of the family.
func nativeConfig(config []byte) ([]byte, error) {
	var cfg map[string]json.RawMessage
	if err := json.Unmarshal(config, &cfg); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	var family string
	if err := json.Unmarshal(cfg["model_type"], &family); err != nil {
		return nil, fmt.Errorf("config.json: model_type: %w", err)
	}
	b, err := json.Marshal(arch.NativePrefix + family)
	if err != nil {
		return nil, err
	}
	cfg["model_type"] = b
	delete(cfg, "architectures")
	return json.Marshal(cfg)
}

// folderConfig is the config.json of the written model: the source's, with what
// it says of storage replaced.
func folderConfig(config []byte, p safetensorsParams, groups *compressedtensors.Config) ([]byte, error) {
	var cfg map[string]json.RawMessage
	if err := json.Unmarshal(config, &cfg); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	for _, stale := range []string{"quantization_config", "compression_config", "dtype"} {
		delete(cfg, stale)
	}
	// Readers of all ages know torch_dtype, young ones alone know dtype.
	cfg["torch_dtype"] = json.RawMessage(map[string]string{"f16": `"float16"`, "bf16": `"bfloat16"`, "f32": `"float32"`}[p.DType])
	if p.Packed {
		var err error
		if cfg["quantization_config"], err = json.Marshal(groups); err != nil {
			return nil, err
		}
	}
	return marshal(cfg)
}

// generationConfig says where generated text begins and ends.
func generationConfig(c *arch.Config) map[string]any {
	g := map[string]any{"_from_model_config": true}
	for key, ids := range map[string][]int32{"bos_token_id": c.BOS, "eos_token_id": c.EOS} {
		switch len(ids) {
		case 0:
		case 1:
			g[key] = ids[0]
		default:
			g[key] = ids
		}
	}
	return g
}
