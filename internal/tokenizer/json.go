package tokenizer

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// fileJSON is a tokenizer.json of version 1.0.
type fileJSON struct {
	Version       string          `json:"version"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         *modelJSON      `json:"model"`
}

type modelJSON struct {
	Type          string         `json:"type"`
	Dropout       *float64       `json:"dropout"`
	UnkToken      *string        `json:"unk_token"`
	SubwordPrefix *string        `json:"continuing_subword_prefix"`
	WordSuffix    *string        `json:"end_of_word_suffix"`
	FuseUnk       bool           `json:"fuse_unk"`
	ByteFallback  bool           `json:"byte_fallback"`
	IgnoreMerges  bool           `json:"ignore_merges"`
	Vocab         map[string]int `json:"vocab"`
	Merges        mergesJSON     `json:"merges"`
}

// mergesJSON are the merges by rank: written as ["a", "b"], or in older files
// as "a b".
type mergesJSON [][2]string

// UnmarshalJSON reads either spelling.
func (m *mergesJSON) UnmarshalJSON(raw []byte) error {
	var err error
	*m, err = parseMerges(raw)
	return err
}

func parseMerges(raw []byte) ([][2]string, error) {
	if isNull(raw) {
		return nil, nil
	}
	inner := bytes.TrimLeft(raw, "[ \t\r\n")
	if len(inner) > 0 && inner[0] == '"' && bytes.IndexByte(raw, '[') == bytes.LastIndexByte(raw[:len(raw)-len(inner)], '[') {
		var lines []string
		if err := json.Unmarshal(raw, &lines); err != nil {
			return nil, err
		}
		out := make([][2]string, len(lines))
		for i, line := range lines {
			left, right, ok := strings.Cut(line, " ")
			if !ok || left == "" || right == "" || strings.Contains(right, " ") {
				return nil, fmt.Errorf("merge %d is %s; expected two tokens with one space between", i, quoteShort(line))
			}
			out[i] = [2]string{left, right}
		}
		return out, nil
	}
	var pairs [][]string
	if err := json.Unmarshal(raw, &pairs); err != nil {
		return nil, err
	}
	out := make([][2]string, len(pairs))
	for i, p := range pairs {
		if len(p) != 2 || p[0] == "" || p[1] == "" {
			return nil, fmt.Errorf("merge %d is %q; expected two tokens", i, p)
		}
		out[i] = [2]string{p[0], p[1]}
	}
	return out, nil
}

func isNull(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || string(raw) == "null"
}

// FromJSON reads a Hugging Face tokenizer.json that holds a byte-level BPE
// model. Settings for truncation and padding are ignored. It keeps no reference
// to raw. What it cannot honour exactly, it refuses.
func FromJSON(raw []byte) (*Tokenizer, error) {
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	var j fileJSON
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, fmt.Errorf("tokenizer: not a tokenizer.json: %w", err)
	}
	if j.Version != "" && j.Version != "1.0" {
		return nil, fmt.Errorf("tokenizer: tokenizer.json has version %s; only 1.0 is known", quoteShort(j.Version))
	}
	m := j.Model
	switch {
	case m == nil:
		return nil, fmt.Errorf("tokenizer: not a tokenizer.json: it has no model section")
	case m.Type != "BPE" && m.Type != "": // old files leave the type out
		return nil, fmt.Errorf("tokenizer: the model is of type %s; only byte-level BPE is supported", quoteShort(m.Type))
	case len(m.Vocab) == 0:
		return nil, fmt.Errorf("tokenizer: the model's vocabulary is empty; a BPE model needs vocab and merges")
	case m.ByteFallback:
		return nil, fmt.Errorf("tokenizer: the model falls back to bytes (byte_fallback), as SentencePiece models do; only byte-level BPE is supported")
	case m.Dropout != nil && *m.Dropout != 0:
		return nil, fmt.Errorf("tokenizer: the model drops merges at random (dropout %g); set dropout to null", *m.Dropout)
	case m.SubwordPrefix != nil && *m.SubwordPrefix != "":
		return nil, fmt.Errorf("tokenizer: continuing_subword_prefix %s is not supported", quoteShort(*m.SubwordPrefix))
	case m.WordSuffix != nil && *m.WordSuffix != "":
		return nil, fmt.Errorf("tokenizer: end_of_word_suffix %s is not supported", quoteShort(*m.WordSuffix))
	}
	v := newVocabulary(len(m.Vocab) + len(j.AddedTokens))
	v.ignoreMerges, v.fuseUnk = m.IgnoreMerges, m.FuseUnk
	// In order of id, so that of several bad entries the error names the same
	// one every time.
	names := slices.SortedFunc(maps.Keys(m.Vocab), func(a, b string) int {
		return cmp.Or(cmp.Compare(m.Vocab[a], m.Vocab[b]), strings.Compare(a, b))
	})
	for _, name := range names {
		if err := v.add(name, m.Vocab[name], true); err != nil {
			return nil, err
		}
	}
	added := make([]addedToken, 0, len(j.AddedTokens))
	seen := make(map[int32]bool, len(j.AddedTokens))
	for _, a := range j.AddedTokens {
		if a.Content == "" {
			continue
		}
		if err := v.add(a.Content, int(a.ID), false); err != nil {
			return nil, err
		}
		if seen[a.ID] {
			return nil, fmt.Errorf("tokenizer: the added token %s (id %d) stands twice", quoteShort(a.Content), a.ID)
		}
		seen[a.ID] = true
		added = append(added, a)
	}
	if m.UnkToken != nil && *m.UnkToken != "" {
		id, ok := v.ids[*m.UnkToken]
		if !ok {
			return nil, fmt.Errorf("tokenizer: unk_token %s is not in the vocabulary", quoteShort(*m.UnkToken))
		}
		v.unk = id
	}
	return build(parts{
		vocab: v, merges: m.Merges, added: added,
		normalizer: bytes.Clone(j.Normalizer), preTokenizer: bytes.Clone(j.PreTokenizer),
		postProcessor: bytes.Clone(j.PostProcessor), decoder: bytes.Clone(j.Decoder),
		unkName: m.UnkToken, subwordPrefix: m.SubwordPrefix, wordSuffix: m.WordSuffix,
	})
}

// WithConfig returns a copy of t whose BOS and EOS are those that a
// tokenizer_config.json names; where it names none, t's stay. It does not touch
// the template: which tokens Encode adds is up to tokenizer.json.
func (t *Tokenizer) WithConfig(raw []byte) (*Tokenizer, error) {
	var j struct {
		BOS json.RawMessage `json:"bos_token"`
		EOS json.RawMessage `json:"eos_token"`
	}
	if err := json.Unmarshal(raw, &j); err != nil {
		return nil, fmt.Errorf("tokenizer: not a tokenizer_config.json: %w", err)
	}
	bos, eos := t.bos, t.eos
	for _, f := range []struct {
		key string
		raw json.RawMessage
		to  *int32
	}{{"bos_token", j.BOS, &bos}, {"eos_token", j.EOS, &eos}} {
		if isNull(f.raw) {
			continue
		}
		var name string
		if json.Unmarshal(f.raw, &name) != nil {
			var token struct {
				Content string `json:"content"`
			}
			if err := json.Unmarshal(f.raw, &token); err != nil {
				return nil, fmt.Errorf("tokenizer: tokenizer_config.json: %s is neither a string nor an object with content: %w", f.key, err)
			}
			name = token.Content
		}
		id, ok := t.vocab.ids[name]
		if !ok {
			return nil, fmt.Errorf("tokenizer: tokenizer_config.json: %s %s is not in the vocabulary; do the two files belong together?", f.key, quoteShort(name))
		}
		*f.to = id
	}
	return t.withEnds(bos, eos), nil
}

// WithEnds returns a copy of t with the given BOS and EOS ids, -1 for none, for
// sources that name them elsewhere (a model's config.json). An id outside the
// vocabulary is an error.
func (t *Tokenizer) WithEnds(bos, eos int) (*Tokenizer, error) {
	for _, id := range []int{bos, eos} {
		if id < -1 || id >= len(t.vocab.names) {
			return nil, fmt.Errorf("tokenizer: BOS or EOS id %d lies outside the vocabulary of %d tokens", id, len(t.vocab.names))
		}
	}
	return t.withEnds(int32(bos), int32(eos)), nil
}

func (t *Tokenizer) withEnds(bos, eos int32) *Tokenizer {
	c := &Tokenizer{
		vocab: t.vocab, added: t.added, raw: t.raw, normed: t.normed,
		norms: t.norms, stages: t.stages, parallel: t.parallel, chunk: t.chunk, template: t.template,
		bos: bos, eos: eos,
		normalizerJSON: t.normalizerJSON, preTokenizerJSON: t.preTokenizerJSON,
		postProcessorJSON: t.postProcessorJSON, decoderJSON: t.decoderJSON,
		unkName: t.unkName, subwordPrefix: t.subwordPrefix, wordSuffix: t.wordSuffix,
		digest: t.digest, // BOS and EOS are not part of it
	}
	c.encoders.New = func() any { return newEncoder(c) }
	return c
}
