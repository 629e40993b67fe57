package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/mmap"
	"github.com/compressc/compressc/internal/tensor"
)

// MaxHeader is the largest header the reference reader accepts, in bytes.
const MaxHeader = 100_000_000

// Tensor is one tensor of an open file.
type Tensor struct {
	Name string
	Meta tensor.Meta
	// Path is the file it lies in, Offset its first byte counted from the
	// start of that file, Length its bytes.
	Path   string
	Offset int64
	Length int64

	data []byte
}

// Bytes returns the tensor's little-endian, row-major elements. The slice
// belongs to the file: read-only, valid until the file is closed.
func (t *Tensor) Bytes() []byte { return t.data }

// File is an open safetensors file. It is safe for concurrent use, except for
// Close.
type File struct {
	Path string
	// Metadata is the header's __metadata__, nil when there is none.
	Metadata map[string]string
	// HeaderLength is the bytes before the buffer: 8 plus the JSON.
	HeaderLength int64

	tensors []*Tensor // in file order
	byName  map[string]*Tensor
	mapping *mmap.File
}

// Open maps a file and checks its header. The error is an *Error, or that of
// the operating system.
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

// Parse reads a file whose bytes are in memory; path is what errors and
// tensors call it. The tensors alias data.
func Parse(path string, data []byte) (*File, error) {
	fail := func(format string, args ...any) (*File, error) {
		return nil, &Error{Path: path, Detail: fmt.Sprintf(format, args...)}
	}
	if len(data) < 8 {
		return fail("not a safetensors file: %d bytes, expected at least the 8 of the header length", len(data))
	}
	n := binary.LittleEndian.Uint64(data)
	if n > MaxHeader {
		return fail("header length is %d, expected at most %d: this is not a safetensors file, or its start is damaged", n, MaxHeader)
	}
	if n > uint64(len(data)-8) {
		return fail("header length is %d, but only %d bytes follow: the file is truncated", n, len(data)-8)
	}
	header, buffer := data[8:8+n], data[8+n:]
	if len(header) == 0 || header[0] != '{' {
		return fail("header must start with '{', found %.16q: this is not a safetensors file", header)
	}
	entries, metadata, err := parseHeader(header)
	if err != nil {
		out := &Error{Path: path, Detail: err.Error()}
		var he *headerError
		if errors.As(err, &he) {
			out.Tensor = he.tensor
		}
		return nil, out
	}

	// Ties only arise between empty tensors; the name makes them definite.
	slices.SortFunc(entries, func(a, b entry) int {
		switch {
		case a.begin != b.begin:
			return compare(a.begin, b.begin)
		case a.end != b.end:
			return compare(a.end, b.end)
		}
		return strings.Compare(a.name, b.name)
	})
	f := &File{
		Path: path, Metadata: metadata, HeaderLength: int64(8 + n),
		tensors: make([]*Tensor, len(entries)), byName: make(map[string]*Tensor, len(entries)),
	}
	var at uint64
	previous := ""
	for i, e := range entries {
		bad := func(format string, args ...any) (*File, error) {
			return nil, &Error{Path: path, Tensor: e.name, Detail: fmt.Sprintf(format, args...)}
		}
		switch {
		case e.end > uint64(len(buffer)):
			return bad("ends at byte %d of a buffer of %d: the file is truncated", e.end, len(buffer))
		case e.begin > at:
			return bad("begins at byte %d, expected %d: bytes between belong to no tensor", e.begin, at)
		case e.begin < at:
			return bad("begins at byte %d, inside tensor %q, which ends at %d", e.begin, previous, at)
		}
		t := &Tensor{
			Name: e.name, Meta: e.meta, Path: path,
			Offset: int64(8 + n + e.begin), Length: int64(e.end - e.begin),
			data: buffer[e.begin:e.end:e.end],
		}
		f.tensors[i], f.byName[e.name] = t, t
		at, previous = e.end, e.name
	}
	if at != uint64(len(buffer)) {
		return fail("the buffer has %d bytes, but the tensors end at %d", len(buffer), at)
	}
	return f, nil
}

func compare(a, b uint64) int {
	if a < b {
		return -1
	}
	return 1
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
