package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/tensor"
)

// Adapter is a set of low-rank updates of linear layers as people keep it: a PEFT
// folder (adapter_config.json beside adapter_model.safetensors) or a LoRA file of
// llama.cpp. Like a Checkpoint it holds headers and no weights.
//
// PEFT: src/peft/tuners/lora/config.py, utils/save_and_load.py; llama.cpp:
// convert_lora_to_gguf.py, src/llama-adapter.cpp.
type Adapter struct {
	Path string
	// Layers are sorted by path.
	Layers []AdapterLayer
}

// AdapterLayer is the update scale·B·A of one linear layer.
type AdapterLayer struct {
	// Path of the layer: "model.layers.3.mlp.down_proj".
	Path  string
	Rank  int
	Scale float64
	// Alpha is the numerator where Scale is Alpha / Rank, 0 for scales of another
	// form.
	Alpha float64
	// A is [rank, in] and B [out, rank].
	A, B Tensor
	// Rotary is set where the rows of B are in llama.cpp's order, by heads of a size
	// that the base model says.
	Rotary bool
}

// OpenAdapter opens the adapter at path: a PEFT folder or a .gguf file.
func OpenAdapter(path string) (*Adapter, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("no adapter at %s: expected a folder with adapter_config.json and adapter_model.safetensors, or a .gguf file: %w", path, fs.ErrNotExist)
	case err != nil:
		return nil, err
	case info.IsDir():
		return openPEFT(path)
	case strings.HasSuffix(path, ".gguf"):
		return openGGUFAdapter(path)
	}
	return nil, fmt.Errorf("%s is neither a folder nor a .gguf file; of a PEFT adapter name the folder", path)
}

// peftConfig is what of an adapter_config.json says what the factors mean.
type peftConfig struct {
	Type         string             `json:"peft_type"`
	Rank         int                `json:"r"`
	Alpha        float64            `json:"lora_alpha"`
	Alphas       map[string]float64 `json:"alpha_pattern"`
	RankScaled   bool               `json:"use_rslora"`
	Magnitudes   bool               `json:"use_dora"`
	Transposed   bool               `json:"fan_in_fan_out"`
	Bias         string             `json:"bias"`
	WholeModules []string           `json:"modules_to_save"`
}

// refusal says what an adapter has beyond low-rank updates, "" for none.
func (c *peftConfig) refusal() string {
	switch {
	case c.Type != "LORA":
		return fmt.Sprintf("it is of type %q, and only LORA is a product of two matrices", c.Type)
	case c.Magnitudes:
		return "it is a DoRA, which rescales the weights' columns as well; merge it with PEFT and name the merged model"
	case c.Transposed:
		return "fan_in_fan_out says that its weights are transposed, as those of no architecture here are"
	case c.Bias != "" && c.Bias != "none":
		return fmt.Sprintf("it changes biases too (bias = %q); merge it with PEFT and name the merged model", c.Bias)
	case len(c.WholeModules) > 0:
		return fmt.Sprintf("it replaces whole modules (%s); merge it with PEFT and name the merged model", strings.Join(c.WholeModules, ", "))
	}
	return ""
}

// alpha of a layer: PEFT matches a pattern at the end of a path, after a dot.
func (c *peftConfig) alpha(path string) (float64, error) {
	patterns := make([]string, 0, len(c.Alphas))
	for p := range c.Alphas {
		patterns = append(patterns, p)
	}
	slices.Sort(patterns)
	for _, p := range patterns {
		re, err := regexp.Compile(`^(.*\.)?(` + p + `)$`)
		if err != nil {
			return 0, fmt.Errorf("alpha_pattern %q: %w", p, err)
		}
		if re.MatchString(path) {
			return c.Alphas[p], nil
		}
	}
	return c.Alpha, nil
}

const peftPrefix = "base_model.model."

