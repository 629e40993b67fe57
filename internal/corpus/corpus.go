package corpus

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"

	"github.com/compressc/compressc/internal/tokenizer"
)

// The formats Open reads.
const (
	// FormatAuto goes by the file's extension: .jsonl and .ndjson are JSON Lines,
	// .parquet is Parquet, everything else but .json, which may be anything, is text.
	FormatAuto = "auto"
	// FormatText: the file is one document. Line ends and a byte order mark stay
	// as they are.
	FormatText = "text"
	// FormatJSONL: each line is a JSON object, a string field of it the document.
	// Blank lines, and lines whose field is empty, are no documents.
	FormatJSONL = "jsonl"
	// FormatParquet: a column of texts, each row's a document.
	FormatParquet = "parquet"
)

// DefaultField is the field of a JSON Lines file, or the column of a Parquet file,
// that is read when none is named.
const DefaultField = "text"

// Options says how to read a file.
type Options struct {
	Format string // one of the Format constants; "" means FormatAuto
	Field  string // JSON Lines and Parquet only; "" means DefaultField
}

// Corpus is a text file, read whole. It is immutable and safe for concurrent
// use.
type Corpus struct {
	Path      string
	Format    string   // FormatText, FormatJSONL or FormatParquet
	Documents []string // in file order, none empty, well-formed UTF-8; read-only
	Digest    string   // SHA-256 of the file's bytes, in hex
	Bytes     int64    // size of the file
	Replaced  int      // ill-formed sequences that became U+FFFD
}

// Open reads the file at path.
func Open(path string, opts Options) (*Corpus, error) {
	if _, err := formatOf(path, opts); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	return Parse(path, raw, opts)
}

// Parse is Open for bytes that have been read; path serves messages and the
// automatic format. It does not keep raw.
func Parse(path string, raw []byte, opts Options) (*Corpus, error) {
	format, err := formatOf(path, opts)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	c := &Corpus{Path: path, Format: format, Digest: hex.EncodeToString(sum[:]), Bytes: int64(len(raw))}
	field := opts.Field
	if field == "" {
		field = DefaultField
	}
	if format == FormatParquet {
		if c.Documents, c.Replaced, err = readParquet(path, raw, field); err != nil {
			return nil, err
		}
	} else if err := c.readUTF8(raw, field); err != nil {
		return nil, err
	}
	if len(c.Documents) == 0 {
		return nil, fmt.Errorf("corpus: %s holds no text; give a file with text in it", path)
	}
	return c, nil
}

// readUTF8 reads text and JSON Lines.
func (c *Corpus) readUTF8(raw []byte, field string) (err error) {
	if kind := binaryKind(raw); kind != "" {
		return fmt.Errorf("corpus: %s is %s; expected UTF-8 %s", c.Path, kind, map[string]string{FormatText: "text", FormatJSONL: "JSON Lines"}[c.Format])
	}
	raw, c.Replaced = wellFormed(raw)
	if c.Format == FormatJSONL {
		c.Documents, err = readLines(c.Path, raw, field)
		return err
	}
	if len(raw) > 0 {
		c.Documents = []string{string(raw)}
	}
	return nil
}

func formatOf(path string, opts Options) (string, error) {
	format := opts.Format
	switch format {
	case FormatText, FormatJSONL, FormatParquet:
	case FormatAuto, "":
		switch strings.ToLower(filepath.Ext(path)) {
		case ".jsonl", ".ndjson":
			format = FormatJSONL
		case ".parquet":
			format = FormatParquet
		case ".json":
			return "", fmt.Errorf("corpus: %s: the extension .json does not tell how to read it; set format = %q if each line is an object, or %q", path, FormatJSONL, FormatText)
		default:
			format = FormatText
		}
	default:
		return "", fmt.Errorf("corpus: format %q is unknown; expected %q, %q, %q or %q", format, FormatAuto, FormatText, FormatJSONL, FormatParquet)
	}
	if format == FormatText && opts.Field != "" {
		return "", fmt.Errorf("corpus: %s is read as text, which has no field %q; leave field out or set format = %q", path, opts.Field, FormatJSONL)
	}
	return format, nil
}

// binaryKind names files that are certainly not UTF-8 text by how they begin.
func binaryKind(raw []byte) string {
	for _, k := range []struct{ magic, kind string }{
		{"PAR1", "a Parquet file: leave format out, or set format = \"parquet\""},
		{"\x1f\x8b", "gzip-compressed: unpack it first"},
		{"\x28\xb5\x2f\xfd", "zstd-compressed: unpack it first"},
		{"PK\x03\x04", "a zip file: unpack it first"},
		{"\xff\xfe", "UTF-16 text: convert it first"},
		{"\xfe\xff", "UTF-16 text: convert it first"},
	} {
		if bytes.HasPrefix(raw, []byte(k.magic)) {
			return k.kind
		}
	}
	return ""
}

// wellFormed replaces ill-formed sequences and says how many there were.
func wellFormed(raw []byte) ([]byte, int) {
	if utf8.Valid(raw) {
		return raw, 0
	}
	fixed, err := unicode.UTF8.NewDecoder().Bytes(raw)
	if err != nil {
		panic("corpus: the UTF-8 decoder, which replaces whatever is wrong, failed: " + err.Error())
	}
	mark := []byte("\ufffd")
	return fixed, bytes.Count(fixed, mark) - bytes.Count(raw, mark)
}

// Encode returns the stream of ids. It fails when there are several documents
// and the tokenizer knows no end-of-text token to put between them.
func (c *Corpus) Encode(t *tokenizer.Tokenizer) ([]int32, error) {
	if len(c.Documents) == 1 {
		return t.Encode(c.Documents[0]), nil
	}
	eos, ok := t.EOS()
	if !ok {
		return nil, fmt.Errorf("corpus: %s has %d documents, but the tokenizer names no end-of-text token to put between them; add eos_token to its tokenizer_config.json", c.Path, len(c.Documents))
	}
	encoded := t.EncodeBatch(c.Documents)
	n := 0
	for _, ids := range encoded {
		n += len(ids) + 1
	}
	stream := make([]int32, 0, n)
	for i, ids := range encoded {
		stream = append(stream, ids...)
		if i+1 < len(encoded) && (len(ids) == 0 || ids[len(ids)-1] != eos) {
			stream = append(stream, eos)
		}
	}
	return stream, nil
}
