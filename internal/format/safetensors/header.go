package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf8"

	"github.com/compressc/compressc/internal/tensor"
)

// metadataKey is the one header key that is not a tensor name.
const metadataKey = "__metadata__"

// entry is one tensor of a header before it is checked against the buffer.
type entry struct {
	name       string
	meta       tensor.Meta
	begin, end uint64
}

// headerError names the tensor at fault, where there is one.
type headerError struct {
	tensor string
	detail string
}

func (e *headerError) Error() string { return e.detail }

// parseHeader reads the JSON of a header. encoding/json alone would not do:
// it keeps the last of duplicate keys, matches field names regardless of case
// and takes null for a number.
func parseHeader(header []byte) (entries []entry, metadata map[string]string, err error) {
	if !utf8.Valid(header) {
		return nil, nil, errors.New("header is not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(header))
	d.UseNumber()
	seen := map[string]bool{}
	err = object(d, "header", func(key string) error {
		if seen[key] {
			return &headerError{key, "is in the header twice"}
		}
		seen[key] = true
		if key == metadataKey {
			metadata, err = parseMetadata(d)
			return err
		}
		e, err := parseEntry(d, key)
		if err != nil {
			return &headerError{key, err.Error()}
		}
		entries = append(entries, e)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, nil, fmt.Errorf("header has text after its closing brace at byte %d: only spaces may follow", d.InputOffset())
	}
	return entries, metadata, nil
}

// object calls field with each key of the JSON object that comes next; field
// consumes the value.
func object(d *json.Decoder, what string, field func(key string) error) error {
	if err := delim(d, '{', what); err != nil {
		return err
	}
	for d.More() {
		tok, err := d.Token()
		if err != nil {
			return fmt.Errorf("%s: %w", what, noEOF(err))
		}
		if err := field(tok.(string)); err != nil { // an object key is always a string
			return err
		}
	}
	return delim(d, '}', what)
}

func delim(d *json.Decoder, want json.Delim, what string) error {
	tok, err := d.Token()
	if err != nil {
		return fmt.Errorf("%s: %w", what, noEOF(err))
	}
	if tok != want {
		return fmt.Errorf("%s: expected %q, found %v", what, rune(want), tok)
	}
	return nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func text(d *json.Decoder, what string) (string, error) {
	tok, err := d.Token()
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, noEOF(err))
	}
	s, ok := tok.(string)
	if !ok {
		return "", fmt.Errorf("%s: expected a string, found %v", what, tok)
	}
	return s, nil
}

func parseMetadata(d *json.Decoder) (map[string]string, error) {
	m := map[string]string{}
	err := object(d, metadataKey, func(key string) error {
		if _, dup := m[key]; dup {
			return fmt.Errorf("%s: key %q occurs twice", metadataKey, key)
		}
		v, err := text(d, metadataKey+"."+key)
		m[key] = v
		return err
	})
	return m, err
}

func parseEntry(d *json.Decoder, name string) (entry, error) {
	e := entry{name: name}
	var dtype string
	var offsets []uint64
	seen := map[string]bool{}
	err := object(d, "entry", func(key string) error {
		if seen[key] {
			return fmt.Errorf("field %q occurs twice", key)
		}
		seen[key] = true
		var err error
		switch key {
		case "dtype":
			dtype, err = text(d, key)
		case "shape":
			var dims []uint64
			dims, err = uints(d, key)
			e.meta.Shape = make([]int, len(dims))
			for i, n := range dims {
				if n > math.MaxInt {
					return fmt.Errorf("shape: dimension %d is %d, which is out of range", i, n)
				}
				e.meta.Shape[i] = int(n)
			}
		case "data_offsets":
			offsets, err = uints(d, key)
		default: // the reference reader skips unknown fields too
			var skip json.RawMessage
			err = d.Decode(&skip)
		}
		return err
	})
	if err != nil {
		return e, err
	}
	for _, key := range []string{"dtype", "shape", "data_offsets"} {
		if !seen[key] {
			return e, fmt.Errorf("field %q is missing", key)
		}
	}
	e.meta.DType = tensor.DType(dtype)
	if e.meta.DType.Size() == 0 {
		return e, fmt.Errorf("dtype %q is not supported: expected one of %s", dtype, dtypeNames())
	}
	if len(offsets) != 2 {
		return e, fmt.Errorf("data_offsets: expected [begin, end], found %d numbers", len(offsets))
	}
	e.begin, e.end = offsets[0], offsets[1]
	if e.begin > e.end {
		return e, fmt.Errorf("data_offsets: begin %d is after end %d", e.begin, e.end)
	}
	want, ok := byteLength(e.meta)
	if !ok {
		return e, fmt.Errorf("shape %v of %s is larger than any file", e.meta.Shape, dtype)
	}
	if got := e.end - e.begin; got != want {
		return e, fmt.Errorf("data_offsets [%d, %d] span %d bytes, expected %d for %s", e.begin, e.end, got, want, e.meta)
	}
	return e, nil
}

func uints(d *json.Decoder, what string) ([]uint64, error) {
	if err := delim(d, '[', what); err != nil {
		return nil, err
	}
	var out []uint64
	for d.More() {
		tok, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", what, noEOF(err))
		}
		num, ok := tok.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%s: expected a number, found %v", what, tok)
		}
		n, err := strconv.ParseUint(num.String(), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s: expected a non-negative integer, found %s", what, num)
		}
		out = append(out, n)
	}
	return out, delim(d, ']', what)
}

// byteLength returns the bytes of a tensor, and false when they exceed int.
func byteLength(m tensor.Meta) (uint64, bool) {
	n := uint64(m.DType.Size())
	for _, dim := range m.Shape {
		if dim == 0 {
			return 0, true
		}
	}
	for _, dim := range m.Shape {
		hi, lo := bits.Mul64(n, uint64(dim))
		if hi != 0 || lo > math.MaxInt {
			return 0, false
		}
		n = lo
	}
	return n, true
}
