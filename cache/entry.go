package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

// A Class says what becomes of an output's blobs.
type Class string

// The classes.
const (
	// Durable: the blobs are kept; without one of them the entry is a miss.
	Durable Class = "durable"
	// Transient: the blobs need not exist; the digests alone build the keys
	// of what comes after.
	Transient Class = "transient"
	// Checkpoint: stored like a durable one until somebody calls Remove; after
	// that, like a transient one.
	Checkpoint Class = "checkpoint"
	// Evicted: it was durable, and gc took the blobs, which its action can make
	// again.
	Evicted Class = "evicted"
)

// strength orders classes by how much they promise.
func (c Class) strength() int {
	switch c {
	case Transient:
		return 1
	case Evicted:
		return 2
	case Checkpoint:
		return 3
	case Durable:
		return 4
	}
	return 0
}

// An Output is one of the trees that an action made.
type Output struct {
	Name string `json:"name"`
	// Digest is the tree blob's, that is Sum(Tree).
	Digest Digest `json:"digest"`
	// Tree is the canonical manifest itself, byte for byte (base64 in JSON).
	Tree  []byte `json:"tree"`
	Bytes int64  `json:"bytes"` // of all leaves together
	Class Class  `json:"class"`
}

// An Entry says what an action made and what that cost.
type Entry struct {
	Action  Digest   `json:"action"`
	Kernel  string   `json:"kernel"`
	Outputs []Output `json:"outputs"`
	// Metrics is JSON of the kernel's own, white space aside kept as given.
	Metrics   json.RawMessage `json:"metrics,omitempty"`
	Seconds   float64         `json:"seconds"`    // wall time
	PeakBytes int64           `json:"peak_bytes"` // memory
	Producer  string          `json:"producer"`   // the program's version
	// KeyRecord is the blob of what the action key was made of, or "".
	KeyRecord Digest `json:"key_record,omitempty"`
	// Inputs are the trees that the action reads, from which gc tells what it
	// takes to run it again.
	Inputs  []Digest  `json:"inputs,omitempty"`
	Created time.Time `json:"created"`
	// Used is when the entry was used last, to within an hour. Entries alone sets
	// it.
	Used time.Time `json:"-"`
}

const kindEntry = "entry"

// Validate checks what PutEntry demands and what parsing must not let through:
// the digests of the trees among it, but not that any blob exists.
func (e *Entry) Validate() error {
	if err := e.Action.check("entry's action"); err != nil {
		return err
	}
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cache: entry of action %s: %s", e.Action.Short(), fmt.Sprintf(format, args...))
	}
	if e.Kernel == "" {
		return fail("no kernel name")
	}
	if e.KeyRecord != "" && !e.KeyRecord.Valid() {
		return fail("key record %q is not a digest", string(e.KeyRecord))
	}
	if math.IsNaN(e.Seconds) || math.IsInf(e.Seconds, 0) || e.Seconds < 0 || e.PeakBytes < 0 {
		return fail("cost is not a quantity: %v s, %d bytes", e.Seconds, e.PeakBytes)
	}
	if len(e.Metrics) > 0 && !json.Valid(e.Metrics) {
		return fail("metrics are not JSON: %.40q", e.Metrics)
	}
	for _, d := range e.Inputs {
		if !d.Valid() {
			return fail("input %q is not a digest", string(d))
		}
	}
	for i, o := range e.Outputs {
		if o.Name == "" || slices.ContainsFunc(e.Outputs[:i], func(p Output) bool { return p.Name == o.Name }) {
			return fail("output name %q is empty or taken", o.Name)
		}
		if o.Class.strength() == 0 {
			return fail("output %q: class %q; there are durable, transient, checkpoint, evicted", o.Name, o.Class)
		}
		if o.Bytes < 0 {
			return fail("output %q: %d bytes", o.Name, o.Bytes)
		}
		if got := Sum(o.Tree); got != o.Digest {
			return fail("output %q: its tree has digest %s, not %q", o.Name, got, string(o.Digest))
		}
		if _, err := leavesOf(o.Tree); err != nil {
			return fail("output %q: %v", o.Name, err)
		}
	}
	return nil
}

func (e *Entry) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // metrics keep their spelling
	if err := enc.Encode(e); err != nil {
		return nil, fmt.Errorf("cache: entry of action %s: %w", e.Action.Short(), err)
	}
	return seal(kindEntry, b.Bytes()), nil
}

// parseEntry reads an index entry and checks that it is one of this action.
func parseEntry(data []byte, action Digest) (*Entry, error) {
	body, err := unseal(kindEntry, data)
	if err != nil {
		return nil, err
	}
	e := new(Entry)
	if err := json.Unmarshal(body, e); err != nil {
		return nil, fmt.Errorf("cache: entry of action %s: %w", action.Short(), err)
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	if e.Action != action {
		return nil, fmt.Errorf("cache: entry of action %s is one of action %s", action.Short(), e.Action.Short())
	}
	return e, nil
}

// leaf is what the store reads of a tree's entry.
type leaf struct {
	Digest Digest `json:"digest"`
	Size   *int64 `json:"size"` // in bytes; nil if the manifest does not say
}

// leavesOf parses a tree manifest as far as the store needs it.
func leavesOf(tree []byte) ([]leaf, error) {
	var t struct {
		Entries []leaf `json:"entries"`
	}
	if err := json.Unmarshal(tree, &t); err != nil {
		return nil, fmt.Errorf("tree manifest: %w", err)
	}
	for i, l := range t.Entries {
		if !l.Digest.Valid() {
			return nil, fmt.Errorf("tree manifest: entry %d: %q is not a digest", i, string(l.Digest))
		}
		if l.Size != nil && *l.Size < 0 {
			return nil, fmt.Errorf("tree manifest: entry %d: size %d", i, *l.Size)
		}
	}
	return t.Entries, nil
}

// blobs returns all blobs of the outputs that sel accepts, tree blobs first
// within an output, with repetitions.
func (e *Entry) blobs(sel func(Class) bool) []leaf {
	var all []leaf
	for _, o := range e.Outputs {
		if !sel(o.Class) {
			continue
		}
		size := int64(len(o.Tree))
		all = append(all, leaf{o.Digest, &size})
		leaves, err := leavesOf(o.Tree)
		if err != nil {
			panic("cache: entry was not validated: " + err.Error())
		}
		all = append(all, leaves...)
	}
	return all
}

func isDurable(c Class) bool { return c == Durable }
func isStored(c Class) bool  { return c == Durable || c == Checkpoint }
func isAny(Class) bool       { return true }

// sameOutputs reports whether two runs of an action made the same bytes. The
// class is no part of that.
func sameOutputs(a, b []Output) bool {
	if len(a) != len(b) {
		return false
	}
	for _, x := range a {
		if !slices.ContainsFunc(b, func(y Output) bool { return x.Name == y.Name && x.Digest == y.Digest }) {
			return false
		}
	}
	return true
}
