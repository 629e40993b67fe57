package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/compressc/compressc/internal/format/half"
	"github.com/compressc/compressc/internal/tensor"
)

// dtypeOf is the storage type that the argument dtype names.
func dtypeOf(name string) tensor.DType { return tensor.DType(strings.ToUpper(name)) }

// encode rounds w to a floating point type, to nearest even, and returns its
// bytes. A finite number that becomes infinite is an error: F16 ends at 65504.
func encode(t tensor.DType, w []float32) ([]byte, error) {
	b := make([]byte, t.Size()*len(w))
	if err := half.Encode(t, b, w); err != nil {
		return nil, err
	}
	if t == tensor.F16 {
		for i, x := range w {
			if b[2*i+1]&0x7f == 0x7c && b[2*i] == 0 && !math.IsInf(float64(x), 0) {
				return nil, fmt.Errorf("element %d is %v, which f16 cannot hold; use dtype = \"bf16\" or \"f32\"", i, x)
			}
		}
	}
	return b, nil
}

// write opens one file and hands it to f; the file is complete once f and
// close succeed.
func write(create creator, name string, f func(io.Writer) error) error {
	w, err := create(name)
	if err != nil {
		return err
	}
	if err := f(w); err != nil {
		w.Close()
		return err
	}
	return w.Close()
}

// writeBytes writes a small file.
func writeBytes(create creator, name string, data []byte) error {
	return write(create, name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// marshal writes JSON as Hugging Face does: sorted keys, two spaces.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
