package artifact

import (
	"encoding/json"
	"fmt"
	"unsafe"

	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/tensor"
)

// Value is a tree whose leaves can be read. Its slices are views of shared,
// read-only memory that stay valid until the action that got the value ends;
// callers must not write to them. A Value is safe for concurrent use.
type Value struct {
	Tree *Tree
	// Load returns the bytes under a leaf's digest, all Size of them.
	Load func(Entry) ([]byte, error)
}

// Has reports whether there is a leaf called name.
func (v *Value) Has(name string) bool {
	_, ok := v.Tree.Lookup(name)
	return ok
}

// Entry returns the leaf called name.
func (v *Value) Entry(name string) (Entry, error) {
	e, ok := v.Tree.Lookup(name)
	if !ok {
		return Entry{}, fmt.Errorf("artifact: no leaf %q", name)
	}
	return e, nil
}

// Bytes returns the bytes of the leaf called name.
func (v *Value) Bytes(name string) ([]byte, error) {
	e, err := v.Entry(name)
	if err != nil {
		return nil, err
	}
	return v.load(e)
}

// load returns a leaf's own bytes.
func (v *Value) load(e Entry) ([]byte, error) {
	b, err := v.Load(e)
	if err != nil {
		return nil, fmt.Errorf("artifact: %s: %w", e.Name, err)
	}
	if e.StoredRows == 0 {
		return b, nil
	}
	n := e.Bytes()
	if int64(len(b)) != e.Size {
		return nil, fmt.Errorf("artifact: %s is part of %d bytes, found %d", e.Name, e.Size, len(b))
	}
	return b[:n:n], nil
}

// JSON decodes the leaf called name into dst.
func (v *Value) JSON(name string, dst any) error {
	b, err := v.Bytes(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, dst); err != nil {
		return fmt.Errorf("artifact: %s: %w", name, err)
	}
	return nil
}

// Float32 returns the leaf's elements as float32: a view when they are stored
// as such, a decoded copy otherwise.
func (v *Value) Float32(name string) ([]float32, error) {
	e, err := v.Entry(name)
	if err != nil {
		return nil, err
	}
	b, err := v.load(e)
	if err != nil {
		return nil, err
	}
	out, err := DecodeFloat32(e.Meta, b)
	if err != nil {
		return nil, fmt.Errorf("artifact: %s: %w", name, err)
	}
	return out, nil
}

// Float64 returns a leaf of F64 elements as a view.
func (v *Value) Float64(name string) ([]float64, error) { return plain[float64](v, name, tensor.F64) }

// Int32 returns a leaf of I32 elements as a view.
func (v *Value) Int32(name string) ([]int32, error) { return plain[int32](v, name, tensor.I32) }

func plain[T float32 | float64 | int32](v *Value, name string, want tensor.DType) ([]T, error) {
	e, err := v.Entry(name)
	if err != nil {
		return nil, err
	}
	if e.Meta.DType != want || e.Meta.Encoding != "" {
		return nil, fmt.Errorf("artifact: %s is %v, expected %s", name, e.Meta, want)
	}
	b, err := v.load(e)
	if err != nil {
		return nil, err
	}
	return view[T](b), nil
}

// view reinterprets little-endian bytes; unaligned bytes are copied.
func view[T any](b []byte) []T {
	var z T
	sz := int(unsafe.Sizeof(z))
	n := len(b) / sz
	if n == 0 {
		return nil
	}
	p := unsafe.Pointer(&b[0])
	if uintptr(p)%uintptr(sz) != 0 {
		out := make([]T, n)
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&out[0])), n*sz), b)
		return out
	}
	return unsafe.Slice((*T)(p), n)
}

// AsBytes returns the memory of s as little-endian bytes, without a copy.
func AsBytes[T float32 | float64 | int32 | uint8 | int64](s []T) []byte {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), len(s)*int(unsafe.Sizeof(s[0])))
}

// DecodeFloat32 decodes a tensor's bytes to float32 in Hugging Face row order.
func DecodeFloat32(m tensor.Meta, b []byte) ([]float32, error) {
	return DecodeFloat32In(m, b, func(n int) []float32 { return make([]float32, n) })
}

// DecodeFloat32In is DecodeFloat32 into what room returns, n elements with anything
// in them. It is not asked where b holds the elements as they are: the result is a
// view of b then.
func DecodeFloat32In(m tensor.Meta, b []byte, room func(n int) []float32) ([]float32, error) {
	n := m.Elements()
	if m.Encoding == "" && m.RotaryHeadDim == 0 && m.DType == tensor.F32 {
		if size := m.DType.Size() * n; size != len(b) {
			return nil, fmt.Errorf("%v needs %d bytes, found %d", m, size, len(b))
		}
		return view[float32](b), nil
	}
	out := room(n)
	return out, gguf.DequantizeRows(m, out, b)
}
