package tokenizer

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Those tokenizers that a GGUF file can name go there and back with the same
// digest and ids.
func TestGGUFRoundTrip(t *testing.T) {
	for kind, pre := range map[string]string{"gpt2": "gpt-2", "smollm": "smollm", "llama3": "llama-bpe", "qwen2": "qwen2"} {
		t.Run(kind, func(t *testing.T) {
			tok := goldenTokenizer(t, kind)
			g, err := tok.GGUF()
			if err != nil {
				t.Fatal(err)
			}
			if g.Pre != pre || g.Model != "gpt2" || len(g.Tokens) != tok.VocabSize() || len(g.TokenTypes) != len(g.Tokens) {
				t.Errorf("pre %s, model %s, %d tokens, %d types", g.Pre, g.Model, len(g.Tokens), len(g.TokenTypes))
			}
			if g.AddBOS != (kind == "llama3") {
				t.Errorf("add BOS %t", g.AddBOS)
			}
			for id, kind := range g.TokenTypes {
				if want := tok.IsSpecial(int32(id)); want != (kind == GGUFTokenControl) {
					t.Errorf("token %d (%s) has type %d", id, g.Tokens[id], kind)
				}
			}
			back, err := FromGGUF(g.PadTo(len(g.Tokens) + 7))
			if err != nil {
				t.Fatal(err)
			}
			if back.Digest() != tok.Digest() {
				t.Error("the digest differs")
			}
			if back.VocabSize() != tok.VocabSize() {
				t.Errorf("vocabulary of %d, want %d: unused tokens count", back.VocabSize(), tok.VocabSize())
			}
			for _, l := range libraryLines(t, kind) {
				if got := back.Encode(l.text); !slices.Equal(got, l.ids) {
					t.Errorf("%q: got %v, want %v", l.text, got, l.ids)
				}
			}
			again, err := FromJSON(back.ToJSON())
			if err != nil {
				t.Fatal(err)
			}
			if again.Digest() != tok.Digest() {
				t.Error("the digest differs after GGUF and ToJSON")
			}
		})
	}
}

func TestGGUFOfByteLevel(t *testing.T) {
	g, err := ByteLevel().GGUF()
	if err != nil {
		t.Fatal(err)
	}
	back, err := FromGGUF(g)
	if err != nil {
		t.Fatal(err)
	}
	if back.Digest() != ByteLevel().Digest() || back.bos != 256 || back.eos != 256 {
		t.Errorf("digest %s, BOS %d, EOS %d", back.Digest(), back.bos, back.eos)
	}
}

// The SmolLM2 file's vocabulary comes back key for key, and its
// tokenizer.json means the same.
func TestReferenceGGUFRoundTrip(t *testing.T) {
	tok := smolLM2(t)
	want, err := smolLM2Vocab()
	if err != nil {
		t.Fatal(err)
	}
	got, err := tok.GGUF()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("the vocabulary changed on the way through GGUF")
	}
	again, err := FromJSON(tok.ToJSON())
	if err != nil {
		t.Fatal(err)
	}
	if again.Digest() != tok.Digest() {
		t.Error("tokenizer.json and GGUF have different digests")
	}
	if bos, ok := tok.BOS(); !ok || bos != 1 {
		t.Errorf("BOS %d", bos)
	}
	if eos, ok := tok.EOS(); !ok || eos != 2 {
		t.Errorf("EOS %d", eos)
	}
	if tok.VocabSize() != 49152 {
		t.Errorf("vocabulary of %d, want 49152", tok.VocabSize())
	}
}

func TestGGUFDefaultPreTokenizer(t *testing.T) {
	g, err := ByteLevel().GGUF()
	if err != nil {
		t.Fatal(err)
	}
	g.Pre = ""
	tok, err := FromGGUF(g)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{"ab, c1234 d."}
	for _, st := range tok.stages {
		var next []string
		for _, s := range texts {
			next = append(next, pieces(st.split, s)...)
		}
		texts = next
	}
	// llama.cpp's rules: punctuation, GPT-2's words, digits, digits by threes.
	if want := []string{"ab", ",", " c", "123", "4", " d", "."}; !slices.Equal(texts, want) {
		t.Errorf("pieces %q, want %q", texts, want)
	}
}

