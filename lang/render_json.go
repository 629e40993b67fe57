package lang

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/hashicorp/hcl/v2"
)

// Report is the JSON form of diagnostics, in the shape of `terraform validate
// -json`, format 1.0, which existing annotators read.
type Report struct {
	FormatVersion string             `json:"format_version"`
	Valid         bool               `json:"valid"`
	ErrorCount    int                `json:"error_count"`
	WarningCount  int                `json:"warning_count"`
	Diagnostics   []ReportDiagnostic `json:"diagnostics"`
}

// ReportDiagnostic is one finding.
type ReportDiagnostic struct {
	Severity string         `json:"severity"`
	Summary  string         `json:"summary"`
	Detail   string         `json:"detail"`
	Range    *ReportRange   `json:"range,omitempty"`
	Snippet  *ReportSnippet `json:"snippet,omitempty"`
}

// ReportRange is a place in a file; End is past the last byte.
type ReportRange struct {
	Filename string    `json:"filename"`
	Start    ReportPos `json:"start"`
	End      ReportPos `json:"end"`
}

// ReportPos counts lines and columns from 1 (columns are grapheme clusters)
// and bytes from 0.
type ReportPos struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

// ReportSnippet is the source around the range.
type ReportSnippet struct {
	// Context is null at the top of a file.
	Context              *string       `json:"context"`
	Code                 string        `json:"code"`
	StartLine            int           `json:"start_line"`
	HighlightStartOffset int           `json:"highlight_start_offset"`
	HighlightEndOffset   int           `json:"highlight_end_offset"`
	Values               []ReportValue `json:"values"`
}

// ReportValue is the value of one reference in the range.
type ReportValue struct {
	Traversal string `json:"traversal"`
	Statement string `json:"statement"`
}

// NewReport makes the JSON form. Files are those of the Pipeline.
func NewReport(diags hcl.Diagnostics, files map[string]*hcl.File) Report {
	r := Report{FormatVersion: "1.0", Valid: true, Diagnostics: []ReportDiagnostic{}}
	for _, d := range sortDiagnostics(diags) {
		out := ReportDiagnostic{Severity: "error", Summary: d.Summary, Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			out.Severity = "warning"
			r.WarningCount++
		} else {
			r.Valid = false
			r.ErrorCount++
		}
		if d.Subject != nil {
			out.Range = &ReportRange{d.Subject.Filename, reportPos(d.Subject.Start), reportPos(d.Subject.End)}
		}
		if s := newSnippet(d, files); s != nil {
			out.Snippet = &ReportSnippet{Code: s.code, StartLine: s.startLine,
				HighlightStartOffset: s.start, HighlightEndOffset: s.end, Values: []ReportValue{}}
			if s.context != "" {
				out.Snippet.Context = &s.context
			}
			for _, v := range s.values {
				out.Snippet.Values = append(out.Snippet.Values, ReportValue{v.traversal, v.statement})
			}
		}
		r.Diagnostics = append(r.Diagnostics, out)
	}
	return r
}

func reportPos(p hcl.Pos) ReportPos { return ReportPos{p.Line, p.Column, p.Byte} }

// WriteJSON writes NewReport's result, indented.
func WriteJSON(w io.Writer, diags hcl.Diagnostics, files map[string]*hcl.File) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(NewReport(diags, files)); err != nil {
		return fmt.Errorf("diagnostics: %w", err)
	}
	return nil
}
