package export

import (
	"fmt"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/tensor"
	"github.com/compressc/compressc/passes"
)

// familyTensors gives tensors the names and forms that their family's own
// checkpoints have: weights transposed back, and pieces of one tensor (GPT-2's q,
// k and v) side by side in the place of the first.
func familyTensors(c *arch.Config, ts []safetensors.WriteTensor) []safetensors.WriteTensor {
	pieces := map[string][]safetensors.WriteTensor{}
	for _, t := range ts {
		at := c.Source(t.Name)
		if pieces[at.Name] == nil {
			pieces[at.Name] = make([]safetensors.WriteTensor, at.Parts)
		}
		pieces[at.Name][at.Part] = t
	}
	var out []safetensors.WriteTensor
	for _, t := range ts {
		at := c.Source(t.Name)
		if at.Part == 0 {
			out = append(out, fuse(at, pieces[at.Name]))
		}
	}
	return out
}

// fuse is the tensor at a place of the checkpoint, made of its pieces.
func fuse(at arch.Place, pieces []safetensors.WriteTensor) safetensors.WriteTensor {
	first := pieces[0]
	first.Name = at.Name
	if at.Parts == 1 && !at.Transposed {
		return first
	}
	n := len(pieces)
	rows, cols := first.Meta.Shape[0], 1
	meta := tensor.Meta{DType: first.Meta.DType, Shape: []int{n * rows}}
	if at.Transposed {
		cols = first.Meta.Shape[1]
		meta.Shape = []int{cols, n * rows}
	}
	return safetensors.WriteTensor{Name: at.Name, Meta: meta, Data: func() ([]byte, error) {
		size := meta.DType.Size()
		b := make([]byte, meta.Elements()*size)
		for p, piece := range pieces {
			data, err := piece.Data()
			if err != nil {
				return nil, err
			}
			if len(data) != rows*cols*size {
				return nil, fmt.Errorf("%s has %d bytes; expected %d", piece.Name, len(data), rows*cols*size)
			}
			for r := range rows {
				for k := range cols {
					to := (k*n*rows + p*rows + r) * size
					copy(b[to:to+size], data[(r*cols+k)*size:])
				}
			}
		}
		return b, nil
	}}
}

// adaptable reports a model whose layers PEFT does not find by the names that
// they have here.
func adaptable(m *passes.Model) (ds diag.List) {
	if m.Type != nil && m.Type.Config.Renamed() {
		ds.Errorf("model", "No adapter files of this family", "%s is a %s model, whose own layers have other names, and some of which are one: PEFT would not find them. Merge the side paths into the weights: export \"safetensors\" with adapters = \"merge\".", m.From, m.Type.Config.ModelType)
	}
	return ds
}
