// Package tensor describes tensors without owning their bytes: element types,
// shapes and encodings, as every container format and every artifact speaks of
// them. It knows no file format and no arithmetic.
package tensor

import "fmt"

// DType is an element type in safetensors spelling. A block-quantised GGUF
// tensor has DType "F32" (what it decodes to) and its block type in
// Meta.Encoding.
type DType string

// The element types compressc reads or writes.
const (
	Bool DType = "BOOL"
	U8   DType = "U8"
	I8   DType = "I8"
	F8E4 DType = "F8_E4M3"
	F8E5 DType = "F8_E5M2"
	I16  DType = "I16"
	U16  DType = "U16"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I32  DType = "I32"
	U32  DType = "U32"
	F32  DType = "F32"
	F64  DType = "F64"
	I64  DType = "I64"
	U64  DType = "U64"
)

// Size returns the bytes of one element, or 0 for an unknown type.
func (d DType) Size() int {
	switch d {
	case Bool, U8, I8, F8E4, F8E5:
		return 1
	case I16, U16, F16, BF16:
		return 2
	case I32, U32, F32:
		return 4
	case F64, I64, U64:
		return 8
	}
	return 0
}

// IsFloat reports whether values of d are floating point numbers.
func (d DType) IsFloat() bool {
	switch d {
	case F8E4, F8E5, F16, BF16, F32, F64:
		return true
	}
	return false
}

// Meta describes a tensor's bytes. Data is little-endian and row-major unless
// Encoding says otherwise.
type Meta struct {
	DType DType `json:"dtype"`
	// Shape is outermost first: [out, in] for a linear layer.
	Shape []int `json:"shape"`
	// Encoding is "" for plain elements, or a GGUF block type in lower case
	// ("q4_1", "q6_k"): every row is a whole number of such blocks.
	Encoding string `json:"encoding,omitempty"`
	// RotaryHeadDim, when not 0, says that the rows are stored in llama.cpp's
	// rotary order for heads of this many rows: stored row h·d+2k is row h·d+k
	// and stored row h·d+2k+1 is row h·d+k+d/2 of the Hugging Face order.
	RotaryHeadDim int `json:"rotary_head_dim,omitempty"`
}

// Elements returns the product of the shape.
func (m Meta) Elements() int {
	n := 1
	for _, d := range m.Shape {
		n *= d
	}
	return n
}

func (m Meta) String() string {
	if m.Encoding != "" {
		return fmt.Sprintf("%s%v", m.Encoding, m.Shape)
	}
	return fmt.Sprintf("%s%v", m.DType, m.Shape)
}
