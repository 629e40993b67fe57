package lang

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/mitchellh/go-wordwrap"
)

// TextOptions say how diagnostics are written for people.
type TextOptions struct {
	Color bool
	// Width to wrap details at; 0 does not wrap.
	Width int
}

// WriteText writes the diagnostics with the source lines they are about. Files
// are those of the Pipeline.
func WriteText(w io.Writer, diags hcl.Diagnostics, files map[string]*hcl.File, o TextOptions) error {
	for _, d := range sortDiagnostics(diags) {
		if _, err := io.WriteString(w, textOf(d, files, o)); err != nil {
			return err
		}
	}
	return nil
}

const (
	ansiReset     = "\x1b[0m"
	ansiBold      = "\x1b[1m"
	ansiUnderline = "\x1b[4m"
	ansiRed       = "\x1b[31m"
	ansiYellow    = "\x1b[33m"
)

func textOf(d *hcl.Diagnostic, files map[string]*hcl.File, o TextOptions) string {
	paint := func(s, codes string) string {
		if !o.Color || s == "" {
			return s
		}
		return codes + s + ansiReset
	}
	word, color := "Error: ", ansiRed
	if d.Severity == hcl.DiagWarning {
		word, color = "Warning: ", ansiYellow
	}
	lines := []string{paint(word, ansiBold+color) + paint(d.Summary, ansiBold), ""}
	if d.Subject != nil {
		lines = append(lines, snippetLines(d, newSnippet(d, files), paint)...)
		lines = append(lines, "")
	}
	for _, l := range strings.Split(d.Detail, "\n") {
		// Lines that are set in are lists and stay as they are.
		if o.Width > 10 && !strings.HasPrefix(l, " ") {
			l = wordwrap.WrapString(l, uint(o.Width-2))
		}
		lines = append(lines, strings.Split(l, "\n")...)
	}
	var b strings.Builder
	b.WriteString(paint("╷", color) + "\n")
	for _, l := range lines {
		b.WriteString(strings.TrimRight(paint("│", color)+" "+l, " ") + "\n")
	}
	b.WriteString(paint("╵", color) + "\n")
	return b.String()
}

func snippetLines(d *hcl.Diagnostic, s *snippet, paint func(s, codes string) string) []string {
	if s == nil {
		return []string{fmt.Sprintf("  on %s line %d:", d.Subject.Filename, d.Subject.Start.Line), "  (source code not available)"}
	}
	in := ""
	if s.context != "" {
		in = ", in " + s.context
	}
	lines := []string{fmt.Sprintf("  on %s line %d%s:", d.Subject.Filename, d.Subject.Start.Line, in)}
	offset := 0
	for i, line := range strings.Split(s.code, "\n") {
		from, to := min(max(s.start-offset, 0), len(line)), min(max(s.end-offset, 0), len(line))
		offset += len(line) + 1
		number := fmt.Sprintf("%4d: ", s.startLine+i)
		if strings.TrimSpace(line[from:to]) == "" {
			to = from
		}
		marked := paint(line[from:to], ansiUnderline)
		lines = append(lines, number+line[:from]+marked+line[to:])
		// Without colours a line of carets stands for the underline.
		if marked == line[from:to] && to > from {
			lines = append(lines, strings.Repeat(" ", len(number))+blank(line[:from])+strings.Repeat("^", utf8.RuneCountInString(line[from:to])))
		}
		if i == 9 && strings.Count(s.code, "\n") > 10 {
			lines = append(lines, "      …")
			break
		}
	}
	if len(s.values) > 0 {
		lines = append(lines, "    ├────────────────")
		for _, v := range s.values {
			lines = append(lines, fmt.Sprintf("    │ %s %s", v.traversal, v.statement))
		}
	}
	return lines
}

// blank is as wide as s: tabs stay, all else becomes a space.
func blank(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, s)
}
