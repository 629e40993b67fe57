package corpus

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"
)

type parquetRow struct {
	ID   int64    `parquet:"id"`
	Text *string  `parquet:"text,optional,dict"`
	Body string   `parquet:"body"`
	Tags []string `parquet:"tags,list"`
}

// parquetFile writes rows, a row group each so many.
func parquetFile(t testing.TB, rows []parquetRow, group int, options ...parquet.WriterOption) []byte {
	var out bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&out, options...)
	for part := range slices.Chunk(rows, group) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What is read of a column is what was written, whatever the row groups and the
// compression.
func TestParquetRoundTrip(t *testing.T) {
	codecs := []parquet.WriterOption{parquet.Compression(&parquet.Uncompressed), parquet.Compression(&parquet.Snappy),
		parquet.Compression(&parquet.Zstd), parquet.Compression(&parquet.Gzip)}
	rapid.Check(t, func(r *rapid.T) {
		var rows []parquetRow
		var texts, bodies []string
		for i := range rapid.IntRange(1, 600).Draw(r, "rows") {
			row := parquetRow{ID: int64(i), Body: rapid.SampledFrom([]string{"", "a", "wörter", strings.Repeat("long ", 300)}).Draw(r, "body")}
			if rapid.Bool().Draw(r, "has") {
				s := rapid.SampledFrom([]string{"x", "yz", ""}).Draw(r, "text")
				if row.Text = &s; s != "" {
					texts = append(texts, s)
				}
			}
			if row.Body != "" {
				bodies = append(bodies, row.Body)
			}
			rows = append(rows, row)
		}
		raw := parquetFile(t, rows, rapid.IntRange(1, 700).Draw(r, "group"), rapid.SampledFrom(codecs).Draw(r, "codec"))
		for column, want := range map[string][]string{"text": texts, "body": bodies} {
			if len(want) == 0 {
				continue
			}
			c, err := Parse("f.parquet", raw, Options{Field: column})
			if err != nil {
				r.Fatal(err)
			}
			if !slices.Equal(c.Documents, want) {
				r.Fatalf("%s: %q, want %q", column, c.Documents, want)
			}
			if n, err := ParquetColumn(bytes.NewReader(raw), int64(len(raw)), column); err != nil || n <= 0 {
				r.Fatalf("%s: %d bytes, %v", column, n, err)
			}
		}
	})
}

func TestParquetMistakes(t *testing.T) {
	raw := parquetFile(t, []parquetRow{{Body: "some text"}}, 1)
	for _, c := range []struct{ column, want string }{
		{"bodi", `there is no column "bodi". Did you mean "body"? Its columns are id, text, body, tags`},
		{"id", `the column "id" does not hold a text a row; those that do are text, body`},
		{"tags", `the column "tags" does not hold a text a row`},
	} {
		if _, err := Parse("f.parquet", raw, Options{Field: c.column}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.column, err, c.want)
		}
	}
	if _, err := Parse("f.parquet", raw[:len(raw)-9], Options{}); err == nil || !strings.Contains(err.Error(), "not a Parquet file") {
		t.Errorf("a file cut short: %v", err)
	}
	if _, err := Parse("f.parquet", raw, Options{}); err == nil || !strings.Contains(err.Error(), "holds no text") {
		t.Errorf("a column without texts: %v", err)
	}
}

// A byte that is not what it was makes an error, other text, or nothing different:
// no panic, and no room for what the file only says it holds.
func TestDamagedParquet(t *testing.T) {
	word := "word"
	raw := parquetFile(t, []parquetRow{{Text: &word, Body: "b"}, {Body: "c"}}, 1)
	for i := range raw {
		for _, b := range []byte{0xff, 0, raw[i] ^ 0x80, raw[i] ^ 0x10, raw[i] + 1} {
			damaged := bytes.Clone(raw)
			damaged[i] = b
			if c, err := Parse("f.parquet", damaged, Options{}); err == nil && len(c.Documents) == 0 {
				t.Errorf("byte %d is %#x: no documents and no error", i, b)
			}
		}
	}
	long := bytes.Clone(raw)
	binary.LittleEndian.PutUint32(long[len(long)-8:], 0xff000301)
	if _, err := Parse("f.parquet", long, Options{}); err == nil || !strings.Contains(err.Error(), "its footer would be 4278190849 bytes long") {
		t.Errorf("a footer longer than the file: %v", err)
	}
	packed := parquetFile(t, []parquetRow{{Text: &word}}, 1, parquet.Compression(&parquet.Lz4Raw))
	if _, err := Parse("f.parquet", packed, Options{}); err == nil || !strings.Contains(err.Error(), "compressed with LZ4") {
		t.Errorf("LZ4: %v", err)
	}
}

// FuzzParquet: whatever the bytes are, there are documents or an error.
func FuzzParquet(f *testing.F) {
	word := "word"
	f.Add(parquetFile(f, []parquetRow{{Text: &word, Body: "b"}, {Body: "c"}}, 1))
	f.Add([]byte("PAR1PAR1"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if c, err := Parse("f.parquet", raw, Options{}); err == nil && len(c.Documents) == 0 {
			t.Error("no documents and no error")
		}
	})
}
