package tokenizer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// Digest is the SHA-256, in hex, of a canonical form of all that decides ids:
// vocabulary, merges, added tokens, normaliser, pre-tokenizer and template.
// Equal digests encode equally. A tokenizer.json and a GGUF file of the same
// model have the same digest where they say the same; unused tokens, offsets
// and the decoder do not count, nor do BOS and EOS beyond the template.
func (t *Tokenizer) Digest() string { return t.digest() }

func (t *Tokenizer) computeDigest() string {
	var c canonical
	c.text("compressc tokenizer 1")
	c.text(t.rules())
	c.ids(t.template.prefix)
	c.ids(t.template.suffix)
	c.ids([]int32{t.vocab.unk, flag(t.vocab.fuseUnk && t.vocab.unk >= 0)})
	n := 0
	for _, name := range t.vocab.names {
		if name != "" {
			n++
		}
	}
	c.int(n)
	for id, name := range t.vocab.names {
		if name != "" {
			c.int(id)
			c.text(name)
		}
	}
	c.int(len(t.vocab.merges))
	for _, m := range t.vocab.merges {
		c.ids([]int32{m.left, m.right})
	}
	// Whether tokens are matched before or after normalising is of no effect
	// when nothing is normalised and all are matched at the same time. GPT-2's
	// own file says "normalized" there, others do not.
	ordered := len(t.norms) > 0 || t.raw != nil && t.normed != nil
	c.int(len(t.added))
	for _, a := range t.added {
		c.ids([]int32{a.ID, flag(a.SingleWord), flag(a.LStrip), flag(a.RStrip), flag(a.Special), flag(ordered && a.Normalized)})
	}
	sum := sha256.Sum256(c.buf)
	return hex.EncodeToString(sum[:])
}

// rules describes normaliser, pre-tokenizer and ignore_merges canonically.
func (t *Tokenizer) rules() string { return rulesOf(t.norms, t.stages, t.vocab.ignoreMerges) }

func (p preset) rules() (string, error) {
	norms, err := parseNormalizer(json.RawMessage(p.normalizer), nil, 0)
	if err != nil {
		return "", err
	}
	stages, err := parsePreTokenizer(json.RawMessage(p.preTokenizer))
	if err != nil {
		return "", err
	}
	return rulesOf(norms, stages, p.ignoreMerges), nil
}

func rulesOf(norms []normalizer, stages []stage, ignoreMerges bool) string {
	var parts []string
	for _, n := range norms {
		parts = append(parts, fmt.Sprintf("normalise %q", n.signature))
	}
	for _, s := range stages {
		parts = append(parts, fmt.Sprintf("%q", s.signature))
	}
	if ignoreMerges {
		parts = append(parts, "whole words first")
	}
	return strings.Join(parts, ", ")
}

// canonical is what the digest is taken of, unambiguously: integers as 8 bytes
// little-endian, everything else behind its length.
type canonical struct{ buf []byte }

func (c *canonical) int(n int) { c.buf = binary.LittleEndian.AppendUint64(c.buf, uint64(n)) }

func (c *canonical) text(s string) {
	c.int(len(s))
	c.buf = append(c.buf, s...)
}

func (c *canonical) ids(ids []int32) {
	c.int(len(ids))
	for _, id := range ids {
		c.int(int(id))
	}
}

func flag(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
