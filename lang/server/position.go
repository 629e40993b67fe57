package server

import (
	"bytes"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// encoding says what the characters of positions count.
type encoding string

const (
	utf8Units  encoding = "utf-8"
	utf16Units encoding = "utf-16"
)

// units is the length of a text in the encoding's units.
func (e encoding) units(text []byte) int {
	if e == utf8Units {
		return len(text)
	}
	n := 0
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		if n++; r > 0xFFFF {
			n++
		}
	}
	return n
}

// offset finds the byte that a position means. One behind its line's end means
// that end, one behind the text the text's.
func (e encoding) offset(text []byte, p position) int {
	at := 0
	for range p.Line {
		i := bytes.IndexByte(text[at:], '\n')
		if i < 0 {
			return len(text)
		}
		at += i + 1
	}
	line := text[at:]
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = bytes.TrimSuffix(line[:i], []byte{'\r'})
	}
	if e == utf8Units {
		return at + max(0, min(p.Character, len(line)))
	}
	for left := p.Character; left > 0 && len(line) > 0; {
		r, size := utf8.DecodeRune(line)
		if left--; r > 0xFFFF {
			left--
		}
		at, line = at+size, line[size:]
	}
	return at
}

// position is where a byte stands.
func (e encoding) position(text []byte, offset int) position {
	offset = max(0, min(offset, len(text)))
	start := bytes.LastIndexByte(text[:offset], '\n') + 1
	return position{bytes.Count(text[:start], []byte{'\n'}), e.units(text[start:offset])}
}

func (e encoding) lspRange(text []byte, r hcl.Range) lspRange {
	return lspRange{e.position(text, r.Start.Byte), e.position(text, r.End.Byte)}
}

// pos is a byte's place as HCL counts, but with columns in code points: package
// hcl-lang looks at bytes and lines.
func pos(text []byte, offset int) hcl.Pos {
	start := bytes.LastIndexByte(text[:offset], '\n') + 1
	return hcl.Pos{Line: 1 + bytes.Count(text[:start], []byte{'\n'}), Column: 1 + utf8.RuneCount(text[start:offset]), Byte: offset}
}

// pathOf is the file that a URI names, "" for others than files.
func pathOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" {
		return ""
	}
	path := u.Path
	if runtime.GOOS == "windows" {
		path = strings.TrimPrefix(path, "/")
	}
	return filepath.Clean(filepath.FromSlash(path))
}

func uriOf(path string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return (&url.URL{Scheme: "file", Path: path}).String()
}
