package checkpoint

import (
	"encoding/json"
	"fmt"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/tokenizer"
)

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
		c.Tensors = append(c.Tensors, Tensor{Name: name, Meta: t.Meta, Path: path, Offset: t.Offset, Length: t.Length})
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
	c.TokenizerJSON, c.tokenizer = t.ToJSON(), t
	return nil
}
