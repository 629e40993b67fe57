package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/compressc/compressc/internal/tensor"
)

// WriteTensor is a tensor to be written.
type WriteTensor struct {
	Name string
	Meta tensor.Meta
	// Data returns the little-endian, row-major bytes. It is called once, when
	// the tensor's turn comes, and its result dropped before the next one's, so
	// a file of any size is written with one tensor in memory.
	Data func() ([]byte, error)
	// Ahead, where it is set, is called while the tensor before is written, if
	// there is one: it makes ready what Data reads and takes no memory for it.
	Ahead func()
}

// Write writes a file: the header, then each tensor's data. The order is the
// reference writer's whatever the order of tensors: latest dtype of its enum
// first, then by name. Keys of metadata are sorted; Transformers refuses a
// file without {"format": "pt"}. Errors of Data and of w are wrapped; after an
// error what was written is no valid file.
func Write(w io.Writer, tensors []WriteTensor, metadata map[string]string) error {
	ordered := sorted(tensors)
	header, err := headerBytes(ordered, metadata)
	if err != nil {
		return err
	}
	if _, err := w.Write(header); err != nil {
		return fmt.Errorf("write safetensors header: %w", err)
	}
	var ahead sync.WaitGroup
	defer ahead.Wait()
	for i, t := range ordered {
		ahead.Wait()
		data, err := t.Data()
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if next := i + 1; next < len(ordered) && ordered[next].Ahead != nil {
			ahead.Go(ordered[next].Ahead)
		}
		if want, _ := byteLength(t.Meta); uint64(len(data)) != want {
			return fmt.Errorf("tensor %q: data has %d bytes, expected %d for %s", t.Name, len(data), want, t.Meta)
		}
		if _, err := w.Write(data); err != nil {
			return fmt.Errorf("write tensor %q: %w", t.Name, err)
		}
	}
	return nil
}

// Size returns the bytes Write will write, without calling Data.
func Size(tensors []WriteTensor, metadata map[string]string) (int64, error) {
	ordered := sorted(tensors)
	header, err := headerBytes(ordered, metadata)
	if err != nil {
		return 0, err
	}
	n := int64(len(header))
	for _, t := range ordered {
		b, _ := byteLength(t.Meta)
		n += int64(b)
	}
	return n, nil
}

func sorted(tensors []WriteTensor) []WriteTensor {
	out := slices.Clone(tensors)
	slices.SortStableFunc(out, func(a, b WriteTensor) int {
		if ra, rb := dtypeRank(a.Meta.DType), dtypeRank(b.Meta.DType); ra != rb {
			return rb - ra
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// headerBytes returns the length word and the padded JSON for tensors in the
// order given.
func headerBytes(tensors []WriteTensor, metadata map[string]string) ([]byte, error) {
	var b bytes.Buffer
	b.Write(make([]byte, 8))
	b.WriteByte('{')
	comma := func() {
		if b.Len() > 9 {
			b.WriteByte(',')
		}
	}
	if metadata != nil {
		keys := make([]string, 0, len(metadata))
		for k, v := range metadata {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return nil, fmt.Errorf("metadata %q: not valid UTF-8", k)
			}
			keys = append(keys, k)
		}
		slices.Sort(keys)
		b.WriteString(`"` + metadataKey + `":{`)
		for i, k := range keys {
			if i > 0 {
				b.WriteByte(',')
			}
			writeString(&b, k)
			b.WriteByte(':')
			writeString(&b, metadata[k])
		}
		b.WriteByte('}')
	}
	var at uint64
	seen := map[string]bool{}
	for _, t := range tensors {
		if err := checkWritable(t, seen); err != nil {
			return nil, err
		}
		n, ok := byteLength(t.Meta)
		if !ok || at+n > 1<<62 {
			return nil, fmt.Errorf("tensor %q: shape %v of %s is larger than any file", t.Name, t.Meta.Shape, t.Meta.DType)
		}
		comma()
		writeString(&b, t.Name)
		b.WriteString(`:{"dtype":"` + string(t.Meta.DType) + `","shape":[`)
		for i, dim := range t.Meta.Shape {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strconv.Itoa(dim))
		}
		fmt.Fprintf(&b, `],"data_offsets":[%d,%d]}`, at, at+n)
		at += n
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	header := b.Bytes()
	if len(header)-8 > MaxHeader {
		return nil, fmt.Errorf("header of %d bytes is over the limit of %d: split the tensors over several files", len(header)-8, MaxHeader)
	}
	binary.LittleEndian.PutUint64(header, uint64(len(header)-8))
	return header, nil
}

func checkWritable(t WriteTensor, seen map[string]bool) error {
	switch {
	case t.Name == metadataKey:
		return errors.New(`"` + metadataKey + `" cannot be the name of a tensor`)
	case !utf8.ValidString(t.Name):
		return fmt.Errorf("tensor %q: name is not valid UTF-8", t.Name)
	case seen[t.Name]:
		return fmt.Errorf("tensor %q: given twice", t.Name)
	case t.Meta.Encoding != "":
		return fmt.Errorf("tensor %q: %s blocks cannot be stored in safetensors: decode them first", t.Name, t.Meta.Encoding)
	case t.Meta.RotaryHeadDim != 0:
		return fmt.Errorf("tensor %q: rows are in rotary order: bring them into the usual order first", t.Name)
	case dtypeRank(t.Meta.DType) < 0:
		return fmt.Errorf("tensor %q: dtype %q is not supported: expected one of %s", t.Name, t.Meta.DType, dtypeNames())
	}
	for _, dim := range t.Meta.Shape {
		if dim < 0 {
			return fmt.Errorf("tensor %q: shape %v has a negative dimension", t.Name, t.Meta.Shape)
		}
	}
	seen[t.Name] = true
	return nil
}

// writeString escapes as the reference writer's JSON library does: only what
// JSON demands. encoding/json would also escape <, >, & and U+2028.
func writeString(b *bytes.Buffer, s string) {
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\b':
			b.WriteString(`\b`)
		case c == '\f':
			b.WriteString(`\f`)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < 0x20:
			fmt.Fprintf(b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}
