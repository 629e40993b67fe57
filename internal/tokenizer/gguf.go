package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// GGUFVocab is a vocabulary as the tokenizer.ggml.* keys of a GGUF file hold
// it (llama.cpp, docs of gguf and src/llama-vocab.cpp).
type GGUFVocab struct {
	Model      string   // tokenizer.ggml.model: "gpt2" is byte-level BPE
	Pre        string   // tokenizer.ggml.pre names the pre-tokenizer
	Tokens     []string // by id; control and user-defined tokens as plain text
	Merges     []string // by rank, "left right"
	TokenTypes []int32  // by id, one of the GGUFToken constants; may be empty
	BOS, EOS   int      // -1 where there is none
	AddBOS     bool     // put BOS before every text
}

// The values of tokenizer.ggml.token_type.
const (
	GGUFTokenNormal      = 1
	GGUFTokenUnknown     = 2
	GGUFTokenControl     = 3 // a special token
	GGUFTokenUserDefined = 4 // an added token that is not special
	GGUFTokenUnused      = 5 // fills the embedding up; stands for no text
	GGUFTokenByte        = 6
)

// preset is what one value of tokenizer.ggml.pre stands for, in the sections of
// the tokenizer.json that it abbreviates.
type preset struct {
	names        []string // the first is the one written
	normalizer   string
	preTokenizer string
	ignoreMerges bool
}

const gpt2PreTokenizer = `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`

var presets = []preset{
	{names: []string{"gpt-2", "gpt2", "phi-2"}, preTokenizer: gpt2PreTokenizer},
	{
		names: []string{"smollm", "starcoder"},
		preTokenizer: `{"type":"Sequence","pretokenizers":[` +
			`{"type":"Digits","individual_digits":true},` + gpt2PreTokenizer + `]}`,
	},
	{
		names:        []string{"llama-bpe", "llama3", "llama-v3"},
		preTokenizer: splitThenBytes(llama3Regex),
		ignoreMerges: true,
	},
	{
		// llama.cpp leaves out the normal form that the model was trained with.
		names:        []string{"qwen2"},
		normalizer:   `{"type":"NFC"}`,
		preTokenizer: splitThenBytes(qwen2Regex),
	},
	{
		// What llama.cpp does for a file that names nothing.
		names: []string{"default"},
		preTokenizer: `{"type":"Sequence","pretokenizers":[` +
			isolated(`[\p{P}\$\+<=>\^~\|]+`) + "," +
			isolated(`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)`) + "," +
			isolated(`\p{N}+`) + "," +
			isolated(`[0-9][0-9][0-9]`) + "," +
			`{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}`,
	},
}

func isolated(regex string) string {
	return `{"type":"Split","pattern":{"Regex":` + quoteJSON(regex) + `},"behavior":"Isolated","invert":false}`
}

func splitThenBytes(regex string) string {
	return `{"type":"Sequence","pretokenizers":[` + isolated(regex) +
		`,{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]}`
}

