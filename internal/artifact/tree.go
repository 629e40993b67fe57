// Package artifact gives values that pass between actions their form: a tree is
// a sorted list of named leaves, each a tensor or a small JSON document under
// its digest; a value is a tree with a way to load its leaves; a builder makes
// one. Trees know neither the cache nor the models whose parts they hold.
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
	Size   int64       `json:"size"`
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
	for i := 1; i < len(t.Entries); i++ {
		if t.Entries[i-1].Name >= t.Entries[i].Name {
			return nil, fmt.Errorf("artifact: tree entries %q and %q are out of order", t.Entries[i-1].Name, t.Entries[i].Name)
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

// Size returns the sum of the leaves' sizes in bytes.
func (t *Tree) Size() int64 {
	var n int64
	for _, e := range t.Entries {
		n += e.Size
	}
	return n
}
