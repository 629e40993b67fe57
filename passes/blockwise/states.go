package blockwise

import "github.com/compressc/compressc/internal/artifact"

// States returns hidden states [windows, T, hidden]. They may be shared memory:
// do not write to them.
func States(v *artifact.Value) (x []float32, windows, T int, err error) {
	e, err := v.Entry("hidden")
	if err != nil {
		return nil, 0, 0, err
	}
	x, err = v.Float32("hidden")
	return x, e.Meta.Shape[0], e.Meta.Shape[1], err
}
