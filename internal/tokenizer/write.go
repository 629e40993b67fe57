package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// byteLevelDecoder is the decoder section of every byte-level tokenizer.
const byteLevelDecoder = `{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}`

// ToJSON writes a tokenizer.json, laid out as the Rust library lays it out: a
// file written by that library comes back byte for byte, but for settings of
// truncation and padding. FromJSON(t.ToJSON()) equals t, except for BOS and
// EOS, which ConfigJSON holds.
func (t *Tokenizer) ToJSON() []byte {
	var b bytes.Buffer
	b.WriteString("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": ")
	added := make([]json.RawMessage, len(t.added))
	for i, a := range t.added {
		added[i] = fmt.Appendf(nil, `{"id":%d,"content":%s,"single_word":%t,"lstrip":%t,"rstrip":%t,"normalized":%t,"special":%t}`,
			a.ID, quoteJSON(a.Content), a.SingleWord, a.LStrip, a.RStrip, a.Normalized, a.Special)
	}
	writeSection(&b, append(append([]byte("["), bytes.Join(rawSlices(added), []byte(","))...), ']'))
	for _, s := range []struct {
		key string
		raw json.RawMessage
	}{
		{"normalizer", t.normalizerJSON},
		{"pre_tokenizer", t.preTokenizerJSON},
		{"post_processor", t.postProcessorJSON},
		{"decoder", t.decoderJSON},
	} {
		fmt.Fprintf(&b, ",\n  %q: ", s.key)
		writeSection(&b, s.raw)
	}
	b.WriteString(",\n  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null")
	for _, f := range []struct {
		key   string
		value *string
	}{
		{"unk_token", t.unkName},
		{"continuing_subword_prefix", t.subwordPrefix},
		{"end_of_word_suffix", t.wordSuffix},
	} {
		value := "null"
		if f.value != nil {
			value = quoteJSON(*f.value)
		}
		fmt.Fprintf(&b, ",\n    %q: %s", f.key, value)
	}
	fmt.Fprintf(&b, ",\n    \"fuse_unk\": %t,\n    \"byte_fallback\": false,\n    \"ignore_merges\": %t", t.vocab.fuseUnk, t.vocab.ignoreMerges)
	b.WriteString(",\n    \"vocab\": {")
	sep := "\n      "
	for id, name := range t.vocab.names {
		if !t.vocab.inModel[id] {
			continue
		}
		b.WriteString(sep)
		b.WriteString(quoteJSON(name))
		b.WriteString(": ")
		b.WriteString(strconv.Itoa(id))
		sep = ",\n      "
	}
	b.WriteString("\n    },\n    \"merges\": [")
	sep = "\n      "
	for _, m := range t.vocab.merges {
		b.WriteString(sep)
		fmt.Fprintf(&b, "[\n        %s,\n        %s\n      ]", quoteJSON(t.vocab.names[m.left]), quoteJSON(t.vocab.names[m.right]))
		sep = ",\n      "
	}
	if len(t.vocab.merges) > 0 {
		b.WriteString("\n    ")
	}
	b.WriteString("]\n  }\n}")
	return b.Bytes()
}

// MarshalJSON is ToJSON for encoding/json.
func (t *Tokenizer) MarshalJSON() ([]byte, error) { return t.ToJSON(), nil }

// ConfigJSON writes the tokenizer_config.json that goes beside ToJSON so that
// transformers loads the pair as a PreTrainedTokenizerFast.
func (t *Tokenizer) ConfigJSON() []byte {
	name := func(id int32) string {
		if id < 0 {
			return "null"
		}
		return quoteJSON(t.vocab.names[id])
	}
	return fmt.Appendf(nil, "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"bos_token\": %s,\n  \"eos_token\": %s,\n  \"clean_up_tokenization_spaces\": false\n}\n",
		name(t.bos), name(t.eos))
}

func rawSlices(raw []json.RawMessage) [][]byte {
	out := make([][]byte, len(raw))
	for i, r := range raw {
		out[i] = r
	}
	return out
}

// writeSection writes raw JSON at the second level of indentation.
func writeSection(b *bytes.Buffer, raw json.RawMessage) {
	if isNull(raw) {
		b.WriteString("null")
		return
	}
	// The sections were read by, or made for, encoding/json: they are well formed.
	if err := json.Indent(b, bytes.TrimSpace(raw), "  ", "  "); err != nil {
		panic("tokenizer: section of tokenizer.json: " + err.Error())
	}
}

// quoteJSON quotes s as the Rust library does: only what JSON requires is
// escaped. Names are well-formed UTF-8, which both readers see to.
func quoteJSON(s string) string {
	const hex = "0123456789abcdef"
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, w := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += w
			continue
		}
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			if c < 0x20 {
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			} else {
				b = append(b, c)
			}
		}
		i++
	}
	return string(append(b, '"'))
}
