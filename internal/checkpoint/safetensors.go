package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/format/safetensors"
)

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
	if c.Config.Renamed() {
		return c.addFamily(ts)
	}
	for _, t := range ts {
		if strings.HasSuffix(t.Name, ".rotary_emb.inv_freq") {
			continue // a constant that old writers stored
		}
		if c.Config.Tied && t.Name == "lm_head.weight" {
			continue // an alias that some writers store again
		}
		c.Tensors = append(c.Tensors, Tensor{Name: t.Name, Meta: t.Meta, Path: t.Path, Offset: t.Offset, Length: t.Length})
	}
	return c.readQuantized(ts)
}
