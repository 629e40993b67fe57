package tokenizer

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// In parallel, in small pieces, the ids are those of one goroutine.
func TestParallelMatchesSerial(t *testing.T) {
	for _, kind := range goldenKinds(t) {
		tok := goldenTokenizer(t, kind)
		rapid.Check(t, func(t *rapid.T) {
			text := strings.Join(rapid.SliceOfN(hostileText(), 0, 8).Draw(t, "texts"), " go on ")
			special := rapid.Bool().Draw(t, "special")
			tok.chunk = chunkBytes
			serial := tok.encode(text, special, 1)
			tok.chunk = rapid.IntRange(1, 40).Draw(t, "chunk")
			if got := tok.encode(text, special, 3); !slices.Equal(got, serial) {
				t.Fatalf("%s, chunks of %d: %q:\n got %v\nwant %v", kind, tok.chunk, text, tok.names(got), tok.names(serial))
			}
		})
	}
}

// The kinds that are meant to be cut are, the others are not.
func TestParallelSafe(t *testing.T) {
	want := map[string]bool{"gpt2": true, "prefix": true, "smollm": true, "llama3": true, "qwen2": true, "falcon": false, "deepseek": false, "inverted": false, "added": true}
	for kind, safe := range want {
		if got := goldenTokenizer(t, kind).parallel; got != safe {
			t.Errorf("%s: parallel %t, want %t", kind, got, safe)
		}
	}
	// A regex that runs on spelled text sees a space as a letter and does not cut
	// before it.
	spelled, err := parsePreTokenizer([]byte(`{"type":"Sequence","pretokenizers":[{"type":"ByteLevel","add_prefix_space":false,"use_regex":false},` + isolated(gpt2Regex) + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := pieces(spelled[0].split, "ab cd."); !slices.Equal(got, []string{"ab cd", "."}) {
		t.Errorf("pieces of spelled text %q", got)
	}
	if parallelSafe(spelled) {
		t.Error("spelled text is cut at spaces")
	}
	if i := safeCut("ab c d1 e é f g", 3); i != 4 {
		t.Errorf("cut at %d, want 4", i)
	}
	if i := safeCut("ab 1 é ", 0); i != -1 {
		t.Errorf("cut at %d, want none", i)
	}
}

func TestEncodeBatch(t *testing.T) {
	tok := goldenTokenizer(t, "llama3")
	tok.chunk = 20
	var texts []string
	for _, l := range libraryLines(t, "llama3") {
		texts = append(texts, l.text)
	}
	for i, ids := range tok.EncodeBatch(texts) {
		if want := tok.Encode(texts[i]); !slices.Equal(ids, want) {
			t.Errorf("text %d: got %v, want %v", i, ids, want)
		}
	}
	if got := tok.EncodeBatch(nil); len(got) != 0 {
		t.Errorf("no texts give %v", got)
	}
}

// lossless are the kinds that neither normalise, add nor drop text.
var lossless = []string{"gpt2", "smollm", "llama3", "deepseek", "falcon", "merged"}

func TestDecodeInvertsEncode(t *testing.T) {
	toks := []*Tokenizer{ByteLevel()}
	for _, kind := range lossless {
		toks = append(toks, goldenTokenizer(t, kind))
	}
	for _, tok := range toks {
		rapid.Check(t, func(t *rapid.T) {
			text := hostileText().Draw(t, "text") + string(rapid.SliceOfN(rapid.Byte(), 0, 6).Draw(t, "bytes"))
			ids := tok.EncodeSpecial(text, rapid.Bool().Draw(t, "special"))
			prefix, suffix := tok.Template()
			ids = ids[len(prefix) : len(ids)-len(suffix)]
			if got := tok.Decode(ids); got != text {
				t.Fatalf("%q decodes to %q", text, got)
			}
			cut := rapid.IntRange(0, len(ids)).Draw(t, "cut")
			if got := tok.Decode(ids[:cut]) + tok.Decode(ids[cut:]); got != text {
				t.Fatalf("%q decodes in two parts to %q", text, got)
			}
			for _, id := range ids {
				if id < 0 || int(id) >= tok.VocabSize() {
					t.Fatalf("id %d outside the vocabulary", id)
				}
			}
		})
	}
}

func TestDecodeIgnoresForeignIDs(t *testing.T) {
	if got := ByteLevel().Decode([]int32{-1, 'a', 257, 1 << 30, 256}); got != "a<|endoftext|>" {
		t.Errorf("got %q", got)
	}
}

func TestByteLevel(t *testing.T) {
	tok := ByteLevel()
	if tok.VocabSize() != 257 {
		t.Errorf("vocabulary of %d, want 257", tok.VocabSize())
	}
	all := make([]byte, 256)
	want := make([]int32, 256)
	for i := range all {
		all[i], want[i] = byte(i), int32(i)
	}
	if got := tok.Encode(string(all)); !slices.Equal(got, want) {
		t.Errorf("all bytes give %v", got)
	}
	if got := tok.Encode("a<|endoftext|>b"); !slices.Equal(got, []int32{'a', 256, 'b'}) {
		t.Errorf("got %v", got)
	}
	if got := tok.EncodeSpecial("<|endoftext|>", false); tok.Decode(got) != EndOfText || len(got) != len(EndOfText) {
		t.Errorf("as text: %v", got)
	}
	for _, end := range []func() (int32, bool){tok.BOS, tok.EOS} {
		if id, ok := end(); id != 256 || !ok {
			t.Errorf("BOS or EOS is %d, %t", id, ok)
		}
	}
	if again := ByteLevel(); again.Digest() != tok.Digest() {
		t.Error("two ByteLevel tokenizers have different digests")
	}
}

func FuzzEncodeDecode(f *testing.F) {
	kinds := map[string]*Tokenizer{"bytes": ByteLevel()}
	for _, kind := range lossless {
		kinds[kind] = goldenTokenizer(f, kind)
	}
	names := []string{"bytes", "gpt2", "smollm", "llama3", "deepseek", "falcon", "merged"}
	for i, l := range libraryLines(f, "smollm") {
		f.Add(l.text, uint8(i), uint8(i*7))
	}
	f.Add("a\xff \xe2\x82 b", uint8(3), uint8(2))
	f.Fuzz(func(t *testing.T, text string, kind, chunk uint8) {
		tok := kinds[names[int(kind)%len(names)]]
		ids := tok.encode(text, true, 1)
		prefix, suffix := tok.Template()
		if got := tok.Decode(ids[len(prefix) : len(ids)-len(suffix)]); got != text {
			t.Fatalf("%q decodes to %q", text, got)
		}
		small := tok.withEnds(-1, -1)
		small.chunk = int(chunk) + 1
		if got := small.encode(text, true, 2); !slices.Equal(got, ids) {
			t.Fatalf("%q in chunks of %d: %v, not %v", text, small.chunk, got, ids)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	text := strings.Repeat("The fox and the hound went there, and then returned in 1999; they're the same.\n\n", 25000)
	for _, kind := range []string{"gpt2", "smollm", "llama3"} {
		tok := goldenTokenizer(b, kind)
		for name, workers := range map[string]int{"serial": 1, "parallel": 8} {
			b.Run(kind+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					tok.encode(text, true, workers)
				}
			})
		}
	}
}
