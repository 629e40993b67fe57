package checkpoint

import (
	"fmt"
	"sort"
	"strings"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/tensor"
)

// Skeleton returns a checkpoint without bytes: it can be typed, and nothing can
// be read from it. The tensors are checked against the configuration as those
// of Open are; path is for messages.
func Skeleton(path string, config []byte, tensors []Tensor, quantized map[string]compressedtensors.Stored) (*Checkpoint, error) {
	cfg, err := arch.ParseConfig(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c := &Checkpoint{Path: path, Config: cfg, ConfigJSON: config, Tensors: tensors, Quantized: quantized}
	sort.Slice(c.Tensors, func(i, j int) bool { return c.Tensors[i].Name < c.Tensors[j].Name })
	for b := range cfg.Layers {
		for _, l := range cfg.At(b).Linears() {
			module := strings.TrimSuffix(cfg.BlockPrefix(b)+l.Weight(), ".weight")
			if _, ok := quantized[module]; ok {
				if c.layers == nil {
					c.layers = map[string]shape{}
				}
				c.layers[module] = shape{l.Out, l.In}
			}
		}
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

// Mock returns the skeleton of a dense model: every tensor that the
// configuration asks for, stored as dtype.
func Mock(path string, config []byte, dtype tensor.DType) (*Checkpoint, error) {
	cfg, err := arch.ParseConfig(config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var list []Tensor
	add := func(name string, shape []int) {
		t := Tensor{Name: name, Meta: tensor.Meta{DType: dtype, Shape: shape}}
		t.Length = int64(t.Meta.Elements()) * int64(dtype.Size())
		list = append(list, t)
	}
	for _, t := range cfg.OuterTensors() {
		add(t.Name, t.Shape)
	}
	for b := range cfg.Layers {
		for _, t := range cfg.At(b).BlockTensors() {
			add(cfg.BlockPrefix(b)+t.Name, t.Shape)
		}
	}
	return Skeleton(path, config, list, nil)
}
