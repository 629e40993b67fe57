// Package checkpoint opens a model as people keep it, whatever the container: a
// Hugging Face folder, one safetensors file beside its config.json, or a GGUF
// file. It reads headers, configuration and tokenizer, never weights, and names
// every tensor by its Hugging Face path in a Llama; GPT-2 and OPT have names of
// their own (see Fused).
//
// Linear layers of the decoder blocks may be stored as integer codes in the
// pack-quantized format of compressed-tensors; see Checkpoint.Quantized. What
// else a checkpoint can hold is floating point or blocks of GGUF.
package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sort"
	"strings"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/internal/tokenizer"
)

// Tensor is where one tensor's bytes lie.
type Tensor struct {
	Name   string // Hugging Face path
	Meta   tensor.Meta
	Path   string
	Offset int64
	Length int64
	// Fused is set where the file holds the numbers in another form: then Offset
	// and Length say nothing of the file.
	Fused *Fused
}

// Checkpoint is an opened model.
type Checkpoint struct {
	Path   string
	Config *arch.Config
	// ConfigJSON is the config.json, made from metadata for a GGUF file.
	ConfigJSON []byte
	// TokenizerJSON is nil where the checkpoint has no tokenizer.
	TokenizerJSON []byte
	// Tensors are sorted by name.
	Tensors []Tensor
	// Quantized says of each linear layer that is stored as codes, by its path
	// without ".weight", how; in Tensors it has the parts that package
	// compressedtensors names.
	Quantized map[string]compressedtensors.Stored

	// tokenizer is what TokenizerJSON was made from, where it was made.
	tokenizer *tokenizer.Tokenizer

	// layers are the shapes of the linear layers in Quantized.
	layers map[string]shape
}

type shape struct{ out, in int }

// Lookup returns the tensor called name.
func (c *Checkpoint) Lookup(name string) (Tensor, bool) {
	i := sort.Search(len(c.Tensors), func(i int) bool { return c.Tensors[i].Name >= name })
	if i < len(c.Tensors) && c.Tensors[i].Name == name {
		return c.Tensors[i], true
	}
	return Tensor{}, false
}

// Tokenizer returns the checkpoint's tokenizer, parsed; it is nil where there
// is none.
func (c *Checkpoint) Tokenizer() (*tokenizer.Tokenizer, error) {
	if c.tokenizer != nil {
		return c.tokenizer, nil
	}
	if c.TokenizerJSON == nil {
		return nil, nil
	}
	return tokenizer.FromJSON(c.TokenizerJSON)
}

// Open opens the model at path: a folder, a .safetensors or a .gguf file. The
// tensors' names and shapes are checked against the configuration.
func Open(path string) (*Checkpoint, error) {
	info, err := os.Stat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no model at %s: expected a folder with config.json and *.safetensors, a .safetensors file or a .gguf file: %w", path, fs.ErrNotExist)
		}
		return nil, err
	}
	var c *Checkpoint
	switch {
	case info.IsDir():
		c, err = openFolder(path)
	case strings.HasSuffix(path, ".gguf"):
		c, err = openGGUF(path)
	case strings.HasSuffix(path, ".safetensors"):
		c, err = openFile(path)
	default:
		return nil, fmt.Errorf("%s is neither a folder, nor a .safetensors, nor a .gguf file", path)
	}
	if err != nil {
		return nil, err
	}
	sort.Slice(c.Tensors, func(i, j int) bool { return c.Tensors[i].Name < c.Tensors[j].Name })
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

// check compares the tensors with the configuration.
func (c *Checkpoint) check() error {
	have, err := c.shapes()
	if err != nil {
		return err
	}
	if bad := c.Config.CheckShapes(have); len(bad) > 0 {
		return mismatch(c.Path, bad)
	}
	return nil
}

// shapes returns the shape of every weight by name, that of a layer stored as
// codes too, and refuses tensors that hold no numbers.
func (c *Checkpoint) shapes() (map[string][]int, error) {
	have := map[string][]int{}
	for _, t := range c.Tensors {
		if module, _, ok := cutPart(t.Name); ok {
			if _, known := c.Quantized[module]; known {
				continue
			}
		}
		if !t.Meta.DType.IsFloat() {
			return nil, fmt.Errorf("%s: tensor %s is %v; expected floating point numbers, GGUF blocks, or the codes of a compressed-tensors checkpoint in its pack-quantized format", t.Path, t.Name, t.Meta)
		}
		if module, ok := strings.CutSuffix(t.Name, ".weight"); ok {
			if _, twice := c.layers[module]; twice {
				return nil, fmt.Errorf("%s: %s is stored both as numbers and as codes", t.Path, module)
			}
		}
		have[t.Name] = t.Meta.Shape
	}
	for module, l := range c.layers {
		have[module+".weight"] = []int{l.out, l.in}
	}
	return have, nil
}

// mismatch says which tensors are not what the configuration promises.
func mismatch(path string, bad []arch.Mismatch) error {
	const show = 5
	var b strings.Builder
	fmt.Fprintf(&b, "%s: the tensors are not those of its configuration:", path)
	for i, m := range bad {
		if i == show {
			fmt.Fprintf(&b, "\n  … and %d more", len(bad)-show)
			break
		}
		fmt.Fprintf(&b, "\n  %s", m)
	}
	return errors.New(b.String())
}
