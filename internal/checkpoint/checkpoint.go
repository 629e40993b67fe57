// Package checkpoint opens a model as people keep it, whatever the container: a
// Hugging Face folder, one safetensors file beside its config.json, or a GGUF
// file. It reads headers, configuration and tokenizer, never weights, and names
// every tensor by its Hugging Face path.
package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/format/safetensors"
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
}

// Lookup returns the tensor called name.
func (c *Checkpoint) Lookup(name string) (Tensor, bool) {
	i := sort.Search(len(c.Tensors), func(i int) bool { return c.Tensors[i].Name >= name })
	if i < len(c.Tensors) && c.Tensors[i].Name == name {
		return c.Tensors[i], true
	}
	return Tensor{}, false
}

// Tokenizer parses the checkpoint's tokenizer; it is nil where there is none.
func (c *Checkpoint) Tokenizer() (*tokenizer.Tokenizer, error) {
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
	have := map[string][]int{}
	for _, t := range c.Tensors {
		have[t.Name] = t.Meta.Shape
		if !t.Meta.DType.IsFloat() {
			return nil, fmt.Errorf("%s: tensor %s is %v; weights must be floating point or GGUF blocks (a checkpoint that another program quantised to integers cannot be a source)", t.Path, t.Name, t.Meta)
		}
	}
	if bad := c.Config.CheckShapes(have); len(bad) > 0 {
		return nil, mismatch(path, bad)
	}
	return c, nil
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

func openFolder(dir string) (*Checkpoint, error) {
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
		if g, _ := filepath.Glob(filepath.Join(dir, "*.gguf")); len(g) == 1 {
			return openGGUF(g[0])
		}
	}
	c, err := readConfig(dir)
	if err != nil {
		return nil, err
	}
	m, err := safetensors.OpenModel(dir)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	c.Path = dir
	return c, c.addSafetensors(m.Tensors())
}

func openFile(path string) (*Checkpoint, error) {
	c, err := readConfig(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	f, err := safetensors.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c.Path = path
	return c, c.addSafetensors(f.Tensors())
}

func readConfig(dir string) (*Checkpoint, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return nil, fmt.Errorf("a safetensors model needs its config.json beside it: %w", err)
	}
	c := &Checkpoint{ConfigJSON: raw}
	if c.Config, err = arch.ParseConfig(raw); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	tok, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
	if err == nil {
		c.TokenizerJSON = tok
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return c, nil
}

func (c *Checkpoint) addSafetensors(ts []*safetensors.Tensor) error {
	for _, t := range ts {
		if strings.HasSuffix(t.Name, ".rotary_emb.inv_freq") {
			continue // a constant that old writers stored
		}
		if c.Config.Tied && t.Name == "lm_head.weight" {
			continue // an alias that some writers store again
		}
		c.Tensors = append(c.Tensors, Tensor{t.Name, t.Meta, t.Path, t.Offset, t.Length})
	}
	return nil
}

func openGGUF(path string) (*Checkpoint, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cfg, err := gguf.ConfigFromGGUF(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c := &Checkpoint{Path: path}
	if c.ConfigJSON, err = json.MarshalIndent(cfg, "", "  "); err != nil {
		return nil, err
	}
	if c.Config, err = arch.ParseConfig(c.ConfigJSON); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, t := range f.Tensors() {
		if t.Name == "rope_freqs.weight" {
			continue // the factors follow from the configuration
		}
		name, ok := gguf.HFName(t.Name)
		if !ok {
			return nil, fmt.Errorf("%s: tensor %s has no counterpart in a %s model", path, t.Name, c.Config.ModelType)
		}
		if t.Meta.Encoding != "" && !gguf.CanDequantize(t.Meta.Encoding) {
			return nil, fmt.Errorf("%s: tensor %s is stored as %s, which cannot be read yet", path, t.Name, t.Meta.Encoding)
		}
		c.Tensors = append(c.Tensors, Tensor{name, t.Meta, path, t.Offset, t.Length})
	}
	return c, c.ggufTokenizer(f)
}

// ggufTokenizer rebuilds the tokenizer from the file's metadata.
func (c *Checkpoint) ggufTokenizer(f *gguf.File) error {
	kind, _ := f.KVs.String("tokenizer.ggml.model")
	if kind == "" || kind == "none" || kind == "no_vocab" {
		return nil
	}
	v := tokenizer.GGUFVocab{Model: kind, BOS: -1, EOS: -1}
	v.Pre, _ = f.KVs.String("tokenizer.ggml.pre")
	v.Tokens, _ = f.KVs.Strings("tokenizer.ggml.tokens")
	v.Merges, _ = f.KVs.Strings("tokenizer.ggml.merges")
	if types, ok := f.KVs.Ints("tokenizer.ggml.token_type"); ok {
		for _, t := range types {
			v.TokenTypes = append(v.TokenTypes, int32(t))
		}
	}
	if id, ok := f.KVs.Int("tokenizer.ggml.bos_token_id"); ok {
		v.BOS = id
	}
	if id, ok := f.KVs.Int("tokenizer.ggml.eos_token_id"); ok {
		v.EOS = id
	}
	v.AddBOS, _ = f.KVs.Bool("tokenizer.ggml.add_bos_token")
	t, err := tokenizer.FromGGUF(v)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Path, err)
	}
	if c.TokenizerJSON, err = t.ToJSON(); err != nil {
		return fmt.Errorf("%s: %w", c.Path, err)
	}
	return nil
}