func knownPresets() string {
	var all []string
	for _, p := range presets {
		all = append(all, p.names...)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// FromGGUF makes the tokenizer that a GGUF file describes. Control tokens
// become special tokens, user-defined ones added tokens; unused ones are left
// out. An empty Pre means "default". It keeps the strings, not the slices.
func FromGGUF(g GGUFVocab) (*Tokenizer, error) {
	if g.Model != "gpt2" {
		return nil, fmt.Errorf("tokenizer: tokenizer.ggml.model is %s; only \"gpt2\" (byte-level BPE) is supported", quoteShort(g.Model))
	}
	name := g.Pre
	if name == "" {
		name = "default"
	}
	k := slices.IndexFunc(presets, func(p preset) bool { return slices.Contains(p.names, name) })
	if k < 0 {
		return nil, fmt.Errorf("tokenizer: tokenizer.ggml.pre is %s, which is not known; known are %s. Convert the model from its Hugging Face folder instead, where tokenizer.json spells the rules out", quoteShort(g.Pre), knownPresets())
	}
	if len(g.TokenTypes) != 0 && len(g.TokenTypes) != len(g.Tokens) {
		return nil, fmt.Errorf("tokenizer: %d tokens but %d token types; expected as many", len(g.Tokens), len(g.TokenTypes))
	}
	if len(g.Tokens) == 0 {
		return nil, fmt.Errorf("tokenizer: tokenizer.ggml.tokens is empty")
	}
	v := newVocabulary(len(g.Tokens))
	v.ignoreMerges = presets[k].ignoreMerges
	var added []addedToken
	for id, name := range g.Tokens {
		kind := int32(GGUFTokenNormal)
		if len(g.TokenTypes) > 0 {
			kind = g.TokenTypes[id]
		}
		switch kind {
		case GGUFTokenUnused:
			continue
		case GGUFTokenControl:
			added = append(added, addedToken{ID: int32(id), Content: name, Special: true})
		case GGUFTokenUserDefined:
			added = append(added, addedToken{ID: int32(id), Content: name, Normalized: true})
		case GGUFTokenNormal, GGUFTokenUnknown:
		default:
			return nil, fmt.Errorf("tokenizer: token %d (%s) has type %d, which a byte-level vocabulary does not use", id, quoteShort(name), kind)
		}
		if err := v.add(name, id, true); err != nil {
			return nil, err
		}
	}
	merges := make([][2]string, len(g.Merges))
	for i, m := range g.Merges {
		// The left token may itself begin with a space, as llama.cpp reads it.
		cut := -1
		if len(m) > 1 {
			cut = strings.IndexByte(m[1:], ' ') + 1
		}
		if cut <= 0 || cut == len(m)-1 {
			return nil, fmt.Errorf("tokenizer: merge %d is %s; expected two tokens with a space between", i, quoteShort(m))
		}
		merges[i] = [2]string{m[:cut], m[cut+1:]}
	}
	p := parts{
		vocab: v, merges: merges, added: added,
		normalizer:   json.RawMessage(presets[k].normalizer),
		preTokenizer: json.RawMessage(presets[k].preTokenizer),
		decoder:      json.RawMessage(byteLevelDecoder),
	}
	for _, id := range []int{g.BOS, g.EOS} {
		if id < -1 || id >= len(v.names) || id >= 0 && v.names[id] == "" {
			return nil, fmt.Errorf("tokenizer: BOS or EOS id %d is not in the vocabulary of %d tokens", id, len(v.names))
		}
	}
	if g.AddBOS {
		if g.BOS < 0 {
			return nil, fmt.Errorf("tokenizer: tokenizer.ggml.add_bos_token is true, but there is no tokenizer.ggml.bos_token_id")
		}
		p.postProcessor = templateFor(v.names[g.BOS], int32(g.BOS))
	}
	t, err := build(p)
	if err != nil {
		return nil, err
	}
	return t.withEnds(int32(g.BOS), int32(g.EOS)), nil
}

// GGUF returns the vocabulary for a GGUF file, or an error that says what such
// a file cannot express. Ids without a token become unused ones.
func (t *Tokenizer) GGUF() (GGUFVocab, error) {
	g := GGUFVocab{Model: "gpt2", BOS: int(t.bos), EOS: int(t.eos)}
	own := t.rules()
	for _, p := range presets {
		rules, err := p.rules()
		if err != nil {
			return g, err
		}
		if rules == own {
			g.Pre = p.names[0]
			break
		}
	}
	if g.Pre == "" {
		return g, fmt.Errorf("tokenizer: a GGUF file names its pre-tokenizer, and none of the known names (%s) means this one: %s", knownPresets(), own)
	}
	if t.vocab.unk >= 0 {
		return g, fmt.Errorf("tokenizer: a GGUF file with a byte-level vocabulary cannot hold the unknown token %s", quoteShort(t.vocab.names[t.vocab.unk]))
	}
	switch prefix := t.template.prefix; {
	case len(t.template.suffix) > 0 || len(prefix) > 1 || len(prefix) == 1 && prefix[0] != t.bos:
		return g, fmt.Errorf("tokenizer: a GGUF file can say that BOS stands before a text; this tokenizer's template puts ids %v before and %v after it, with BOS %d", prefix, t.template.suffix, t.bos)
	default:
		g.AddBOS = len(prefix) == 1
	}
	g.Tokens = slices.Clone(t.vocab.names)
	g.TokenTypes = make([]int32, len(g.Tokens))
	for id, name := range g.Tokens {
		g.TokenTypes[id] = GGUFTokenNormal
		if name == "" {
			g.Tokens[id], g.TokenTypes[id] = unusedName(id), GGUFTokenUnused
		}
	}
	for _, a := range t.added {
		if a.SingleWord || a.LStrip || a.RStrip {
			return g, fmt.Errorf("tokenizer: a GGUF file cannot hold the added token %s: it asks for single_word, lstrip or rstrip", quoteShort(a.Content))
		}
		g.TokenTypes[a.ID] = GGUFTokenUserDefined
		if a.Special {
			g.TokenTypes[a.ID] = GGUFTokenControl
		}
	}
	g.Merges = make([]string, len(t.vocab.merges))
	for i, m := range t.vocab.merges {
		left, right := t.vocab.names[m.left], t.vocab.names[m.right]
		if strings.Contains(left[1:], " ") || strings.Contains(right, " ") {
			return g, fmt.Errorf("tokenizer: a GGUF file cannot hold the merge of %s and %s: a space separates the two", quoteShort(left), quoteShort(right))
		}
		g.Merges[i] = left + " " + right
	}
	return g, nil
}

func unusedName(id int) string { return fmt.Sprintf("[PAD%d]", id) }

// PadTo returns g filled up with unused tokens to n, the rows of the model's
// embedding, which a GGUF file must match. It copies what it extends.
func (g GGUFVocab) PadTo(n int) GGUFVocab {
	g.Tokens, g.TokenTypes = slices.Clone(g.Tokens), slices.Clone(g.TokenTypes)
	for id := len(g.Tokens); id < n; id++ {
		g.Tokens = append(g.Tokens, unusedName(id))
		g.TokenTypes = append(g.TokenTypes, GGUFTokenUnused)
	}
	return g
}
