package gguf

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/compressc/compressc/internal/tensor"
)

// WriteTensor is a tensor to be written.
type WriteTensor struct {
	Name string
	// Meta has the shape outermost first; Encoding or, for plain elements,
	// DType decides the tensor type.
	Meta tensor.Meta
	// Data returns the bytes in stored order, rows interleaved where
	// Meta.RotaryHeadDim says so. It is called once, when the tensor's turn
	// comes, and its result dropped before the next one's.
	Data func() ([]byte, error)
}

// Writer writes one GGUF v3 file: pairs and tensors in the order they have
// here. The same content gives the same bytes.
type Writer struct {
	KVs     KVs
	Tensors []WriteTensor
}

// Write streams the file to w with one tensor in memory at a time. The
// alignment is the pair general.alignment, a uint32, or 32. Errors of Data and
// of w are wrapped; after an error what was written is no valid file.
func (w *Writer) Write(out io.Writer) error {
	head, lengths, alignment, err := w.head()
	if err != nil {
		return err
	}
	if _, err := out.Write(head); err != nil {
		return fmt.Errorf("write GGUF head: %w", err)
	}
	padding := make([]byte, alignment)
	for i, t := range w.Tensors {
		data, err := t.Data()
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if len(data) != lengths[i] {
			return fmt.Errorf("tensor %q: data has %d bytes, expected %d for %s", t.Name, len(data), lengths[i], t.Meta)
		}
		if _, err := out.Write(data); err != nil {
			return fmt.Errorf("write tensor %q: %w", t.Name, err)
		}
		if _, err := out.Write(padding[:align(len(data), alignment)-len(data)]); err != nil {
			return fmt.Errorf("write tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// Size returns the bytes Write will write, without calling Data.
func (w *Writer) Size() (int64, error) {
	head, lengths, alignment, err := w.head()
	if err != nil {
		return 0, err
	}
	n := int64(len(head))
	for _, l := range lengths {
		n += int64(align(l, alignment))
	}
	return n, nil
}

// head returns everything before the data section, with its padding.
func (w *Writer) head() (head []byte, lengths []int, alignment int, err error) {
	alignment = defaultAlignment
	b := []byte(magic)
	b = binary.LittleEndian.AppendUint32(b, 3)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(w.Tensors)))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(w.KVs)))
	seen := map[string]bool{}
	for _, kv := range w.KVs {
		if seen[kv.Key] {
			return nil, nil, 0, fmt.Errorf("key %q: given twice", kv.Key)
		}
		seen[kv.Key] = true
		b = appendString(b, kv.Key)
		if b, err = appendValue(b, kv.Value); err != nil {
			return nil, nil, 0, fmt.Errorf("key %q: %w", kv.Key, err)
		}
		if kv.Key == alignmentKey {
			n, ok := kv.Value.(uint32)
			if !ok || bits.OnesCount32(n) != 1 || n > 1<<30 {
				return nil, nil, 0, fmt.Errorf("key %q: is %v (%T), expected a uint32 that is a power of two", kv.Key, kv.Value, kv.Value)
			}
			alignment = int(n)
		}
	}
	clear(seen)
	at := 0
	for _, t := range w.Tensors {
		if seen[t.Name] {
			return nil, nil, 0, fmt.Errorf("tensor %q: given twice", t.Name)
		}
		seen[t.Name] = true
		n, err := w.checkTensor(t)
		if err != nil {
			return nil, nil, 0, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		id, _ := MetaType(t.Meta)
		b = appendString(b, t.Name)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(t.Meta.Shape)))
		for i := len(t.Meta.Shape) - 1; i >= 0; i-- {
			b = binary.LittleEndian.AppendUint64(b, uint64(t.Meta.Shape[i]))
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
		b = binary.LittleEndian.AppendUint64(b, uint64(at))
		lengths = append(lengths, n)
		at += align(n, alignment)
	}
	return append(b, make([]byte, align(len(b), alignment)-len(b))...), lengths, alignment, nil
}

