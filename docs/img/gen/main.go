// Gen draws what a program has written to a terminal as SVG: what is on the
// screen at the end, scrolled-off lines included. The picture of the README is
//
//	script -qec 'stty cols 100; compressc run examples/pipelines/quickstart' capture
//	go run ./docs/img/gen -title 'compressc run examples/pipelines/quickstart' <capture >docs/img/quickstart.svg
//
// It understands the escape sequences that compressc writes: colours, cursor
// up, and erasing to the end of the line or of the screen.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"html"
	"io"
	"log"
	"os"
	"strconv"
	"strings"

	"github.com/rivo/uniseg"
)

func main() {
	log.SetFlags(0)
	title := flag.String("title", "", "command to show in the title bar")
	flag.Parse()
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	out := bufio.NewWriter(os.Stdout)
	writeSVG(out, *title, screen(capture(string(in))))
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

// capture leaves out the lines that script(1) adds before and after.
func capture(s string) string {
	if strings.HasPrefix(s, "Script started") {
		_, s, _ = strings.Cut(s, "\n")
		s, _, _ = strings.Cut(s, "\nScript done")
	}
	return s
}

// glyph is one character cell; sgr are the numbers of its last colour sequence.
type glyph struct{ text, sgr string }

// screen plays s on an endless sheet and returns its lines.
func screen(s string) [][]glyph {
	rows := [][]glyph{nil}
	row, col, sgr := 0, 0, ""
	for s != "" {
		if params, final, rest, ok := escape(s); ok {
			s = rest
			switch final {
			case 'm':
				sgr = strings.TrimPrefix(params, "0")
			case 'A':
				n, err := strconv.Atoi(params)
				if err != nil {
					n = 1
				}
				row = max(0, row-n)
			case 'K', 'J':
				rows[row] = rows[row][:min(col, len(rows[row]))]
				if final == 'J' {
					rows = rows[:row+1]
				}
			}
			continue
		}
		g, rest, _, _ := uniseg.FirstGraphemeClusterInString(s, -1)
		s = rest
		switch g {
		case "\r":
			col = 0
		case "\n", "\r\n":
			row, col = row+1, 0
			if row == len(rows) {
				rows = append(rows, nil)
			}
		default:
			for len(rows[row]) <= col {
				rows[row] = append(rows[row], glyph{" ", ""})
			}
			rows[row][col] = glyph{g, sgr}
			col++
		}
	}
	for len(rows) > 0 && len(rows[len(rows)-1]) == 0 {
		rows = rows[:len(rows)-1]
	}
	return rows
}

// escape splits a control sequence, ESC [ PARAMS FINAL, off s.
func escape(s string) (params string, final byte, rest string, ok bool) {
	if !strings.HasPrefix(s, "\x1b[") {
		return "", 0, "", false
	}
	end := strings.IndexFunc(s[2:], func(r rune) bool { return r >= '@' && r <= '~' })
	if end < 0 {
		return "", 0, "", false
	}
	return s[2 : 2+end], s[2+end], s[3+end:], true
}

const (
	cellWidth, lineHeight = 8.43, 18.0
	margin, titleBar      = 18.0, 36.0
)

// inks are the colours of a dark terminal by SGR number.
var inks = map[string]string{
	"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "34": "#79c0ff", "35": "#d2a8ff", "36": "#76e3ea", "90": "#8b949e",
}

func style(sgr string) string {
	var b strings.Builder
	for n := range strings.SplitSeq(sgr, ";") {
		switch {
		case n == "1":
			b.WriteString(` font-weight="bold"`)
		case n == "2":
			b.WriteString(` fill="#8b949e"`)
		case inks[n] != "":
			fmt.Fprintf(&b, ` fill="%s"`, inks[n])
		}
	}
	return b.String()
}

func writeSVG(w io.Writer, title string, rows [][]glyph) {
	columns := 0
	for _, r := range rows {
		columns = max(columns, len(r))
	}
	width := 2*margin + float64(columns)*cellWidth
	height := titleBar + margin + float64(len(rows))*lineHeight
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14">`+"\n", width, height)
	fmt.Fprintf(w, `<rect width="%.0f" height="%.0f" rx="8" fill="#0d1117"/>`+"\n", width, height)
	for i, dot := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(w, `<circle cx="%d" cy="18" r="5.5" fill="%s"/>`+"\n", 20+i*19, dot)
	}
	fmt.Fprintf(w, `<text x="84" y="23" fill="#8b949e">%s</text>`+"\n", html.EscapeString(title))
	fmt.Fprintln(w, `<g fill="#c9d1d9" xml:space="preserve">`)
	for y, r := range rows {
		for x := 0; x < len(r); {
			end := x
			var text strings.Builder
			for end < len(r) && r[end].sgr == r[x].sgr {
				text.WriteString(r[end].text)
				end++
			}
			if strings.TrimSpace(text.String()) != "" {
				// textLength keeps columns straight whatever font there is.
				fmt.Fprintf(w, `<text x="%.2f" y="%.0f" textLength="%.2f"%s>%s</text>`+"\n", margin+float64(x)*cellWidth,
					titleBar+float64(y+1)*lineHeight-4, float64(end-x)*cellWidth, style(r[x].sgr), html.EscapeString(text.String()))
			}
			x = end
		}
	}
	fmt.Fprintln(w, "</g>\n</svg>")
}
