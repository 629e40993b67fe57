package safetensors

import (
	"strings"

	"github.com/compressc/compressc/internal/tensor"
)

// dtypeOrder is the declaration order of the reference implementation's Dtype
// enum, restricted to the supported types. Its writer sorts tensors by it,
// last first, which puts wide elements where their alignment is kept.
var dtypeOrder = []tensor.DType{
	tensor.Bool, tensor.U8, tensor.I8, tensor.F8E5, tensor.F8E4,
	tensor.I16, tensor.U16, tensor.F16, tensor.BF16,
	tensor.I32, tensor.U32, tensor.F32,
	tensor.F64, tensor.I64, tensor.U64,
}

func dtypeRank(d tensor.DType) int {
	for i, t := range dtypeOrder {
		if t == d {
			return i
		}
	}
	return -1
}

func dtypeNames() string {
	names := make([]string, len(dtypeOrder))
	for i, t := range dtypeOrder {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}
