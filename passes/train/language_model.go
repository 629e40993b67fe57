// Package train makes models from nothing.
package train

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/linalg/rng"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/tokenizer"
	"github.com/compressc/compressc/internal/train"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/training"
)

// All lists the methods of the verb.
func All() []*passes.Pass { return []*passes.Pass{LanguageModel} }

// LanguageModelArgs are the arguments of train "language_model".
type LanguageModelArgs struct {
	Data         *passes.Data `arg:"data" doc:"training windows, tokenised byte by byte (a data block without tokenizer)"`
	Architecture string       `arg:"architecture" default:"llama" enum:"llama|gpt2|opt" doc:"what the decoder is built like: gpt2 and opt have LayerNorm, learned positions, biases and an MLP without a gate"`
	Hidden       int          `arg:"hidden_size" default:"128" min:"8" doc:"width of the residual stream"`
	Intermediate int          `arg:"intermediate_size" default:"352" min:"8" doc:"width inside the MLP"`
	Layers       int          `arg:"layers" default:"4" min:"1" doc:"decoder blocks"`
	Heads        int          `arg:"heads" default:"4" min:"1" doc:"query heads"`
	KVHeads      int          `arg:"kv_heads" default:"2" min:"1" doc:"key and value heads of a llama; divides heads"`
	RopeTheta    float64      `arg:"rope_theta" default:"10000" above:"1" doc:"base of the rotary embedding of a llama"`
	InitStd      float64      `arg:"init_std" default:"0.02" above:"0" doc:"standard deviation of the initial weights"`
	training.Run
}

const rate = 3e-3

