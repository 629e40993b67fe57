package tokenizer

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"sync"
)

// Tokenizer encodes text as token ids and decodes ids as text. It is immutable
// and safe for concurrent use. Make one with FromJSON, FromGGUF or ByteLevel.
type Tokenizer struct {
	vocab       *vocabulary
	added       []addedToken // by id
	raw, normed *matcher     // of added tokens matched before and after normalisation
	norms       []normalizer
	stages      []stage
	parallel    bool // long texts may be cut, see parallelSafe
	chunk       int  // bytes in a piece of a long text; two of them make a text long
	template    template
	bos, eos    int32 // -1 where unknown

	// The sections of tokenizer.json that stand for the fields above.
	normalizerJSON, preTokenizerJSON, postProcessorJSON, decoderJSON json.RawMessage
	unkName, subwordPrefix, wordSuffix                               *string

	encoders sync.Pool // of *encoder
	digest   func() string
}

// parts is what every way of making a tokenizer gathers before build.
type parts struct {
	vocab  *vocabulary
	merges [][2]string
	added  []addedToken

	normalizer, preTokenizer, postProcessor, decoder json.RawMessage
	unkName, subwordPrefix, wordSuffix               *string
}

// build checks the parts together and derives everything else.
func build(p parts) (*Tokenizer, error) {
	t := &Tokenizer{
		vocab: p.vocab, added: p.added, chunk: chunkBytes, bos: -1, eos: -1,
		normalizerJSON: p.normalizer, preTokenizerJSON: p.preTokenizer,
		postProcessorJSON: p.postProcessor, decoderJSON: p.decoder,
		unkName: p.unkName, subwordPrefix: p.subwordPrefix, wordSuffix: p.wordSuffix,
	}
	slices.SortFunc(t.added, func(a, b addedToken) int { return cmp.Compare(a.ID, b.ID) })
	isAdded := make(map[int32]bool, len(p.added))
	for _, a := range p.added {
		isAdded[a.ID] = true
	}
	if err := t.vocab.finish(p.merges, func(id int32) bool { return isAdded[id] }); err != nil {
		return nil, err
	}
	var err error
	if t.norms, err = parseNormalizer(p.normalizer, nil, 0); err != nil {
		return nil, err
	}
	if t.stages, err = parsePreTokenizer(p.preTokenizer); err != nil {
		return nil, err
	}
	t.parallel = parallelSafe(t.stages)
	if t.template, err = parseTemplate(p.postProcessor, template{}, len(t.vocab.names), 0); err != nil {
		return nil, err
	}
	t.indexAdded()
	t.guessEnds()
	t.encoders.New = func() any { return newEncoder(t) }
	t.digest = sync.OnceValue(t.computeDigest)
	return t, nil
}

func (t *Tokenizer) indexAdded() {
	var rawTokens, normTokens []addedToken
	var rawPatterns, normPatterns []string
	for _, a := range t.added {
		if a.Normalized {
			normTokens = append(normTokens, a)
			normPatterns = append(normPatterns, t.normalize(a.Content))
		} else {
			rawTokens = append(rawTokens, a)
			rawPatterns = append(rawPatterns, a.Content)
		}
	}
	t.raw = newMatcher(rawTokens, rawPatterns)
	t.normed = newMatcher(normTokens, normPatterns)
}

func (t *Tokenizer) normalize(s string) string {
	for _, n := range t.norms {
		s = n.apply(s)
	}
	return s
}

// endNames are the special tokens that by convention end a document, in order
// of preference, for files that do not say which one does.
var endNames = []string{"<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|im_end|>", "<|eot_id|>"}

// guessEnds fills BOS from the template and EOS from the usual names.
func (t *Tokenizer) guessEnds() {
	if len(t.template.prefix) == 1 {
		t.bos = t.template.prefix[0]
	}
	for _, name := range endNames {
		if id, ok := t.vocab.ids[name]; ok && t.IsSpecial(id) {
			t.eos = id
			return
		}
	}
}

// VocabSize is one more than the highest id. A model's embedding may have more
// rows than that.
func (t *Tokenizer) VocabSize() int { return len(t.vocab.names) }

// ID returns the id of a token by its name: added tokens by their text, others
// spelled in the byte alphabet ("Ġthe").
func (t *Tokenizer) ID(name string) (int32, bool) {
	id, ok := t.vocab.ids[name]
	return id, ok
}

// Name returns the token of an id as the vocabulary spells it, or "" when no
// token has that id.
func (t *Tokenizer) Name(id int32) string {
	if id < 0 || int(id) >= len(t.vocab.names) {
		return ""
	}
	return t.vocab.names[id]
}

// IsSpecial reports whether id is a special token.
func (t *Tokenizer) IsSpecial(id int32) bool {
	i, ok := slices.BinarySearchFunc(t.added, id, func(a addedToken, id int32) int { return cmp.Compare(a.ID, id) })
	return ok && t.added[i].Special
}

// BOS returns the beginning-of-text id, if it is known.
func (t *Tokenizer) BOS() (int32, bool) { return t.bos, t.bos >= 0 }

// EOS returns the end-of-text id, if it is known. A tokenizer.json does not
// name it: see WithConfig. Without a config it is the special token with one of
// the usual names, such as <|endoftext|> or </s>.
func (t *Tokenizer) EOS() (int32, bool) { return t.eos, t.eos >= 0 }

// Template returns copies of the ids that Encode puts before and after a text.
func (t *Tokenizer) Template() (prefix, suffix []int32) {
	return append([]int32(nil), t.template.prefix...), append([]int32(nil), t.template.suffix...)
}

// Decode returns the bytes that ids stand for, special tokens as their text.
// Ids outside the vocabulary stand for nothing. The bytes need not be
// well-formed UTF-8: a token may end inside a character, so only
// Decode(a) + Decode(b) = Decode(a followed by b) holds in general.
func (t *Tokenizer) Decode(ids []int32) string {
	var sb strings.Builder
	for _, id := range ids {
		if id >= 0 && int(id) < len(t.vocab.text) {
			sb.WriteString(t.vocab.text[id])
		}
	}
	return sb.String()
}
