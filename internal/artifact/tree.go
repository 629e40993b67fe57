// Package artifact gives values that pass between actions their form: a tree is
// a sorted list of named leaves, each a tensor or a small JSON document under
// its digest, or the leading rows of a tensor under that of the whole; a value
// is a tree with a way to load its leaves; a builder makes one. Trees know
// neither the cache nor the models whose parts they hold.
package artifact

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sort"

	"github.com/compressc/compressc/internal/tensor"
)

// Digest is the SHA-256 of some bytes, as 64 lower-case hexadecimal digits.
type Digest string

// Sum returns the digest of b.
func Sum(b []byte) Digest {
	h := sha256.Sum256(b)
	return Digest(hex.EncodeToString(h[:]))
}

// Short returns the first twelve digits, for people.
func (d Digest) Short() string {
	if len(d) < 12 {
		return string(d)
	}
	return string(d[:12])
}

// Entry is one leaf of a tree. A JSON leaf has an empty Meta.
type Entry struct {
	Name   string      `json:"name"`
	Meta   tensor.Meta `json:"meta,omitzero"`
	Digest Digest      `json:"digest"`
	Size   int64       `json:"size"` // in bytes, of what Digest is the digest of
	// StoredRows is 0 for a leaf that is all of what is stored. Otherwise the
	// leaf is the leading Meta.Shape[0] of so many stored rows: several leaves
	// share one tensor, and none of them is stored by itself.
	StoredRows int `json:"stored_rows,omitempty"`
}

// Leading returns the leaf that is the first rows of e under another name. Its
// digest is still that of all that is stored, so equal bytes can have two
// digests: as a tensor, and as the leading part of one. It panics for rows that
// e does not have, and for a leaf whose rows are not stored in order.
func (e Entry) Leading(name string, rows int) Entry {
	stored := e.StoredRows
	if stored == 0 && len(e.Meta.Shape) > 0 {
		stored = e.Meta.Shape[0]
	}
	if len(e.Meta.Shape) == 0 || rows < 0 || rows > e.Meta.Shape[0] || e.Meta.RotaryHeadDim != 0 {
		panic(fmt.Sprintf("artifact: the leading %d rows of %s, %v", rows, e.Name, e.Meta))
	}
	e.Name = name
	e.Meta.Shape = append([]int{rows}, e.Meta.Shape[1:]...)
	e.StoredRows = stored
	if rows == stored {
		e.StoredRows = 0 // one spelling of one thing
	}
	return e
}

// Bytes returns the length of the leaf's own bytes; they are less than Size for
// the leading part of a stored tensor.
func (e Entry) Bytes() int64 {
	if e.StoredRows == 0 {
		return e.Size
	}
	return e.Size / int64(e.StoredRows) * int64(e.Meta.Shape[0])
}

// check reports a leaf that cannot be the leading part of what is stored.
func (e Entry) check() error {
	switch {
	case e.StoredRows == 0:
		return nil
	case e.StoredRows < 0 || len(e.Meta.Shape) == 0 || e.Meta.Shape[0] < 0 || e.Meta.Shape[0] >= e.StoredRows || e.Meta.RotaryHeadDim != 0:
		return fmt.Errorf("artifact: leaf %q is %v of %d stored rows; expected fewer rows than are stored, in order", e.Name, e.Meta, e.StoredRows)
	case e.Size < 0 || e.Size%int64(e.StoredRows) != 0:
		return fmt.Errorf("artifact: leaf %q: %d stored bytes are not %d rows", e.Name, e.Size, e.StoredRows)
	}
	return nil
}

// Tree is a list of leaves sorted by name, without duplicates. It is immutable
// once encoded.
type Tree struct {
	Entries []Entry `json:"entries"`
}

// Encode returns the canonical JSON of t: equal trees have equal bytes.
func (t *Tree) Encode() []byte {
	b, err := json.Marshal(t)
	if err != nil {
		panic(fmt.Sprintf("artifact: a tree does not encode: %v", err))
	}
	return b
}

// Digest returns the digest of the canonical JSON.
func (t *Tree) Digest() Digest { return Sum(t.Encode()) }

// DecodeTree parses what Encode wrote.
func DecodeTree(b []byte) (*Tree, error) {
	var t Tree
	if err := json.Unmarshal(b, &t); err != nil {
		return nil, fmt.Errorf("artifact: tree does not parse: %w", err)
	}
	for i, e := range t.Entries {
		if i > 0 && t.Entries[i-1].Name >= e.Name {
			return nil, fmt.Errorf("artifact: tree entries %q and %q are out of order", t.Entries[i-1].Name, e.Name)
		}
		if err := e.check(); err != nil {
			return nil, err
		}
	}
	return &t, nil
}

// Lookup returns the leaf called name.
func (t *Tree) Lookup(name string) (Entry, bool) {
	i := sort.Search(len(t.Entries), func(i int) bool { return t.Entries[i].Name >= name })
	if i < len(t.Entries) && t.Entries[i].Name == name {
		return t.Entries[i], true
	}
	return Entry{}, false
}

// Size returns the bytes of the leaves together, of each no more than is its
// own: what the tree would take if it shared nothing.
func (t *Tree) Size() int64 {
	var n int64
	for _, e := range t.Entries {
		n += e.Bytes()
	}
	return n
}