func TestFromGGUFErrors(t *testing.T) {
	valid := func() GGUFVocab {
		return GGUFVocab{
			Model: "gpt2", Pre: "smollm", Tokens: []string{"a", "b", "ab", "<s>"}, Merges: []string{"a b"},
			TokenTypes: []int32{1, 1, 1, 3}, BOS: 3, EOS: -1,
		}
	}
	if _, err := FromGGUF(valid()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		edit func(*GGUFVocab)
		want string
	}{
		{"model", func(g *GGUFVocab) { g.Model = "llama" }, `model is "llama"`},
		{"pre", func(g *GGUFVocab) { g.Pre = "viking" }, `pre is "viking", which is not known; known are default, gpt-2, gpt2, llama-bpe, llama-v3, llama3, phi-2, qwen2, smollm, starcoder.`},
		{"types", func(g *GGUFVocab) { g.TokenTypes = g.TokenTypes[1:] }, "4 tokens but 3 token types"},
		{"byte type", func(g *GGUFVocab) { g.TokenTypes[0] = GGUFTokenByte }, "has type 6"},
		{"empty", func(g *GGUFVocab) { g.Tokens, g.TokenTypes = nil, nil }, "tokens is empty"},
		{"double", func(g *GGUFVocab) { g.Tokens[1] = "a" }, `token "a" has two ids`},
		{"ill-formed", func(g *GGUFVocab) { g.Tokens[1] = "\xff" }, "not well-formed UTF-8"},
		{"merge", func(g *GGUFVocab) { g.Merges[0] = "ab" }, `merge 0 is "ab"`},
		{"merge end", func(g *GGUFVocab) { g.Merges[0] = "ab " }, `merge 0 is "ab "`},
		{"merge unknown", func(g *GGUFVocab) { g.Merges[0] = "b a" }, `needs the token "ba"`},
		{"BOS", func(g *GGUFVocab) { g.BOS = 4 }, "BOS or EOS id 4"},
		{"BOS unused", func(g *GGUFVocab) { g.TokenTypes[3] = GGUFTokenUnused }, "BOS or EOS id 3"},
		{"add BOS", func(g *GGUFVocab) { g.BOS, g.AddBOS = -1, true }, "add_bos_token is true"},
	} {
		g := valid()
		tt.edit(&g)
		if _, err := FromGGUF(g); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestGGUFRefuses(t *testing.T) {
	for kind, want := range map[string]string{
		"deepseek": "none of the known names", "prefix": "none of the known names", "falcon": "none of the known names",
		"unk": "unknown token",
	} {
		if _, err := goldenTokenizer(t, kind).GGUF(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", kind, err, want)
		}
	}
	for _, tt := range []struct{ from, to, want string }{
		{`"rstrip":false`, `"rstrip":true`, "rstrip"},
		{`"post_processor":null`, `"post_processor":{"type":"BertProcessing","cls":["<s>",5],"sep":["a",0]}`, "puts ids [5] before and [0] after"},
	} {
		tok, err := FromJSON(tiny(tt.from, tt.to))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tok.GGUF(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("error %v, want %q", err, tt.want)
		}
	}
}

func TestGGUFHoles(t *testing.T) {
	tok, err := FromJSON(tiny(`"id":5`, `"id":7`))
	if err != nil {
		t.Fatal(err)
	}
	g, err := tok.GGUF()
	if err != nil {
		t.Fatal(err)
	}
	if g.Tokens[5] != "[PAD5]" || g.TokenTypes[5] != GGUFTokenUnused || g.Tokens[7] != "<s>" {
		t.Errorf("tokens %q, types %v", g.Tokens, g.TokenTypes)
	}
	back, err := FromGGUF(g)
	if err != nil {
		t.Fatal(err)
	}
	if back.Digest() != tok.Digest() || back.Name(5) != "" || back.Decode([]int32{5}) != "" {
		t.Errorf("token 5 is %q", back.Name(5))
	}
}