func (a *LanguageModelArgs) configJSON() []byte {
	c := map[string]any{
		"architectures": []string{"LlamaForCausalLM"}, "model_type": "llama", "hidden_act": "silu",
		"hidden_size": a.Hidden, "intermediate_size": a.Intermediate, "num_hidden_layers": a.Layers,
		"num_attention_heads": a.Heads, "num_key_value_heads": a.KVHeads, "head_dim": a.Hidden / a.Heads,
		"rms_norm_eps": 1e-5, "rope_theta": a.RopeTheta, "vocab_size": tokenizer.ByteLevel().VocabSize(),
		"max_position_embeddings": a.Data.Type.SequenceLength, "tie_word_embeddings": true,
	}
	switch a.Architecture {
	case "gpt2":
		c = map[string]any{
			"architectures": []string{"GPT2LMHeadModel"}, "model_type": "gpt2", "activation_function": "gelu_new",
			"n_embd": a.Hidden, "n_inner": a.Intermediate, "n_layer": a.Layers, "n_head": a.Heads,
			"n_positions": a.Data.Type.SequenceLength, "layer_norm_epsilon": 1e-5,
			"vocab_size": tokenizer.ByteLevel().VocabSize(), "tie_word_embeddings": true,
		}
	case "opt":
		c = map[string]any{
			"architectures": []string{"OPTForCausalLM"}, "model_type": "opt", "activation_function": "relu",
			"hidden_size": a.Hidden, "ffn_dim": a.Intermediate, "num_hidden_layers": a.Layers, "num_attention_heads": a.Heads,
			"max_position_embeddings": a.Data.Type.SequenceLength, "word_embed_proj_dim": a.Hidden, "do_layer_norm_before": true,
			"vocab_size": tokenizer.ByteLevel().VocabSize(), "tie_word_embeddings": true,
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		panic(fmt.Sprintf("train: configuration does not encode: %v", err))
	}
	return b
}

type initParams struct {
	Config json.RawMessage `json:"config"`
	Seed   uint64          `json:"seed"`
	Std    float64         `json:"std"`
}

// initKernel makes a model of normally distributed weights; those that write
// into the residual stream are smaller by √(2·layers).
var initKernel = action.NewKernel("train.init", 1, func(c *action.Context, p initParams) error {
	cfg, err := arch.ParseConfig(p.Config)
	if err != nil {
		return err
	}
	draw := func(name string, n int, std float64) []float32 {
		s := rng.New(p.Seed, "train.init "+name)
		w := make([]float32, n)
		for i := range w {
			w[i] = float32(s.NormAt(uint64(i)) * std)
		}
		return w
	}
	// Gains are 1, biases 0.
	constant := func(t arch.TensorSpec) []float32 {
		w := make([]float32, t.Elements())
		if strings.HasSuffix(t.Name, ".bias") {
			return w
		}
		for i := range w {
			w[i] = 1
		}
		return w
	}
	for _, t := range cfg.EmbedTensors() {
		c.Output("embed").PutFloat32(t.Name, t.Shape, draw(t.Name, int(t.Elements()), p.Std))
	}
	for _, t := range cfg.FinalTensors() {
		c.Output("final").PutFloat32(t.Name, t.Shape, constant(t))
	}
	small := p.Std / math.Sqrt(float64(2*cfg.Layers))
	for b := 0; b < cfg.Layers; b++ {
		out := c.Output(fmt.Sprintf("block%d", b))
		std := map[string]float64{}
		for _, l := range cfg.Linears() {
			std[l.Weight()] = p.Std
			if l.WritesStream() {
				std[l.Weight()] = small
			}
		}
		for _, t := range cfg.BlockTensors() {
			if s, ok := std[t.Name]; ok {
				out.PutFloat32(t.Name, t.Shape, draw(cfg.BlockPrefix(b)+t.Name, int(t.Elements()), s))
			} else {
				out.PutFloat32(t.Name, t.Shape, constant(t))
			}
		}
	}
	if err := c.Output("config").PutJSON("config.json", json.RawMessage(p.Config)); err != nil {
		return err
	}
	return c.Output("tokenizer").PutJSON("tokenizer.json", json.RawMessage(tokenizer.ByteLevel().ToJSON()))
})

// LanguageModel trains every weight of a small decoder on bytes of text.
var LanguageModel = &passes.Pass{
	Verb: "train", Method: "language_model",
	Summary: "Trains a small Llama, GPT-2 or OPT from random weights; its tokens are bytes.",
	Paper:   "the architecture: Touvron et al. 2023, arXiv:2302.13971; the optimizer: Loshchilov and Hutter 2017, arXiv:1711.05101",
	NewArgs: func() any { return &LanguageModelArgs{} },
	Type: func(c *passes.Call) (passes.Result, diag.List) {
		a := c.Args.(*LanguageModelArgs)
		out := &passes.Model{From: c.Node}
		ds := a.Run.Check(a.Data.Type.SequenceLength)
		if a.Hidden%a.Heads != 0 || a.Hidden/a.Heads%2 != 0 {
			ds.Errorf("heads", "Heads do not divide the width", "hidden_size = %d in %d heads is %.4g a head; a head needs an even whole number. Numbers of heads that give one: %s.", a.Hidden, a.Heads, float64(a.Hidden)/float64(a.Heads), evenHeads(a.Hidden))
		}
		if a.Architecture == "llama" && a.Heads%a.KVHeads != 0 {
			ds.Errorf("kv_heads", "Key heads do not divide the heads", "%d query heads cannot share %d key and value heads evenly.", a.Heads, a.KVHeads)
		}
		bytes := tokenizer.ByteLevel().Digest()
		if t := a.Data.Type.Tokenizer; t != "" && t != bytes {
			ds.Errorf("data", "Not byte by byte", "A new model has no tokenizer but the bytes; %s uses a model's. Leave tokenizer out of that data block.", a.Data.From)
		}
		if ds.HasErrors() {
			return passes.Result{Model: out}, ds
		}
		cfg, err := arch.ParseConfig(a.configJSON())
		if err != nil {
			ds.Errorf("", "Impossible model", "%s", err)
			return passes.Result{Model: out}, ds
		}
		out.Type = model.New(cfg, c.Node, func(string) float64 { return 32 })
		out.Type.Tokenizer = bytes
		out.Type.OtherBytes = (cfg.Parameters() - cfg.LinearParameters()) * 4
		return passes.Result{Model: out}, ds
	},
	Lower: func(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
		a := c.Args.(*LanguageModelArgs)
		cfg := r.Model.Type.Config
		outs := []action.Output{}
		for _, n := range []string{"config", "embed", "final", "tokenizer"} {
			outs = append(outs, action.Output{Name: n, Class: action.Durable, Bytes: 1 << 16})
		}
		for b := 0; b < cfg.Layers; b++ {
			outs = append(outs, action.Output{Name: fmt.Sprintf("block%d", b), Class: action.Durable, Bytes: cfg.Parameters() * 4 / int64(cfg.Layers)})
		}
		init := g.Add(action.Spec{Kernel: initKernel, Params: initParams{a.configJSON(), c.Seed, a.InitStd}, Outputs: outs, Node: c.Node, Label: "initial weights",
			Flops: float64(cfg.Parameters()) * 50, Peak: cfg.Parameters() * 4})
		ref := func(n string) action.Ref { return action.Ref{Action: init, Output: n} }
		start := &passes.Model{Type: r.Model.Type, From: c.Node, Config: ref("config"), Tokenizer: ref("tokenizer"), Embed: ref("embed"), Final: ref("final")}
		j := training.Job{Node: c.Node, Model: start, Data: a.Data, Spec: training.NewSpec(cfg)}
		for b := 0; b < cfg.Layers; b++ {
			start.Blocks = append(start.Blocks, ref(fmt.Sprintf("block%d", b)))
			for _, l := range cfg.Linears() {
				j.Spec.Linears[b] = append(j.Spec.Linears[b], training.Linear{Name: l.Name, Kind: train.Full})
			}
		}
		j.Spec.Embedding, j.Spec.Norms, j.Spec.Biases = true, true, cfg.MLPBias
		a.Run.Apply(&j, rate, c.Seed)
		next := *start
		_, logs := j.Merge(g, &next)
		return passes.Result{Model: &next, Logs: logs}
	},
}

// evenHeads lists the numbers of heads that part a width into even ones.
func evenHeads(width int) string {
	var list []string
	for n := 1; n <= width/2; n++ {
		if width%n == 0 && width/n%2 == 0 {
			list = append(list, strconv.Itoa(n))
		}
	}
	if len(list) == 0 {
		return "none, for hidden_size is odd"
	}
	return strings.Join(list, ", ")
}
