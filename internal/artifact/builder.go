package artifact

import (
	"encoding/json"
	"fmt"
	"sort"

	"github.com/compressc/compressc/internal/tensor"
)

// Leaf is a finished leaf with its bytes; Data is nil for a leaf carried over
// from another tree.
type Leaf struct {
	Entry
	Data []byte
}

// Builder collects the leaves of one output. It is not safe for concurrent use.
type Builder struct {
	leaves map[string]Leaf
	sink   func(Entry, []byte)
}

// NewBuilder returns an empty builder, which keeps the leaves' bytes.
func NewBuilder() *Builder { return &Builder{leaves: map[string]Leaf{}} }

// NewSinkBuilder returns an empty builder that hands the bytes of each new leaf
// to sink, which owns them from then on, and keeps none: an output need not be
// in memory as a whole. Leaves that are carried over are not new. sink runs in
// the caller's goroutine.
func NewSinkBuilder(sink func(Entry, []byte)) *Builder {
	return &Builder{leaves: map[string]Leaf{}, sink: sink}
}

func (b *Builder) put(l Leaf) {
	if _, dup := b.leaves[l.Name]; dup {
		panic(fmt.Sprintf("artifact: leaf %q is put twice", l.Name))
	}
	if b.sink != nil && l.Data != nil {
		b.sink(l.Entry, l.Data)
		l.Data = nil
	}
	b.leaves[l.Name] = l
}

// PutBytes adds a tensor; the builder takes ownership of data.
func (b *Builder) PutBytes(name string, m tensor.Meta, data []byte) {
	if data == nil {
		data = []byte{} // a new leaf without elements is not one carried over
	}
	b.put(Leaf{Entry{Name: name, Meta: m, Digest: Sum(data), Size: int64(len(data))}, data})
}

// PutFloat32 adds an F32 tensor and takes ownership of data.
func (b *Builder) PutFloat32(name string, shape []int, data []float32) {
	b.PutBytes(name, tensor.Meta{DType: tensor.F32, Shape: shape}, AsBytes(data))
}

// PutFloat64 adds an F64 tensor and takes ownership of data.
func (b *Builder) PutFloat64(name string, shape []int, data []float64) {
	b.PutBytes(name, tensor.Meta{DType: tensor.F64, Shape: shape}, AsBytes(data))
}

// PutInt32 adds an I32 tensor and takes ownership of data.
func (b *Builder) PutInt32(name string, shape []int, data []int32) {
	b.PutBytes(name, tensor.Meta{DType: tensor.I32, Shape: shape}, AsBytes(data))
}

// PutEntry carries a leaf over from an input under its own name.
func (b *Builder) PutEntry(e Entry) { b.put(Leaf{Entry: e}) }

// PutJSON adds a JSON leaf.
func (b *Builder) PutJSON(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("artifact: %s: %w", name, err)
	}
	b.put(Leaf{Entry{Name: name, Digest: Sum(data), Size: int64(len(data))}, data})
	return nil
}

// CopyExcept carries over every leaf of v whose name drop does not report.
func (b *Builder) CopyExcept(v *Value, drop func(name string) bool) {
	for _, e := range v.Tree.Entries {
		if drop == nil || !drop(e.Name) {
			b.PutEntry(e)
		}
	}
}

// Finish returns the tree and its leaves in order.
func (b *Builder) Finish() (*Tree, []Leaf) {
	names := make([]string, 0, len(b.leaves))
	for n := range b.leaves {
		names = append(names, n)
	}
	sort.Strings(names)
	t := &Tree{}
	ls := make([]Leaf, 0, len(names))
	for _, n := range names {
		t.Entries = append(t.Entries, b.leaves[n].Entry)
		ls = append(ls, b.leaves[n])
	}
	return t, ls
}
