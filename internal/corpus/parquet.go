package corpus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/compressc/compressc/internal/didyoumean"
)

// ParquetColumn checks, from the end of a Parquet file alone, that a column holds
// texts. It returns about how many bytes of text that is.
func ParquetColumn(r io.ReaderAt, size int64, column string) (bytes int64, err error) {
	defer catch(&err)
	f, c, err := textColumn(r, size, column)
	if err != nil {
		return 0, err
	}
	for _, g := range f.Metadata().RowGroups {
		if i := c.Index(); i < len(g.Columns) {
			bytes += g.Columns[i].MetaData.TotalUncompressedSize
		}
	}
	return bytes, nil
}

// catch turns a panic into an error: the library gives up so on some files that
// are no Parquet.
func catch(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("not a sound Parquet file: %v", p)
	}
}

// framed checks what a file begins and ends with: PAR1, and at the end the length
// of the footer before it, which the library would make room for unseen.
func framed(r io.ReaderAt, size int64) error {
	const mark = "PAR1"
	var head [len(mark)]byte
	var tail [4 + len(mark)]byte
	if size < int64(len(head)+len(tail)) {
		return errors.New("not a Parquet file: it is too short to be one")
	}
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return err
	}
	if _, err := r.ReadAt(tail[:], size-int64(len(tail))); err != nil && err != io.EOF {
		return err
	}
	if string(head[:]) != mark || string(tail[4:]) != mark {
		return errors.New("not a Parquet file, or one that is cut off: it does not begin and end with PAR1")
	}
	if n := int64(binary.LittleEndian.Uint32(tail[:])); n > size-int64(len(head)+len(tail)) {
		return fmt.Errorf("not a sound Parquet file: its footer would be %d bytes long, and the file is %d", n, size)
	}
	return nil
}

// textColumn opens a file and finds a column of texts in it.
func textColumn(r io.ReaderAt, size int64, column string) (*parquet.File, *parquet.Column, error) {
	if err := framed(r, size); err != nil {
		return nil, nil, err
	}
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, nil, fmt.Errorf("not a Parquet file: %w", err)
	}
	var all, texts []string
	for _, c := range f.Root().Columns() {
		all = append(all, c.Name())
		if isText(c) {
			texts = append(texts, c.Name())
		}
	}
	c := f.Root().Column(column)
	switch {
	case c == nil:
		return nil, nil, fmt.Errorf("there is no column %q.%s Its columns are %s. Name the one to read with column = …", column, didyoumean.Hint(column, all), strings.Join(all, ", "))
	case !isText(c) && len(texts) == 0:
		return nil, nil, fmt.Errorf("the column %q does not hold a text a row, and no other of its columns does: %s", column, strings.Join(all, ", "))
	case !isText(c):
		return nil, nil, fmt.Errorf("the column %q does not hold a text a row; those that do are %s. Name the one to read with column = …", column, strings.Join(texts, ", "))
	}
	for _, g := range f.Metadata().RowGroups {
		// The library asks for ever more room where such bytes are damaged.
		if i := c.Index(); i < len(g.Columns) && g.Columns[i].MetaData.Codec == format.Lz4Raw {
			return nil, nil, fmt.Errorf("the column %q is compressed with LZ4, which is not read here. Write the file with snappy, zstd, gzip or brotli", column)
		}
	}
	return f, c, nil
}

// isText reports whether a column holds one text, or none, a row.
func isText(c *parquet.Column) bool {
	return c.Leaf() && !c.Repeated() && c.Type().Kind() == parquet.ByteArray
}

// readParquet returns the texts of a column in the order of the rows. Rows
// without one, and empty ones, are no documents.
func readParquet(path string, raw []byte, column string) (docs []string, replaced int, err error) {
	defer func() {
		if err != nil {
			docs, err = nil, fmt.Errorf("corpus: %s: %w", path, err)
		}
	}()
	defer catch(&err) // itself deferred: in the function above it would catch nothing
	f, c, err := textColumn(bytes.NewReader(raw), int64(len(raw)), column)
	if err != nil {
		return nil, 0, err
	}
	for _, g := range f.RowGroups() {
		more, n, err := readChunk(g.ColumnChunks()[c.Index()])
		if err != nil {
			return nil, 0, fmt.Errorf("the column %q: %w", column, err)
		}
		docs, replaced = slices.Concat(docs, more), replaced+n
	}
	return docs, replaced, nil
}

func readChunk(chunk parquet.ColumnChunk) (docs []string, replaced int, err error) {
	pages := chunk.Pages()
	defer func() { err = errors.Join(err, pages.Close()) }()
	values := make([]parquet.Value, 256)
	for {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return docs, replaced, nil
		}
		if err != nil {
			return nil, 0, err
		}
		for reader := page.Values(); ; {
			n, err := reader.ReadValues(values)
			for _, v := range values[:n] {
				if v.IsNull() || len(v.ByteArray()) == 0 {
					continue
				}
				text, bad := wellFormed(v.ByteArray())
				docs, replaced = append(docs, string(text)), replaced+bad
			}
			if errors.Is(err, io.EOF) || err == nil && n == 0 {
				break
			}
			if err != nil {
				return nil, 0, err
			}
		}
		parquet.Release(page)
	}
}
