package tokenizer

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// tiny is a small valid tokenizer.json; edit changes it for a test.
func tiny(edits ...string) []byte {
	s := `{"version":"1.0","added_tokens":[{"id":5,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],` +
		`"normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},"post_processor":null,"decoder":null,` +
		`"model":{"type":"BPE","unk_token":null,"vocab":{"a":0,"b":1,"ab":2,"Ġ":3,"Ġab":4},"merges":["a b","Ġ ab"]}}`
	return []byte(strings.NewReplacer(edits...).Replace(s))
}

func TestFromJSON(t *testing.T) {
	legacy, err := FromJSON(tiny())
	if err != nil {
		t.Fatal(err)
	}
	if got := legacy.Encode("ab ab<s>b?"); !slices.Equal(got, []int32{2, 4, 5, 1}) {
		t.Errorf("ids %v", got)
	}
	if legacy.VocabSize() != 6 {
		t.Errorf("vocabulary of %d, want 6", legacy.VocabSize())
	}
	pairs, err := FromJSON(tiny(`"a b","Ġ ab"`, ` [ "a" , "b" ], ["Ġ","ab"]`))
	if err != nil {
		t.Fatal(err)
	}
	if pairs.Digest() != legacy.Digest() {
		t.Error("the two spellings of merges give different digests")
	}
	untyped, err := FromJSON(append([]byte("\ufeff"), tiny(`"type":"BPE",`, "")...))
	if err != nil {
		t.Fatal(err)
	}
	if untyped.Digest() != legacy.Digest() {
		t.Error("a model without a type gives another digest")
	}
	raw := tiny()
	copied, err := FromJSON(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := string(copied.ToJSON())
	clear(raw)
	if string(copied.ToJSON()) != want {
		t.Error("the tokenizer holds on to the bytes it was read from")
	}
}

func TestFromJSONErrors(t *testing.T) {
	for _, tt := range []struct{ name, from, to, want string }{
		{"cut off", `}}`, ``, "not a tokenizer.json"},
		{"version", `"1.0"`, `"2.0"`, `version "2.0"`},
		{"no model", `"model"`, `"modell"`, "no model section"},
		{"unigram", `"BPE"`, `"Unigram"`, `type "Unigram"; only byte-level BPE`},
		{"no vocabulary", `"a":0,"b":1,"ab":2,"Ġ":3,"Ġab":4`, ``, "vocabulary is empty"},
		{"byte fallback", `"unk_token"`, `"byte_fallback":true,"unk_token"`, "byte_fallback"},
		{"dropout", `"unk_token"`, `"dropout":0.1,"unk_token"`, "dropout 0.1"},
		{"prefix", `"unk_token"`, `"continuing_subword_prefix":"##","unk_token"`, `continuing_subword_prefix "##"`},
		{"suffix", `"unk_token"`, `"end_of_word_suffix":"</w>","unk_token"`, `end_of_word_suffix "</w>"`},
		{"unknown token", `"unk_token":null`, `"unk_token":"<unk>"`, `unk_token "<unk>" is not in the vocabulary`},
		{"double id", `"b":1`, `"b":0`, "id 0 belongs to both"},
		{"negative id", `"b":1`, `"b":-1`, "id -1; ids must lie in"},
		{"huge id", `"b":1`, `"b":123456789`, "id 123456789; ids must lie in"},
		{"empty token", `"b":1`, `"":1`, "token 1 is empty"},
		{"added id", `"id":5`, `"id":4`, "id 4 belongs to both"},
		{"added elsewhere", `"content":"<s>"`, `"content":"ab"`, `token "ab" has two ids`},
		{"merge of unknown", `"a b"`, `"a c"`, `needs the token "c"`},
		{"merge into unknown", `"a b"`, `"b a"`, `needs the token "ba"`},
		{"merge of one", `"a b"`, `"ab"`, `merge 0 is "ab"; expected two tokens`},
		{"merge of three", `"a b"`, `"a b c"`, "expected two tokens"},
		{"merge triple", `"a b","Ġ ab"`, `["a","b","c"]`, "expected two tokens"},
		{"mixed merges", `"Ġ ab"`, `["Ġ","ab"]`, "cannot unmarshal"},
		{"no pre-tokenizer", `"pre_tokenizer"`, `"pre_tokenizers"`, "no ByteLevel pre-tokenizer"},
		{"other pre-tokenizer", `"ByteLevel"`, `"Metaspace"`, `pre-tokenizer "Metaspace" is not supported`},
		{"regex", `{"type":"ByteLevel"`, `{"type":"Split","pattern":{"Regex":"a++"},"behavior":"Isolated","invert":false}, "x":{"type":"ByteLevel"`, "possessive"},
		{"no pattern", `{"type":"ByteLevel"`, `{"type":"Split","pattern":{},"behavior":"Isolated"}, "x":{"type":"ByteLevel"`, "no pattern"},
		{"behavior", `{"type":"ByteLevel"`, `{"type":"Split","pattern":{"String":"a"},"behavior":"Sideways"}, "x":{"type":"ByteLevel"`, `behavior "Sideways"`},
		{"twice", `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`, `{"type":"Sequence","pretokenizers":[{"type":"ByteLevel"},{"type":"ByteLevel"}]}`, "ByteLevel twice"},
		{"normalizer", `"normalizer":null`, `"normalizer":{"type":"Precompiled"}`, `normalizer "Precompiled" is not supported`},
		{"replace", `"normalizer":null`, `"normalizer":{"type":"Replace","pattern":{"Regex":"a"},"content":"b"}`, "given as Regex"},
		{"nesting", `"normalizer":null`, `"normalizer":` + strings.Repeat(`{"type":"Sequence","normalizers":[`, 20) + strings.Repeat(`]}`, 20), "nest deeper"},
		{"post-processor", `"post_processor":null`, `"post_processor":{"type":"Other"}`, `post-processor "Other" is not supported`},
		{"template id", `"post_processor":null`, `"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}],"special_tokens":{"<s>":{"ids":[6]}}}`, "template uses id 6"},
		{"template name", `"post_processor":null`, `"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<t>"}},{"Sequence":{"id":"A"}}],"special_tokens":{}}`, `special token "<t>"`},
		{"template text", `"post_processor":null`, `"post_processor":{"type":"TemplateProcessing","single":[],"special_tokens":{}}`, "text 0 times"},
		{"cls", `"post_processor":null`, `"post_processor":{"type":"BertProcessing","cls":["<s>",5]}`, "needs cls and sep"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := tiny(tt.from, tt.to)
			if bytes.Equal(raw, tiny()) {
				t.Fatal("the edit changes nothing")
			}
			_, err := FromJSON(raw)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestTemplates(t *testing.T) {
	const bos = `{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"a","type_id":0}}],"special_tokens":{"<s>":{"id":"<s>","ids":[5],"tokens":["<s>"]},"a":{"ids":[0,1]}}}`
	for _, tt := range []struct {
		name, post     string
		prefix, suffix []int32
	}{
		{"none", `null`, nil, nil},
		{"template", bos, []int32{5}, []int32{0, 1}},
		{"sequence", `{"type":"Sequence","processors":[{"type":"ByteLevel"},` + bos + `]}`, []int32{5}, []int32{0, 1}},
		{"nested", `{"type":"Sequence","processors":[{"type":"RobertaProcessing","sep":["b",1],"cls":["a",0]},` + bos + `]}`, []int32{5, 0}, []int32{1, 0, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tok, err := FromJSON(tiny(`"post_processor":null`, `"post_processor":`+tt.post))
			if err != nil {
				t.Fatal(err)
			}
			prefix, suffix := tok.Template()
			if !slices.Equal(prefix, tt.prefix) || !slices.Equal(suffix, tt.suffix) {
				t.Errorf("template %v … %v, want %v … %v", prefix, suffix, tt.prefix, tt.suffix)
			}
			if got, want := tok.Encode("ab"), slices.Concat(tt.prefix, []int32{2}, tt.suffix); !slices.Equal(got, want) {
				t.Errorf("ids %v, want %v", got, want)
			}
			if got, want := tok.Encode(""), slices.Concat(tt.prefix, tt.suffix); !slices.Equal(got, want) {
				t.Errorf("ids of nothing %v, want %v", got, want)
			}
			if id, ok := tok.BOS(); ok != (len(tt.prefix) == 1) || ok && id != 5 {
				t.Errorf("BOS %d, %t", id, ok)
			}
		})
	}
}

func TestWithConfig(t *testing.T) {
	tok, err := FromJSON(tiny())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := tok.EOS(); ok {
		t.Error("an EOS was made up")
	}
	for _, tt := range []struct {
		config   string
		bos, eos int32
		wantErr  string
	}{
		{`{}`, -1, -1, ""},
		{`{"bos_token":null,"eos_token":"<s>"}`, -1, 5, ""},
		{`{"bos_token":{"__type":"AddedToken","content":"<s>","lstrip":false},"eos_token":"ab"}`, 5, 2, ""},
		{`{"eos_token":"</s>"}`, 0, 0, `eos_token "</s>" is not in the vocabulary`},
		{`{"bos_token":3}`, 0, 0, "bos_token is neither"},
		{`[`, 0, 0, "not a tokenizer_config.json"},
	} {
		got, err := tok.WithConfig([]byte(tt.config))
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%s: error %v, want %q", tt.config, err, tt.wantErr)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.config, err)
			continue
		}
		bos, _ := got.BOS()
		eos, _ := got.EOS()
		if bos != tt.bos || eos != tt.eos {
			t.Errorf("%s: BOS %d, EOS %d, want %d, %d", tt.config, bos, eos, tt.bos, tt.eos)
		}
		if got.Digest() != tok.Digest() {
			t.Errorf("%s: the digest changed", tt.config)
		}
		again, err := tok.WithConfig(got.ConfigJSON())
		if err != nil {
			t.Fatal(err)
		}
		if again.bos != got.bos || again.eos != got.eos {
			t.Errorf("%s: ConfigJSON gives BOS %d, EOS %d", tt.config, again.bos, again.eos)
		}
	}
	for _, id := range []int{-2, 6} {
		if _, err := tok.WithEnds(id, 0); err == nil {
			t.Errorf("BOS %d was accepted", id)
		}
	}
	if again, err := FromJSON([]byte(goldenFile(t, "smollm"))); err != nil {
		t.Fatal(err)
	} else if id, ok := again.EOS(); !ok || again.Name(id) != EndOfText {
		t.Errorf("EOS by its usual name: %d, %t", id, ok)
	}
}

func TestMarshalJSON(t *testing.T) {
	tok := goldenTokenizer(t, "added")
	raw, err := json.Marshal(map[string]any{"tokenizer": tok})
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ Tokenizer json.RawMessage }
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	again, err := FromJSON(back.Tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest() != tok.Digest() {
		t.Error("digest changed")
	}
}

// What decides ids is in the digest; what does not is not.
func TestDigestScope(t *testing.T) {
	base, err := FromJSON(tiny())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, from, to string
		same           bool
	}{
		{"offsets", `"trim_offsets":true`, `"trim_offsets":false`, true},
		{"decoder", `"decoder":null`, `"decoder":{"type":"ByteLevel"}`, true},
		{"sequence of one", `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`, `{"type":"Sequence","pretokenizers":[{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}]}`, true},
		{"the same regex", `{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true}`, `{"type":"Sequence","pretokenizers":[` + isolated(gpt2RegexFactored) + `,{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}`, true},
		{"all matched at the same time", `"normalized":false`, `"normalized":true`, true},
		{"in the model too", `"Ġab":4`, `"Ġab":4,"<s>":5`, true},
		{"prefix space", `"add_prefix_space":false`, `"add_prefix_space":true`, false},
		{"regex", `"use_regex":true`, `"use_regex":false`, false},
		{"normalizer", `"normalizer":null`, `"normalizer":{"type":"NFC"}`, false},
		{"rank", `"a b","Ġ ab"`, `"Ġ ab","a b"`, false},
		{"merge", `"a b","Ġ ab"`, `"a b"`, false},
		{"name", `"<s>"`, `"<t>"`, false},
		{"id", `"id":5`, `"id":6`, false},
		{"special", `"special":true`, `"special":false`, false},
		{"lstrip", `"lstrip":false`, `"lstrip":true`, false},
		{"whole words", `"unk_token"`, `"ignore_merges":true,"unk_token"`, false},
		{"unknown token", `"unk_token":null`, `"unk_token":"a"`, false},
		{"template", `"post_processor":null`, `"post_processor":` + string(templateFor("<s>", 5)), false},
	} {
		tok, err := FromJSON(tiny(tt.from, tt.to))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if same := tok.Digest() == base.Digest(); same != tt.same {
			t.Errorf("%s: same digest %t, want %t", tt.name, same, tt.same)
		}
	}
}

func FuzzFromJSON(f *testing.F) {
	f.Add(tiny())
	f.Add(tiny(`"normalizer":null`, `"normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Lowercase"},{"type":"Strip"},{"type":"Replace","pattern":{"String":"a"},"content":"b"},{"type":"Prepend","prepend":"_"}]}`))
	f.Add(tiny(`"post_processor":null`, `"post_processor":`+string(templateFor("<s>", 5))))
	f.Add(tiny(`"normalized":false`, `"normalized":true`, `"lstrip":false`, `"lstrip":true`, `"rstrip":false`, `"rstrip":true`))
	f.Add(tiny(`{"type":"ByteLevel"`, `{"type":"Sequence","pretokenizers":[{"type":"Punctuation"},{"type":"Digits","individual_digits":true},{"type":"Split","pattern":{"String":"a"},"behavior":"MergedWithNext","invert":true},{"type":"ByteLevel"}]}, "x":{"type":"ByteLevel"`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tok, err := FromJSON(raw)
		if err != nil {
			return
		}
		again, err := FromJSON(tok.ToJSON())
		if err != nil {
			t.Fatalf("ToJSON cannot be read back: %v", err)
		}
		if again.Digest() != tok.Digest() {
			t.Fatal("digest changed on the way through ToJSON")
		}
		if bytes.Contains(raw, []byte("Regex")) {
			return // a pattern may take exponential time
		}
		const text = "ab  <s> a1.b é\xff"
		if got, want := again.Encode(text), tok.Encode(text); !slices.Equal(got, want) {
			t.Fatalf("ids %v before, %v after ToJSON", want, got)
		}
		if g, err := tok.GGUF(); err == nil {
			back, err := FromGGUF(g)
			if err != nil {
				t.Fatalf("GGUF cannot be read back: %v", err)
			}
			if got, want := back.Encode(text), tok.Encode(text); !slices.Equal(got, want) {
				t.Fatalf("ids %v before, %v after GGUF", want, got)
			}
		}
	})
}
