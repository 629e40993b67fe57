package action

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"sort"
	"strconv"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/linalg"
)

// KeyScheme is the version of the encoding that keys are digests of. A change
// of it makes every cache cold.
const KeyScheme = 1

// KeyRecord is what an action key is made of, in a form that can be stored and
// compared field by field later.
type KeyRecord struct {
	Scheme int             `json:"scheme"`
	Kernel string          `json:"kernel"`
	Impl   int             `json:"impl"`
	Params json.RawMessage `json:"params"`
	// Inputs maps an input's name to the digest of its tree.
	Inputs map[string]artifact.Digest `json:"inputs"`
	// Outputs are the names of the outputs asked for: a kernel may compute
	// only some of what it can.
	Outputs  []string `json:"outputs"`
	Numerics string   `json:"numerics"`
}

// ActionKey returns the key under which a's results are stored, and the
// canonical JSON of the KeyRecord it is the digest of. inputs holds the digest
// of each input's tree; a missing one is a programmer's error. Node, label,
// classes and estimates are in no key.
func ActionKey(a *Action, inputs map[string]artifact.Digest) (key artifact.Digest, record []byte) {
	r := newRecord(a)
	for _, in := range a.Inputs {
		d, ok := inputs[in.Name]
		if !ok {
			panic(fmt.Sprintf("action: the digest of input %s of %s is missing", in.Name, a.Kernel.Name))
		}
		r.Inputs[in.Name] = d
	}
	e := r.encode("action")
	e.count("inputs", len(r.Inputs))
	for _, name := range sortedKeys(r.Inputs) {
		e.field("input", name)
		e.field("digest", string(r.Inputs[name]))
	}
	record, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("action: the key record of %s does not encode: %v", a.Kernel.Name, err))
	}
	return e.sum(), record
}

// DefKeys returns the definition key of every action of g: the same as an
// action key, with the definition keys of the inputs in place of their
// contents and the trees' digests at the sources. It is known before anything
// has run, so it can predict what an action key will be.
func DefKeys(g *Graph) map[*Action]artifact.Digest {
	keys := make(map[*Action]artifact.Digest, len(g.Actions))
	for _, a := range g.Actions {
		DefKey(a, keys)
	}
	return keys
}

// DefKey returns the definition key of a and adds it to keys, which must hold
// those of a's inputs.
func DefKey(a *Action, keys map[*Action]artifact.Digest) artifact.Digest {
	if k, ok := keys[a]; ok {
		return k
	}
	var e *encoder
	if a.Leaf != nil {
		e = newEncoder("source")
		e.count("outputs", len(a.Leaf))
		for _, name := range sortedKeys(a.Leaf) {
			e.field("output", name)
			e.field("digest", string(a.Leaf[name].Digest()))
		}
	} else {
		e = newRecord(a).encode("definition")
		ins := append([]Input(nil), a.Inputs...)
		sort.Slice(ins, func(i, j int) bool { return ins[i].Name < ins[j].Name })
		e.count("inputs", len(ins))
		for _, in := range ins {
			k, ok := keys[in.Ref.Action]
			if !ok {
				panic(fmt.Sprintf("action: input %s of %s comes from an action without a definition key: it is later in the graph, or of another", in.Name, a.Kernel.Name))
			}
			e.field("input", in.Name)
			e.field("definition", string(k))
			e.field("output", in.Ref.Output)
		}
	}
	keys[a] = e.sum()
	return keys[a]
}

// OriginKey identifies an output by all that its bytes depend on: as a
// definition key, but whatever else the actions on the way are asked for, since
// no output's bytes depend on that. keys holds what earlier calls found.
func OriginKey(ref Ref, keys map[*Action]artifact.Digest) artifact.Digest {
	var of func(a *Action) artifact.Digest
	of = func(a *Action) artifact.Digest {
		if k, ok := keys[a]; ok {
			return k
		}
		if a.Leaf != nil {
			return DefKey(a, keys)
		}
		r := newRecord(a)
		r.Outputs = nil
		e := r.encode("origin")
		ins := append([]Input(nil), a.Inputs...)
		sort.Slice(ins, func(i, j int) bool { return ins[i].Name < ins[j].Name })
		e.count("inputs", len(ins))
		for _, in := range ins {
			e.field("input", in.Name)
			e.field("origin", string(of(in.Ref.Action)))
			e.field("output", in.Ref.Output)
		}
		keys[a] = e.sum()
		return keys[a]
	}
	e := newEncoder("origin of an output")
	e.field("action", string(of(ref.Action)))
	e.field("output", ref.Output)
	return e.sum()
}

func newRecord(a *Action) *KeyRecord {
	params := a.canonical
	if params == nil {
		var err error
		if params, err = canonicalJSON(a.Params); err != nil {
			panic(fmt.Sprintf("action: parameters of %s: %v", a.Kernel.Name, err))
		}
	}
	r := &KeyRecord{Scheme: KeyScheme, Kernel: a.Kernel.Name, Impl: a.Kernel.Impl, Params: params,
		Inputs: make(map[string]artifact.Digest, len(a.Inputs)), Numerics: linalg.NumericsVersion}
	for _, o := range a.Outputs {
		r.Outputs = append(r.Outputs, o.Name)
	}
	sort.Strings(r.Outputs)
	return r
}

// encode begins an encoding with all fields but the inputs.
func (r *KeyRecord) encode(kind string) *encoder {
	e := newEncoder(kind)
	e.field("kernel", r.Kernel)
	e.field("impl", strconv.Itoa(r.Impl))
	e.field("params", string(r.Params))
	e.count("outputs", len(r.Outputs))
	for _, o := range r.Outputs {
		e.field("output", o)
	}
	e.field("numerics", r.Numerics)
	return e
}

// encoder hashes tagged fields. Each tag and each value stands behind its
// length, and each list behind its count, so that no two different lists of
// fields are the same bytes.
type encoder struct{ h hash.Hash }

func newEncoder(kind string) *encoder {
	e := &encoder{sha256.New()}
	e.field("compressc", kind)
	e.field("scheme", strconv.Itoa(KeyScheme))
	return e
}

func (e *encoder) field(tag, value string) {
	e.text(tag)
	e.text(value)
}

func (e *encoder) count(tag string, n int) { e.field(tag, strconv.Itoa(n)) }

func (e *encoder) text(s string) {
	var n [8]byte
	binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
	e.h.Write(n[:])
	e.h.Write([]byte(s))
}

func (e *encoder) sum() artifact.Digest {
	return artifact.Digest(hex.EncodeToString(e.h.Sum(nil)))
}

func sortedKeys[V any](m map[string]V) []string {
	ks := make([]string, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	sort.Strings(ks)
	return ks
}
