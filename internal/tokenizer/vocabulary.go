package tokenizer

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// maxTokens bounds the ids a vocabulary may use. The largest published
// vocabularies have about 260,000; the bound keeps a damaged file from asking
// for gigabytes.
const maxTokens = 1 << 22

// vocabulary holds the tokens and merges of a BPE model, added tokens included.
type vocabulary struct {
	names   []string         // by id, as the file spells them; "" is a hole
	text    []string         // by id, the bytes a token stands for
	ids     map[string]int32 // by name
	inModel []bool           // by id: listed in the model, not only as an added token

	merges []merge              // by rank
	joins  map[uint64]mergeInto // by pair
	byteID [256]int32           // id of each single byte, -1 where there is none
	whole  map[string]int32     // model tokens by their bytes; nil unless ignoreMerges

	// ignoreMerges: a word that is itself a token becomes that token.
	ignoreMerges bool
	// unk replaces bytes without a token, -1 drops them; fuseUnk makes a run of
	// such bytes one token.
	unk     int32
	fuseUnk bool
}

type merge struct{ left, right, into int32 }

type mergeInto struct{ rank, id int32 }

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

func newVocabulary(size int) *vocabulary {
	return &vocabulary{
		names:   make([]string, 0, size),
		inModel: make([]bool, 0, size),
		ids:     make(map[string]int32, size),
		unk:     -1,
	}
}

// add enters a token, or confirms one already entered.
func (v *vocabulary) add(name string, id int, model bool) error {
	switch {
	case id < 0 || id >= maxTokens:
		return fmt.Errorf("tokenizer: token %s has id %d; ids must lie in 0…%d", quoteShort(name), id, maxTokens-1)
	case name == "":
		return fmt.Errorf("tokenizer: token %d is empty; every token needs at least one character", id)
	case !utf8.ValidString(name):
		return fmt.Errorf("tokenizer: token %d is %s, which is not well-formed UTF-8", id, quoteShort(name))
	}
	if old, ok := v.ids[name]; ok {
		if int(old) != id {
			return fmt.Errorf("tokenizer: token %s has two ids, %d and %d; each token may stand once", quoteShort(name), old, id)
		}
		v.inModel[id] = v.inModel[id] || model
		return nil
	}
	for len(v.names) <= id {
		v.names = append(v.names, "")
		v.inModel = append(v.inModel, false)
	}
	if v.names[id] != "" {
		return fmt.Errorf("tokenizer: id %d belongs to both %s and %s; ids must be unique", id, quoteShort(v.names[id]), quoteShort(name))
	}
	v.names[id] = name
	v.inModel[id] = model
	v.ids[name] = int32(id)
	return nil
}

// finish derives the tables for encoding and decoding. pairs are the merges by
// rank; isAdded tells the tokens whose name is their text.
func (v *vocabulary) finish(pairs [][2]string, isAdded func(id int32) bool) error {
	v.text = make([]string, len(v.names))
	for b := range v.byteID {
		v.byteID[b] = -1
	}
	if v.ignoreMerges {
		v.whole = make(map[string]int32, len(v.names))
	}
	for id, name := range v.names {
		raw, spelled := unspell(name)
		if !spelled || isAdded(int32(id)) {
			v.text[id] = name
		} else {
			v.text[id] = raw
		}
		if !v.inModel[id] || !spelled {
			continue
		}
		if len(raw) == 1 {
			v.byteID[raw[0]] = int32(id)
		}
		if v.ignoreMerges {
			v.whole[raw] = int32(id)
		}
	}
	v.merges = make([]merge, len(pairs))
	v.joins = make(map[uint64]mergeInto, len(pairs))
	for rank, p := range pairs {
		m := merge{}
		for _, part := range []struct {
			name string
			to   *int32
		}{{p[0], &m.left}, {p[1], &m.right}, {p[0] + p[1], &m.into}} {
			id, ok := v.ids[part.name]
			if !ok || !v.inModel[id] {
				return fmt.Errorf("tokenizer: merge %d (%s + %s) needs the token %s, which the vocabulary lacks; the file is damaged or was edited by hand",
					rank, quoteShort(p[0]), quoteShort(p[1]), quoteShort(part.name))
			}
			*part.to = id
		}
		v.merges[rank] = m
		// A pair listed twice counts at its last rank, as in the Rust library.
		v.joins[pairKey(m.left, m.right)] = mergeInto{rank: int32(rank), id: m.into}
	}
	if len(v.joins) != len(v.merges) {
		kept := v.merges[:0]
		for rank, m := range v.merges {
			if v.joins[pairKey(m.left, m.right)].rank == int32(rank) {
				kept = append(kept, m)
			}
		}
		v.merges = kept
		for rank, m := range kept {
			v.joins[pairKey(m.left, m.right)] = mergeInto{rank: int32(rank), id: m.into}
		}
	}
	return nil
}

// quoteShort quotes s for an error message, cut to a readable length.
func quoteShort(s string) string {
	const limit = 60
	if len(s) > limit {
		return strconv.Quote(s[:limit]) + "…"
	}
	return strconv.Quote(s)
}