// checkTensor returns the tensor's bytes.
func (w *Writer) checkTensor(t WriteTensor) (int, error) {
	if len(t.Name) > maxName {
		return 0, fmt.Errorf("name has %d bytes, expected at most %d", len(t.Name), maxName)
	}
	if len(t.Meta.Shape) > maxDims {
		return 0, fmt.Errorf("shape %v has %d dimensions, expected at most %d", t.Meta.Shape, len(t.Meta.Shape), maxDims)
	}
	if _, ok := MetaType(t.Meta); !ok {
		return 0, fmt.Errorf("%s has no GGUF tensor type", t.Meta)
	}
	n, ok := RowBytes(t.Meta)
	if !ok {
		elems, _, _ := BlockSize(t.Meta.Encoding)
		return 0, fmt.Errorf("%s: rows are not whole blocks of %d elements", t.Meta, elems)
	}
	for _, dim := range t.Meta.Shape[:max(len(t.Meta.Shape)-1, 0)] {
		if dim < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", t.Meta.Shape)
		}
		hi, lo := bits.Mul64(uint64(n), uint64(dim))
		if hi != 0 || lo > math.MaxInt/2 {
			return 0, fmt.Errorf("shape %v is larger than any file", t.Meta.Shape)
		}
		n = int(lo)
	}
	// The most damaging mistake a llama file can carry: it loads, and speaks
	// nonsense.
	if len(t.Meta.Shape) > 0 {
		if want := RotaryHeadDim(w.KVs, t.Name, t.Meta.Shape[0]); t.Meta.RotaryHeadDim != want {
			return 0, fmt.Errorf("rows are in rotary order for heads of %d, expected %d (0: the usual order): reorder them with ToRotary or FromRotary", t.Meta.RotaryHeadDim, want)
		}
	}
	return n, nil
}

func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s)))
	return append(b, s...)
}

func appendValue(b []byte, value any) ([]byte, error) {
	le := binary.LittleEndian
	if b2, id, ok := appendScalar(nil, value); ok {
		return append(le.AppendUint32(b, id), b2...), nil
	}
	switch v := value.(type) {
	case []uint8:
		return appendArray(b, v), nil
	case []int8:
		return appendArray(b, v), nil
	case []uint16:
		return appendArray(b, v), nil
	case []int16:
		return appendArray(b, v), nil
	case []uint32:
		return appendArray(b, v), nil
	case []int32:
		return appendArray(b, v), nil
	case []float32:
		return appendArray(b, v), nil
	case []bool:
		return appendArray(b, v), nil
	case []string:
		return appendArray(b, v), nil
	case []uint64:
		return appendArray(b, v), nil
	case []int64:
		return appendArray(b, v), nil
	case []float64:
		return appendArray(b, v), nil
	}
	return nil, fmt.Errorf("a %T cannot be written: expected one of the types of KV", value)
}

func appendArray[T any](b []byte, v []T) []byte {
	var zero T
	_, id, _ := appendScalar(nil, any(zero))
	b = binary.LittleEndian.AppendUint32(b, vArray)
	b = binary.LittleEndian.AppendUint32(b, id)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(v)))
	for _, x := range v {
		b, _, _ = appendScalar(b, any(x))
	}
	return b
}

// appendScalar appends a value without its type, whose id it returns.
func appendScalar(b []byte, value any) ([]byte, uint32, bool) {
	le := binary.LittleEndian
	switch v := value.(type) {
	case uint8:
		return append(b, v), vU8, true
	case int8:
		return append(b, byte(v)), vI8, true
	case uint16:
		return le.AppendUint16(b, v), vU16, true
	case int16:
		return le.AppendUint16(b, uint16(v)), vI16, true
	case uint32:
		return le.AppendUint32(b, v), vU32, true
	case int32:
		return le.AppendUint32(b, uint32(v)), vI32, true
	case float32:
		return le.AppendUint32(b, math.Float32bits(v)), vF32, true
	case bool:
		if v {
			return append(b, 1), vBool, true
		}
		return append(b, 0), vBool, true
	case string:
		return appendString(b, v), vString, true
	case uint64:
		return le.AppendUint64(b, v), vU64, true
	case int64:
		return le.AppendUint64(b, uint64(v)), vI64, true
	case float64:
		return le.AppendUint64(b, math.Float64bits(v)), vF64, true
	}
	return b, 0, false
}
