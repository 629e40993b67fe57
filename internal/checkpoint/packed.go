package checkpoint

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/grid"
	"github.com/compressc/compressc/internal/tensor"
)

// cutPart splits the name of a part of a layer stored as codes.
func cutPart(name string) (module, suffix string, ok bool) {
	for _, s := range compressedtensors.Suffixes() {
		if module, ok := strings.CutSuffix(name, s); ok {
			return module, s, true
		}
	}
	return "", "", false
}

// quantizationConfig returns the part of config.json that says how weights are
// quantised, nil where there is none. Older writers called it
// compression_config.
func (c *Checkpoint) quantizationConfig() json.RawMessage {
	for _, key := range []string{"quantization_config", "compression_config"} {
		if raw, ok := c.Config.Raw[key]; ok && strings.TrimSpace(string(raw)) != "null" {
			return raw
		}
	}
	return nil
}

// readQuantized fills Quantized. Besides headers it reads the two numbers of
// every weight_shape.
func (c *Checkpoint) readQuantized(ts []*safetensors.Tensor) error {
	parts := map[string]map[string]*safetensors.Tensor{}
	var modules []string
	for _, t := range ts {
		if strings.HasSuffix(t.Name, ".weight_g_idx") {
			return fmt.Errorf("%s: %s: groups in activation order cannot be read; supported are groups of consecutive inputs", t.Path, t.Name)
		}
		module, suffix, ok := cutPart(t.Name)
		if !ok {
			continue
		}
		if parts[module] == nil {
			parts[module] = map[string]*safetensors.Tensor{}
			modules = append(modules, module)
		}
		parts[module][suffix] = t
	}
	raw := c.quantizationConfig()
	if raw == nil {
		if len(modules) > 0 {
			return fmt.Errorf("%s: %s is stored as codes, but config.json has no quantization_config that says how", c.Path, modules[0])
		}
		return nil
	}
	scheme, err := compressedtensors.ParseConfig(raw)
	if err != nil {
		return fmt.Errorf("%s: config.json: %w", c.Path, err)
	}
	slices.Sort(modules)
	for _, m := range modules {
		if err := c.addQuantized(m, scheme, parts[m]); err != nil {
			return fmt.Errorf("%s: %s: %w", c.Path, m, err)
		}
	}
	return nil
}

func (c *Checkpoint) addQuantized(module string, scheme *compressedtensors.Scheme, parts map[string]*safetensors.Tensor) error {
	if !c.isLinear(module) {
		return fmt.Errorf("is stored as codes; supported are codes of the linear layers in the decoder blocks alone")
	}
	w, ok := scheme.Of(module)
	if !ok {
		return fmt.Errorf("is stored as codes, but no group of the quantization_config targets it")
	}
	for _, suffix := range []string{compressedtensors.PackedSuffix, compressedtensors.ScaleSuffix, compressedtensors.ShapeSuffix} {
		if parts[suffix] == nil {
			return fmt.Errorf("%s is missing", module+suffix)
		}
	}
	sh, err := shapeOf(parts[compressedtensors.ShapeSuffix])
	if err != nil {
		return err
	}
	scales := parts[compressedtensors.ScaleSuffix]
	if d := scales.Meta.DType; d != tensor.F16 && d != tensor.BF16 && d != tensor.F32 {
		return fmt.Errorf("%s is %v; expected F16, BF16 or F32", scales.Name, scales.Meta)
	}
	stored := compressedtensors.Stored{Spec: grid.Spec{Bits: w.Bits, GroupSize: w.GroupSize, Symmetric: w.Symmetric, ScaleDType: grid.F32}}
	if scales.Meta.DType == tensor.F16 {
		stored.ScaleDType = grid.F16
	}
	if err := stored.Validate(sh.in); err != nil {
		return err
	}
	packed := parts[compressedtensors.PackedSuffix]
	if len(packed.Meta.Shape) != 2 {
		return fmt.Errorf("%s is %v; expected a matrix", packed.Name, packed.Meta)
	}
	if err := stored.Infer(sh.in, packed.Meta.Shape[1], scheme.Version); err != nil {
		return fmt.Errorf("%s: %w", packed.Name, err)
	}
	want := stored.Parts(sh.out, sh.in)
	for _, p := range want {
		t := parts[p.Suffix]
		if t == nil {
			return fmt.Errorf("%s is missing: the quantization_config says that zero points are stored (symmetric: false)", module+p.Suffix)
		}
		if p.Suffix == compressedtensors.ScaleSuffix {
			p.Meta.DType = t.Meta.DType
		}
		if t.Meta.DType != p.Meta.DType || !slices.Equal(t.Meta.Shape, p.Meta.Shape) {
			return fmt.Errorf("%s is %v; expected %v for a layer [%d, %d] of %d bits in groups of %d", t.Name, t.Meta, p.Meta, sh.out, sh.in, w.Bits, w.GroupSize)
		}
	}
	if len(parts) > len(want) {
		return fmt.Errorf("%s is not expected: the quantization_config says that there are no zero points (symmetric: true)", module+compressedtensors.ZeroSuffix)
	}
	if c.Quantized == nil {
		c.Quantized, c.layers = map[string]compressedtensors.Stored{}, map[string]shape{}
	}
	c.Quantized[module], c.layers[module] = stored, sh
	return nil
}

// isLinear reports whether module is a linear layer of a decoder block.
func (c *Checkpoint) isLinear(module string) bool {
	for b := range c.Config.Layers {
		name, ok := strings.CutPrefix(module, c.Config.BlockPrefix(b))
		if !ok {
			continue
		}
		for _, l := range c.Config.Linears() {
			if l.Name == name {
				return true
			}
		}
	}
	return false
}

// maxDimension bounds what a weight_shape may say, so that products of two stay
// far from overflow.
const maxDimension = 1 << 28

// shapeOf reads a weight_shape: [out, in], or [[out], [in]] as some writers
// have it.
func shapeOf(t *safetensors.Tensor) (shape, error) {
	if t.Meta.DType != tensor.I64 || t.Meta.Elements() != 2 {
		return shape{}, fmt.Errorf("%s is %v; expected two I64", t.Name, t.Meta)
	}
	out, in := binary.LittleEndian.Uint64(t.Bytes()), binary.LittleEndian.Uint64(t.Bytes()[8:])
	if out < 1 || in < 1 || out > maxDimension || in > maxDimension {
		return shape{}, fmt.Errorf("%s says [%d, %d]; expected sizes of 1 to %d", t.Name, int64(out), int64(in), maxDimension)
	}
	return shape{int(out), int(in)}, nil
}
