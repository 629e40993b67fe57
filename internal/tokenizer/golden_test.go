package tokenizer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// goldenDir holds what golden.py wrote; COMPRESSC_TOKENIZER_GOLDEN names
// another folder, for runs over many more lines than are kept here.
func goldenDir() string {
	if dir := os.Getenv("COMPRESSC_TOKENIZER_GOLDEN"); dir != "" {
		return dir
	}
	return "testdata"
}

func goldenKinds(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(goldenDir(), "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files in %s: %v", goldenDir(), err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".jsonl")
	}
	return files
}

func goldenFile(t testing.TB, kind string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(goldenDir(), kind+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func goldenTokenizer(t testing.TB, kind string) *Tokenizer {
	t.Helper()
	tok, err := FromJSON(goldenFile(t, kind))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// libraryLine is a line of KIND.jsonl: the text, its ids, and its ids with
// special tokens taken as text.
type libraryLine struct {
	text       string
	ids, plain []int32
}

func (l *libraryLine) UnmarshalJSON(raw []byte) error {
	fields := []any{&l.text, &l.ids, &l.plain}
	return json.Unmarshal(raw, &fields)
}

func libraryLines(t testing.TB, kind string) []libraryLine {
	t.Helper()
	f, err := os.Open(filepath.Join(goldenDir(), kind+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var lines []libraryLine
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var l libraryLine
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// The ids of the Rust library, for every kind of rule.
func TestLibraryIDs(t *testing.T) {
	for _, kind := range goldenKinds(t) {
		t.Run(kind, func(t *testing.T) {
			tok := goldenTokenizer(t, kind)
			lines := libraryLines(t, kind)
			if len(lines) < 100 {
				t.Fatalf("only %d lines", len(lines))
			}
			bad := 0
			check := func(what, text string, got, want []int32) {
				if slices.Equal(got, want) {
					return
				}
				if bad++; bad <= 5 {
					t.Errorf("%s of %q (%+q):\n got %v\nwant %v", what, text, text, tok.names(got), tok.names(want))
				}
			}
			for _, l := range lines {
				check("ids", l.text, tok.Encode(l.text), l.ids)
				check("ids without special tokens", l.text, tok.EncodeSpecial(l.text, false), l.plain)
			}
			if bad > 5 {
				t.Errorf("%d of %d differ", bad, 2*len(lines))
			}
		})
	}
}

func (t *Tokenizer) names(ids []int32) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = t.Name(id)
	}
	return out
}

// What the Rust library saved comes back byte for byte.
func TestToJSONMatchesLibrary(t *testing.T) {
	for _, kind := range goldenKinds(t) {
		t.Run(kind, func(t *testing.T) {
			raw := goldenFile(t, kind)
			tok := goldenTokenizer(t, kind)
			got := tok.ToJSON()
			if !bytes.Equal(got, raw) {
				at := 0
				for at < len(got) && at < len(raw) && got[at] == raw[at] {
					at++
				}
				t.Fatalf("differs at byte %d:\n got …%s\nwant …%s", at, got[max(at-60, 0):min(at+60, len(got))], raw[max(at-60, 0):min(at+60, len(raw))])
			}
			again, err := FromJSON(got)
			if err != nil {
				t.Fatal(err)
			}
			if again.Digest() != tok.Digest() {
				t.Error("digest changed on the way through ToJSON")
			}
		})
	}
}

// Different rules or vocabularies have different digests.
func TestDigestsDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, kind := range goldenKinds(t) {
		d := goldenTokenizer(t, kind).Digest()
		if len(d) != 64 {
			t.Errorf("%s: digest %q", kind, d)
		}
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have the same digest", kind, other)
		}
		seen[d] = kind
	}
}
