package gguf

import (
	"strings"

	"github.com/compressc/compressc/internal/tensor"
)

// Type is a ggml tensor type id.
type Type uint32

// Types with a special role in this package; types lists all that are known.
const (
	TypeF32  Type = 0
	TypeF16  Type = 1
	TypeQ4_0 Type = 2
	TypeQ4_1 Type = 3
	TypeQ5_0 Type = 6
	TypeQ5_1 Type = 7
	TypeQ8_0 Type = 8
	TypeQ2_K Type = 10
	TypeQ3_K Type = 11
	TypeQ4_K Type = 12
	TypeQ5_K Type = 13
	TypeQ6_K Type = 14
	TypeBF16 Type = 30
)

type typeInfo struct {
	id    Type
	name  string // as ggml spells it, in lower case
	elems int    // elements of a block
	bytes int    // bytes of a block
	dtype tensor.DType
}

// types follows ggml.h. Types no decoder exists for are listed too: a file
// with such a tensor can be opened and its other tensors read.
var types = []typeInfo{
	{0, "f32", 1, 4, tensor.F32},
	{1, "f16", 1, 2, tensor.F16},
	{2, "q4_0", 32, 18, ""},
	{3, "q4_1", 32, 20, ""},
	{6, "q5_0", 32, 22, ""},
	{7, "q5_1", 32, 24, ""},
	{8, "q8_0", 32, 34, ""},
	{9, "q8_1", 32, 36, ""},
	{10, "q2_k", 256, 84, ""},
	{11, "q3_k", 256, 110, ""},
	{12, "q4_k", 256, 144, ""},
	{13, "q5_k", 256, 176, ""},
	{14, "q6_k", 256, 210, ""},
	{15, "q8_k", 256, 292, ""},
	{16, "iq2_xxs", 256, 66, ""},
	{17, "iq2_xs", 256, 74, ""},
	{18, "iq3_xxs", 256, 98, ""},
	{19, "iq1_s", 256, 50, ""},
	{20, "iq4_nl", 32, 18, ""},
	{21, "iq3_s", 256, 110, ""},
	{22, "iq2_s", 256, 82, ""},
	{23, "iq4_xs", 256, 136, ""},
	{24, "i8", 1, 1, tensor.I8},
	{25, "i16", 1, 2, tensor.I16},
	{26, "i32", 1, 4, tensor.I32},
	{27, "i64", 1, 8, tensor.I64},
	{28, "f64", 1, 8, tensor.F64},
	{29, "iq1_m", 256, 56, ""},
	{30, "bf16", 1, 2, tensor.BF16},
	{34, "tq1_0", 256, 54, ""},
	{35, "tq2_0", 256, 66, ""},
	{39, "mxfp4", 32, 17, ""},
	{40, "nvfp4", 64, 36, ""},
	{41, "q1_0", 128, 18, ""},
}

func typeByID(id Type) (typeInfo, bool) {
	for _, t := range types {
		if t.id == id {
			return t, true
		}
	}
	return typeInfo{}, false
}

func typeByName(name string) (typeInfo, bool) {
	for _, t := range types {
		if t.name == name {
			return t, true
		}
	}
	return typeInfo{}, false
}

// String returns ggml's name, "Q4_K", or "type 99" for an unknown id.
func (t Type) String() string {
	if info, ok := typeByID(t); ok {
		return strings.ToUpper(info.name)
	}
	return "type " + utoa(uint64(t))
}

// BlockSize returns the elements and bytes of one block of an encoding; plain
// types ("f16") are blocks of one element. ok is false for an unknown name.
func BlockSize(encoding string) (elems, bytes int, ok bool) {
	t, ok := typeByName(encoding)
	return t.elems, t.bytes, ok
}

// MetaType returns the tensor type that stores m, and false when there is none.
func MetaType(m tensor.Meta) (Type, bool) {
	for _, t := range types {
		if m.Encoding != "" && t.name == m.Encoding && t.dtype == "" || m.Encoding == "" && t.dtype == m.DType && t.dtype != "" {
			return t.id, true
		}
	}
	return 0, false
}

// RowBytes returns the bytes of one row (the last dimension) of m, and false
// when m has no tensor type or its rows are not whole blocks. A scalar is a row
// of one element.
func RowBytes(m tensor.Meta) (int, bool) {
	id, ok := MetaType(m)
	if !ok {
		return 0, false
	}
	t, _ := typeByID(id)
	cols := 1
	if len(m.Shape) > 0 {
		cols = m.Shape[len(m.Shape)-1]
	}
	if cols < 0 || cols%t.elems != 0 {
		return 0, false
	}
	return cols / t.elems * t.bytes, true
}
