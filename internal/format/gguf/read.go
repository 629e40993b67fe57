package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/compressc/compressc/internal/mmap"
	"github.com/compressc/compressc/internal/tensor"
)

const (
	magic            = "GGUF"
	defaultAlignment = 32
	// Limits of the reference reader (GGML_MAX_NAME - 1, GGML_MAX_DIMS).
	maxName = 63
	maxDims = 4
)

// Tensor is one tensor of an open file.
type Tensor struct {
	Name string
	Type Type
	// Dims is ggml's ne, innermost first; Dims[0] is in for a weight.
	Dims []int
	// Meta has the same dimensions outermost first.
	Meta tensor.Meta
	// Path is the file it lies in, Offset its first byte counted from the
	// start of that file, Length its bytes without the padding that follows.
	Path   string
	Offset int64
	Length int64

	data []byte
}

// Bytes returns the tensor's blocks in stored order. The slice belongs to the
// file: read-only, valid until the file is closed.
func (t *Tensor) Bytes() []byte { return t.data }

// File is an open GGUF file. It is safe for concurrent use, except for Close.
type File struct {
	Path      string
	Version   int
	KVs       KVs // in file order
	Alignment int // of the data section, bytes

	tensors []*Tensor // in file order
	byName  map[string]*Tensor
	mapping *mmap.File
}

// Open maps a file and checks everything before its data section. The error is
// an *Error, or that of the operating system.
func Open(path string) (*File, error) {
	m, err := mmap.Open(path)
	if err != nil {
		return nil, err
	}
	f, err := Parse(path, m.Bytes())
	if err != nil {
		m.Close()
		return nil, err
	}
	f.mapping = m
	return f, nil
}

// Tensors returns the tensors in file order. The slice must not be changed.
func (f *File) Tensors() []*Tensor { return f.tensors }

// Tensor returns the tensor of that name.
func (f *File) Tensor(name string) (*Tensor, bool) {
	t, ok := f.byName[name]
	return t, ok
}

// Close unmaps the file; bytes of its tensors must no longer be used.
func (f *File) Close() error {
	if f.mapping == nil {
		return nil
	}
	return f.mapping.Close()
}

// Parse reads a file whose bytes are in memory; path is what errors and
// tensors call it. Tensors alias data; metadata is copied.
func Parse(path string, data []byte) (*File, error) {
	r := reader{data: data}
	fail := func(format string, args ...any) (*File, error) {
		return nil, &Error{Path: path, Detail: fmt.Sprintf(format, args...)}
	}
	if len(data) < 24 {
		return fail("not a GGUF file: %d bytes, expected at least the 24 of its head", len(data))
	}
	if string(data[:4]) != magic {
		return fail("not a GGUF file: starts with %q, expected %q", data[:4], magic)
	}
	r.at = 4
	version, _ := r.u32()
	switch {
	case version == 2 || version == 3:
	case bits.ReverseBytes32(version) <= 3:
		return fail("is big-endian: only little-endian GGUF files can be read")
	default:
		return fail("has GGUF version %d, expected 2 or 3", version)
	}
	tensorCount, _ := r.u64()
	kvCount, _ := r.u64()
	// The least a pair takes is an empty key and a one-byte value, the least
	// a tensor takes an empty name and no dimensions.
	if left := uint64(r.left()); kvCount > left/13 || tensorCount > left/24 {
		return fail("claims %d keys and %d tensors, more than its %d bytes can hold: the file is truncated or damaged", kvCount, tensorCount, len(data))
	}

	f := &File{Path: path, Version: int(version), Alignment: defaultAlignment, byName: map[string]*Tensor{}}
	seen := map[string]bool{}
	for i := range kvCount {
		key, err := r.str()
		if err != nil {
			return fail("key %d of %d: %v", i, kvCount, err)
		}
		value, err := r.typedValue()
		if err != nil {
			return nil, &Error{Path: path, Key: key, Detail: err.Error()}
		}
		if seen[key] {
			return nil, &Error{Path: path, Key: key, Detail: "occurs twice"}
		}
		seen[key] = true
		f.KVs = append(f.KVs, KV{key, value})
	}
	if v, ok := f.KVs.Get(alignmentKey); ok {
		n, ok := v.(uint32)
		if !ok || n == 0 || n&(n-1) != 0 || n > 1<<30 {
			return nil, &Error{Path: path, Key: alignmentKey, Detail: fmt.Sprintf("is %v (%T), expected a U32 that is a power of two", v, v)}
		}
		f.Alignment = int(n)
	}

	offsets := make([]uint64, 0, tensorCount)
	for i := range tensorCount {
		t, offset, err := r.tensorInfo()
		if err != nil {
			name := t.Name
			if name == "" {
				name = fmt.Sprintf("#%d of %d", i, tensorCount)
			}
			return nil, &Error{Path: path, Tensor: name, Detail: err.Error()}
		}
		if _, dup := f.byName[t.Name]; dup {
			return nil, &Error{Path: path, Tensor: t.Name, Detail: "occurs twice"}
		}
		t.Path = path
		f.tensors = append(f.tensors, t)
		f.byName[t.Name] = t
		offsets = append(offsets, offset)
	}

	base := uint64(align(r.at, f.Alignment))
	var at uint64
	for i, t := range f.tensors {
		bad := func(format string, args ...any) (*File, error) {
			return nil, &Error{Path: path, Tensor: t.Name, Detail: fmt.Sprintf(format, args...)}
		}
		if offsets[i] != at {
			return bad("has offset %d, expected %d: tensors must follow each other, aligned to %d bytes", offsets[i], at, f.Alignment)
		}
		begin := base + at // cannot overflow: at is at most the file's length plus padding
		end := begin + uint64(t.Length)
		if end > uint64(len(data)) {
			return bad("needs bytes %d to %d of the file, which has %d: it is truncated", begin, end, len(data))
		}
		t.Offset = int64(begin)
		t.data = data[begin:end:end]
		at += uint64(align(int(t.Length), f.Alignment))
	}
	f.markRotary()
	return f, nil
}

