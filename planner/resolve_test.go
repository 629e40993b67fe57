package planner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/tokenizer"
	"github.com/compressc/compressc/lang"
)

// A data block without a tokenizer is made of bytes: a new model can be trained
// before there is any tokenizer, and its length is known before it is read.
func TestDataWithoutTokenizerIsBytes(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte(strings.Repeat("word ", 100)), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &Resolver{Dir: dir}
	d, ds := r.Data("data.a", &lang.DataArgs{Source: "a.txt", SequenceLength: 32, Offset: 5, Select: "first"}, 0)
	if ds.HasErrors() {
		t.Fatal(ds)
	}
	if want := tokenizer.ByteLevel().Digest(); d.Type.Tokenizer != want {
		t.Errorf("tokenizer %s, expected that of bytes, %s", d.Type.Tokenizer, want)
	}
	if want := 500/32 - 5; d.Type.Windows != want {
		t.Errorf("%d windows, expected %d", d.Type.Windows, want)
	}
}

// Equal texts of tokenizers have one digest, others their own, and one that does
// not parse is reported each time.
func TestTokenizerOfCheckpoints(t *testing.T) {
	r := &Resolver{}
	want := tokenizer.ByteLevel()
	text := want.ToJSON()
	for _, c := range []struct {
		text   string
		digest string
	}{
		{string(text), want.Digest()}, {string(text), want.Digest()}, {"{", ""}, {"{", ""}, {string(text) + "\n", want.Digest()},
	} {
		got, err := r.tokenizer(&checkpoint.Checkpoint{TokenizerJSON: []byte(c.text)})
		if got != c.digest || (err != nil) != (c.digest == "") {
			t.Errorf("%.20q: %q, %v; expected %q", c.text, got, err, c.digest)
		}
	}
}

// A field or a column that the file's format does not have is said to be of no
// effect, whether the format was given or goes by the file's ending.
func TestFieldsOfOtherFormats(t *testing.T) {
	dir := t.TempDir()
	for name, body := range map[string]string{"a.txt": "words and words", "a.jsonl": `{"body": "words and words"}` + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		source, format, field, column string
		arg, says                     string // of the one warning; "" for none
	}{
		{"a.txt", "", "text", "text", "", ""},
		{"a.txt", "", "body", "text", "field", `a.txt is read as text; field is for jsonl. Remove it, or say format = "jsonl".`},
		{"a.txt", "text", "body", "text", "field", `Remove it.`},
		{"a.txt", "", "text", "body", "column", `or say format = "parquet"`},
		{"a.txt", "jsonl", "body", "text", "", ""},
		{"a.jsonl", "", "body", "text", "", ""},
		{"a.jsonl", "", "body", "body", "column", `a.jsonl is read as jsonl; column is for parquet. Remove it.`},
		{"a.jsonl", "", "text", "body", "column", `Expected field = "body".`},
		{"gone.parquet", "", "body", "text", "", ""}, // which is said instead
	} {
		r := &Resolver{Dir: dir}
		_, ds := r.Data("data.a", &lang.DataArgs{Source: c.source, Format: c.format, Field: c.field, Column: c.column, SequenceLength: 4, Select: "first"}, 0)
		var got []string
		for _, d := range ds {
			if d.Severity == diag.Warning {
				got = append(got, d.Arg+": "+d.Detail)
			}
		}
		switch {
		case c.arg == "" && len(got) == 0:
		case c.arg != "" && len(got) == 1 && strings.HasPrefix(got[0], c.arg+": ") && strings.Contains(got[0], c.says):
		default:
			t.Errorf("%s as %q with field %q and column %q: %q; expected %s: %s", c.source, c.format, c.field, c.column, got, c.arg, c.says)
		}
	}
}
