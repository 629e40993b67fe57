package server

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/compressc/compressc/lang"
)

func (s *Server) documentSymbol(_ context.Context, p documentParams) ([]documentSymbol, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := pathOf(p.TextDocument.URI)
	list := []documentSymbol{}
	file := s.parseFolder(filepath.Dir(path)).files[path]
	if file == nil {
		return list, nil
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return list, nil
	}
	return s.outline(file.Bytes, body, true), nil
}

// outline lists the blocks of a body with what is in them; of arguments those
// that are names themselves.
func (s *Server) outline(text []byte, body *hclsyntax.Body, top bool) []documentSymbol {
	list := []documentSymbol{}
	for _, b := range body.Blocks {
		name := b.Type
		if len(b.Labels) > 0 {
			name += ` "` + strings.Join(b.Labels, `" "`) + `"`
		}
		sym := documentSymbol{Name: name, Kind: symbolClass, Range: s.enc.lspRange(text, b.Range()), SelectionRange: s.enc.lspRange(text, b.DefRange())}
		if b.Type == "variable" {
			sym.Kind = symbolVariable
		}
		sym.Children = s.outline(text, b.Body, false)
		if top && (b.Type == "locals" || b.Type == "sweep") {
			for _, a := range attributes(b.Body) {
				sym.Children = append(sym.Children, documentSymbol{Name: a.Name, Kind: symbolProperty,
					Range: s.enc.lspRange(text, a.SrcRange), SelectionRange: s.enc.lspRange(text, a.NameRange)})
			}
		}
		list = append(list, sym)
	}
	return list
}

// formatting answers one edit that covers the lines from the first that changes
// to the last, none where the text is in the canonical style or does not parse.
func (s *Server) formatting(_ context.Context, p documentParams) ([]textEdit, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := pathOf(p.TextDocument.URI)
	text, ok := s.text(path)
	if !ok || !lang.IsSourceFile(path) || filepath.Ext(path) != ".hcl" {
		return []textEdit{}, nil
	}
	out, diags := lang.Format(text, path)
	if diags.HasErrors() || bytes.Equal(out, text) {
		return []textEdit{}, nil
	}
	from := 0
	for from < len(text) && from < len(out) && text[from] == out[from] {
		from++
	}
	from = bytes.LastIndexByte(text[:from], '\n') + 1
	// From the end of a line on both are equal.
	end := 0
	for end < len(text)-from && end < len(out)-from && text[len(text)-1-end] == out[len(out)-1-end] {
		end++
	}
	if i := bytes.IndexByte(text[len(text)-end:], '\n'); i >= 0 {
		end -= i + 1
	} else {
		end = 0
	}
	r := hcl.Range{Start: hcl.Pos{Byte: from}, End: hcl.Pos{Byte: len(text) - end}}
	return []textEdit{{s.enc.lspRange(text, r), string(out[from : len(out)-end])}}, nil
}