const alignmentKey = "general.alignment"

// align rounds n up to a multiple of the power of two a.
func align(n, a int) int { return (n + a - 1) &^ (a - 1) }

var errTruncated = errors.New("the file ends here: it is truncated, or a length in it is wrong")

// reader walks over the part before the data section.
type reader struct {
	data []byte
	at   int
}

func (r *reader) left() int { return len(r.data) - r.at }

func (r *reader) take(n int) ([]byte, error) {
	if n > r.left() {
		return nil, errTruncated
	}
	b := r.data[r.at : r.at+n]
	r.at += n
	return b, nil
}

func (r *reader) u32() (uint32, error) {
	b, err := r.take(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (r *reader) u64() (uint64, error) {
	b, err := r.take(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

func (r *reader) str() (string, error) {
	n, err := r.u64()
	if err != nil {
		return "", err
	}
	if n > uint64(r.left()) {
		return "", fmt.Errorf("string of %d bytes, but %d are left: %w", n, r.left(), errTruncated)
	}
	b, err := r.take(int(n))
	return string(b), err
}

func (r *reader) typedValue() (any, error) {
	id, err := r.u32()
	if err != nil {
		return nil, err
	}
	if id != vArray {
		return r.scalar(id)
	}
	elem, err := r.u32()
	if err != nil {
		return nil, err
	}
	n, err := r.u64()
	if err != nil {
		return nil, err
	}
	size := valueSize(elem)
	switch {
	case elem == vString:
		size = 8 // its length word
	case elem == vArray:
		return nil, errors.New("is an array of arrays, which no reader of this format supports")
	case size == 0:
		return nil, fmt.Errorf("array of %s: expected a value type from 0 to 12", valueTypeName(elem))
	}
	if n > uint64(r.left()/size) {
		return nil, fmt.Errorf("array of %d %s, but only %d bytes are left: %w", n, valueTypeName(elem), r.left(), errTruncated)
	}
	return r.array(elem, int(n))
}

func (r *reader) scalar(id uint32) (any, error) {
	if id == vString {
		return r.str()
	}
	size := valueSize(id)
	if size == 0 {
		return nil, fmt.Errorf("%s: expected a value type from 0 to 12", valueTypeName(id))
	}
	b, err := r.take(size)
	if err != nil {
		return nil, err
	}
	switch id {
	case vU8:
		return b[0], nil
	case vI8:
		return int8(b[0]), nil
	case vBool:
		if b[0] > 1 {
			return nil, fmt.Errorf("BOOL is %d, expected 0 or 1", b[0])
		}
		return b[0] == 1, nil
	case vU16:
		return binary.LittleEndian.Uint16(b), nil
	case vI16:
		return int16(binary.LittleEndian.Uint16(b)), nil
	case vU32:
		return binary.LittleEndian.Uint32(b), nil
	case vI32:
		return int32(binary.LittleEndian.Uint32(b)), nil
	case vF32:
		return math.Float32frombits(binary.LittleEndian.Uint32(b)), nil
	case vU64:
		return binary.LittleEndian.Uint64(b), nil
	case vI64:
		return int64(binary.LittleEndian.Uint64(b)), nil
	default: // vF64
		return math.Float64frombits(binary.LittleEndian.Uint64(b)), nil
	}
}

func (r *reader) array(elem uint32, n int) (any, error) {
	switch elem {
	case vU8:
		return elements[uint8](r, elem, n)
	case vI8:
		return elements[int8](r, elem, n)
	case vU16:
		return elements[uint16](r, elem, n)
	case vI16:
		return elements[int16](r, elem, n)
	case vU32:
		return elements[uint32](r, elem, n)
	case vI32:
		return elements[int32](r, elem, n)
	case vF32:
		return elements[float32](r, elem, n)
	case vBool:
		return elements[bool](r, elem, n)
	case vString:
		return elements[string](r, elem, n)
	case vU64:
		return elements[uint64](r, elem, n)
	case vI64:
		return elements[int64](r, elem, n)
	default: // vF64
		return elements[float64](r, elem, n)
	}
}

// elements reads n values; the caller has checked that n is plausible.
func elements[T any](r *reader, elem uint32, n int) (any, error) {
	out := make([]T, n)
	for i := range out {
		v, err := r.scalar(elem)
		if err != nil {
			return nil, fmt.Errorf("element %d of %d: %w", i, n, err)
		}
		out[i] = v.(T)
	}
	return out, nil
}

// tensorInfo reads one tensor description. On error the tensor is not nil and
// has its name when that much was read.
func (r *reader) tensorInfo() (t *Tensor, offset uint64, err error) {
	t = &Tensor{}
	name, err := r.str()
	if err != nil {
		return t, 0, err
	}
	t.Name = name
	if len(name) > maxName {
		return t, 0, fmt.Errorf("name has %d bytes, expected at most %d", len(name), maxName)
	}
	rank, err := r.u32()
	if err != nil {
		return t, 0, err
	}
	if rank > maxDims {
		return t, 0, fmt.Errorf("has %d dimensions, expected at most %d", rank, maxDims)
	}
	t.Dims = make([]int, rank)
	elems := uint64(1)
	empty := false
	for i := range t.Dims {
		n, err := r.u64()
		if err != nil {
			return t, 0, err
		}
		hi, lo := uint64(0), uint64(0)
		if n == 0 {
			empty = true
		} else if hi, lo = bits.Mul64(elems, n); hi == 0 {
			elems = lo
		}
		if hi != 0 || n > math.MaxInt || elems > math.MaxInt/8 {
			return t, 0, fmt.Errorf("dimension %d is %d, which makes it larger than any file", i, n)
		}
		t.Dims[i] = int(n)
	}
	if empty {
		elems = 0
	}
	id, err := r.u32()
	if err != nil {
		return t, 0, err
	}
	if offset, err = r.u64(); err != nil {
		return t, 0, err
	}
	info, ok := typeByID(Type(id))
	if !ok {
		return t, 0, fmt.Errorf("has the unknown tensor type %d: the file may need a newer compressc", id)
	}
	row := 1
	if rank > 0 {
		row = t.Dims[0]
	}
	if row%info.elems != 0 {
		return t, 0, fmt.Errorf("has rows of %d elements, expected a multiple of the %d in a block of %s", row, info.elems, Type(id))
	}
	t.Type = Type(id)
	t.Length = int64(elems / uint64(info.elems) * uint64(info.bytes))
	t.Meta = tensor.Meta{DType: info.dtype, Shape: slices.Clone(t.Dims)}
	slices.Reverse(t.Meta.Shape)
	if info.dtype == "" {
		t.Meta.DType, t.Meta.Encoding = tensor.F32, info.name
	}
	return t, offset, nil
}