func openPEFT(dir string) (*Adapter, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "adapter_config.json"))
	if err != nil {
		return nil, fmt.Errorf("a PEFT adapter has an adapter_config.json: %w", err)
	}
	var c peftConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "adapter_config.json"), err)
	}
	if why := c.refusal(); why != "" {
		return nil, fmt.Errorf("%s cannot be read: %s", dir, why)
	}
	f, err := safetensors.Open(filepath.Join(dir, "adapter_model.safetensors"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a := &Adapter{Path: dir}
	pairs := map[string]*AdapterLayer{}
	for _, t := range f.Tensors() {
		name, isA := strings.CutSuffix(t.Name, ".lora_A.weight")
		if !isA {
			var isB bool
			if name, isB = strings.CutSuffix(t.Name, ".lora_B.weight"); !isB {
				return nil, fmt.Errorf("%s: tensor %s is no factor of a linear layer; expected names such as %smodel.layers.0.self_attn.q_proj.lora_A.weight", f.Path, t.Name, peftPrefix)
			}
		}
		path := strings.TrimPrefix(name, peftPrefix)
		put(pairs, path, isA, Tensor{Name: t.Name, Meta: t.Meta, Path: t.Path, Offset: t.Offset, Length: t.Length})
	}
	err = a.complete(pairs, func(l *AdapterLayer) error {
		alpha, err := c.alpha(l.Path)
		if err != nil {
			return err
		}
		if l.Scale, l.Alpha = alpha/float64(l.Rank), alpha; c.RankScaled {
			l.Scale, l.Alpha = alpha/math.Sqrt(float64(l.Rank)), 0
		}
		return nil
	})
	return a, err
}

func openGGUFAdapter(path string) (*Adapter, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	kind, _ := f.KVs.String("general.type")
	method, _ := f.KVs.String("adapter.type")
	if kind != "adapter" || method != "lora" {
		return nil, fmt.Errorf("%s is no LoRA file: its general.type is %q and its adapter.type %q, expected \"adapter\" and \"lora\"", path, kind, method)
	}
	architecture, _ := f.KVs.String("general.architecture")
	alpha, _ := f.KVs.Float("adapter.lora.alpha")
	a := &Adapter{Path: path}
	pairs := map[string]*AdapterLayer{}
	for _, t := range f.Tensors() {
		weight, isA := strings.CutSuffix(t.Name, ".lora_a")
		if !isA {
			weight = strings.TrimSuffix(t.Name, ".lora_b")
		}
		name, ok := gguf.HFName(weight)
		linear, isWeight := strings.CutSuffix(name, ".weight")
		if !ok || !isWeight || weight == t.Name {
			return nil, fmt.Errorf("%s: tensor %s is no factor of a linear layer; expected names such as blk.0.attn_q.weight.lora_a", path, t.Name)
		}
		l := put(pairs, linear, isA, Tensor{Name: t.Name, Meta: t.Meta, Path: t.Path, Offset: t.Offset, Length: t.Length})
		// As llama.cpp's converter moves the rows of the weights themselves.
		l.Rotary = architecture == "llama" && (strings.HasSuffix(linear, ".q_proj") || strings.HasSuffix(linear, ".k_proj"))
	}
	err = a.complete(pairs, func(l *AdapterLayer) error {
		if l.Scale = 1; alpha != 0 {
			l.Scale, l.Alpha = alpha/float64(l.Rank), alpha
		}
		return nil
	})
	return a, err
}

func put(pairs map[string]*AdapterLayer, path string, isA bool, t Tensor) *AdapterLayer {
	l := pairs[path]
	if l == nil {
		l = &AdapterLayer{Path: path}
		pairs[path] = l
	}
	if isA {
		l.A = t
	} else {
		l.B = t
	}
	return l
}

// complete checks that factors come in pairs, and fills in what follows.
func (a *Adapter) complete(pairs map[string]*AdapterLayer, scale func(*AdapterLayer) error) error {
	for _, path := range slices.Sorted(maps.Keys(pairs)) {
		l := pairs[path]
		x, y := l.A.Meta, l.B.Meta
		switch {
		case len(x.Shape) != 2 || len(y.Shape) != 2:
			return fmt.Errorf("%s: %s needs two matrices, lora_A [rank, in] and lora_B [out, rank]", a.Path, path)
		case x.Shape[0] != y.Shape[1] || x.Shape[0] == 0:
			return fmt.Errorf("%s: %s has lora_A %v and lora_B %v; expected [rank, in] and [out, rank]", a.Path, path, x.Shape, y.Shape)
		}
		for _, m := range []tensor.Meta{x, y} {
			if m.Encoding == "" && m.DType != tensor.F32 && m.DType != tensor.F16 && m.DType != tensor.BF16 {
				return fmt.Errorf("%s: the factors of %s are %v; expected f32, f16 or bf16", a.Path, path, m)
			}
			if m.Encoding != "" && !gguf.CanDequantize(m.Encoding) {
				return fmt.Errorf("%s: a factor of %s is stored as %s, which cannot be read", a.Path, path, m.Encoding)
			}
		}
		l.Rank = x.Shape[0]
		if err := scale(l); err != nil {
			return fmt.Errorf("%s: %w", a.Path, err)
		}
		if math.IsNaN(l.Scale) || math.IsInf(l.Scale, 0) {
			return fmt.Errorf("%s: the scale of %s is no number", a.Path, path)
		}
		a.Layers = append(a.Layers, *l)
	}
	if len(a.Layers) == 0 {
		return fmt.Errorf("%s holds no factors", a.Path)
	}
	return nil
}
