package corpus

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/tokenizer"
)

func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpen(t *testing.T) {
	for _, tt := range []struct {
		name, content string
		opts          Options
		docs          []string
		format        string
		replaced      int
	}{
		{"a.txt", "one\r\ntwo\n", Options{}, []string{"one\r\ntwo\n"}, FormatText, 0},
		{"a.md", "\ufeffx", Options{}, []string{"\ufeffx"}, FormatText, 0},
		{"a.json", "{}", Options{Format: FormatText}, []string{"{}"}, FormatText, 0},
		{"a.jsonl", "{\"text\":\"one\\n\"}\r\n\n  \n{\"text\":\"\"}\n{\"id\":1,\"text\":\"two\"}", Options{}, []string{"one\n", "two"}, FormatJSONL, 0},
		{"a.ndjson", "\ufeff{\"body\":\"\\u00e9\\ud83d\\ude00\"}", Options{Field: "body"}, []string{"é😀"}, FormatJSONL, 0},
		{"a.dat", "{\"text\":\"x\"}", Options{Format: FormatJSONL}, []string{"x"}, FormatJSONL, 0},
		// Python: bytes.decode("utf-8", errors="replace") gives the same.
		{"bad.txt", "a\xffb\xe2\x82c\xf0\x9f\x98d\xc0\x80\xed\xa0\x80e\xe2\x82", Options{}, []string{"a\ufffdb\ufffdc\ufffdd\ufffd\ufffd\ufffd\ufffd\ufffde\ufffd"}, FormatText, 9},
		{"bad.jsonl", "{\"text\":\"a\xe2\x82b\ufffd\"}", Options{}, []string{"a\ufffdb\ufffd"}, FormatJSONL, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Open(write(t, tt.name, tt.content), tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(c.Documents, tt.docs) {
				t.Errorf("documents %q, want %q", c.Documents, tt.docs)
			}
			if c.Format != tt.format || c.Replaced != tt.replaced || c.Bytes != int64(len(tt.content)) || len(c.Digest) != 64 {
				t.Errorf("format %s, replaced %d, bytes %d, digest %s", c.Format, c.Replaced, c.Bytes, c.Digest)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	for _, tt := range []struct {
		name, content string
		opts          Options
		want          string // all of it must be in the message, split at |
	}{
		{"empty.txt", "", Options{}, "empty.txt holds no text"},
		{"empty.jsonl", "\n\n", Options{}, "empty.jsonl holds no text"},
		{"blank.jsonl", "{\"text\":\"\"}\n", Options{}, "holds no text"},
		{"a.jsonl", "{\"text\":\"x\"}\n\n{\"text\":\"y\"", Options{}, "a.jsonl:3: not valid JSON|unexpected end|each line must be one object"},
		{"b.jsonl", "[\"x\"]\n", Options{}, "b.jsonl:1: the line is an array; expected an object"},
		{"c.jsonl", "\"x\"\n", Options{}, "c.jsonl:1: the line is a string"},
		{"n.jsonl", "null\n", Options{}, "n.jsonl:1: the line is null"},
		{"d.jsonl", "{\"text\":\"x\"}\n{\"body\":\"y\",\"id\":2}\n", Options{}, "d.jsonl:2: there is no field \"text\"|\"body\", \"id\"|field = "},
		{"e.jsonl", "{\"text\":3}\n", Options{}, "e.jsonl:1: field \"text\" is a number; expected a string"},
		{"f.jsonl", "{\"text\":null}\n", Options{}, "field \"text\" is null; expected a string"},
		{"g.jsonl", "{}\n", Options{}, "the object is empty"},
		{"h.json", "{}", Options{}, "the extension .json|format = \"jsonl\""},
		{"i.txt", "x", Options{Format: "xml"}, "format \"xml\" is unknown"},
		{"j.txt", "x", Options{Field: "text"}, "has no field \"text\""},
		{"k.parquet", "PAR1\x00", Options{}, "not a Parquet file"},
		{"k.txt", "PAR1\x00", Options{}, "is a Parquet file"},
		{"l.txt.gz", "\x1f\x8b\x08", Options{}, "gzip-compressed: unpack it first"},
		{"m.txt", "\xff\xfea\x00", Options{}, "UTF-16"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(write(t, tt.name, tt.content), tt.opts)
			if err == nil {
				t.Fatal("no error")
			}
			for part := range strings.SplitSeq(tt.want, "|") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q does not say %q", err, part)
				}
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none.txt"), Options{}); !os.IsNotExist(unwrap(err)) {
		t.Errorf("a missing file gives %v", err)
	}
}

func TestParse(t *testing.T) {
	raw := []byte("{\"text\":\"x\"}\n")
	c, err := Parse("a.jsonl", raw, Options{})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(write(t, "a.jsonl", string(raw)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	clear(raw)
	if !slices.Equal(c.Documents, []string{"x"}) || c.Digest != opened.Digest || c.Format != FormatJSONL {
		t.Errorf("parsed %+v, opened %+v", c, opened)
	}
	if _, err := Parse("a.txt", []byte("x"), Options{Field: "text"}); err == nil || !strings.Contains(err.Error(), "has no field") {
		t.Errorf("a field of text: %v", err)
	}
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return err
}

func TestEncode(t *testing.T) {
	tok := tokenizer.ByteLevel()
	bare, err := tok.WithEnds(-1, -1)
	if err != nil {
		t.Fatal(err)
	}
	two := write(t, "two.jsonl", "{\"text\":\"ab\"}\n{\"text\":\"c<|endoftext|>\"}\n{\"text\":\"d\"}\n")
	c, err := Open(two, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := c.Encode(tok)
	if err != nil {
		t.Fatal(err)
	}
	// No second EOS where the document ends in one, and none at the end.
	if want := []int32{'a', 'b', 256, 'c', 256, 'd'}; !slices.Equal(ids, want) {
		t.Errorf("ids %v, want %v", ids, want)
	}
	if _, err := c.Encode(bare); err == nil || !strings.Contains(err.Error(), "3 documents") {
		t.Errorf("without EOS: %v", err)
	}
	one, err := Open(write(t, "one.txt", "ab"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if ids, err = one.Encode(bare); err != nil || !slices.Equal(ids, []int32{'a', 'b'}) {
		t.Errorf("one document: %v, %v", ids, err)
	}
}

func FuzzReadLines(f *testing.F) {
	f.Add("{\"text\":\"one\"}\n{\"text\":\"two\"}\n", "text")
	f.Add("\ufeff{\"a\":null}\r\n[]\n", "a")
	f.Add("{\"a\":\"\\ud800\"}\n\x00", "a")
	f.Fuzz(func(t *testing.T, content, field string) {
		raw, _ := wellFormed([]byte(content))
		docs, err := readLines("f", raw, field)
		if err != nil {
			if docs != nil {
				t.Error("documents beside an error")
			}
			return
		}
		if lines := strings.Count(content, "\n") + 1; len(docs) > lines {
			t.Errorf("%d documents from %d lines", len(docs), lines)
		}
		for _, d := range docs {
			if d == "" {
				t.Error("empty document")
			}
		}
	})
}
