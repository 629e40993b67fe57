package cli

import (
	"io"
	"os"

	"github.com/mattn/go-isatty"
	"golang.org/x/term"
)

// color is the parameter of an SGR escape sequence, "" for plain text.
type color string

const (
	plain  color = ""
	red    color = "31"
	green  color = "32"
	yellow color = "33"
	cyan   color = "36"
	bold   color = "1"
	dim    color = "2"
)

// colored reports whether w wants colours.
func (a *app) colored(w io.Writer) bool {
	if a.noColor || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	return isTerminal(w)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// terminalSize returns the columns and lines of a terminal, 0 and 0 where w is
// none.
func terminalSize(w io.Writer) (columns, lines int) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, 0
	}
	columns, lines, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0, 0
	}
	return columns, lines
}

// paint colours text for the error stream.
func (a *app) paint(c color, text string) string { return paintIf(a.colored(a.Err), c, text) }

// paintOut colours text for the output stream.
func (a *app) paintOut(c color, text string) string { return paintIf(a.colored(a.Out), c, text) }

func paintIf(on bool, c color, text string) string {
	if !on || text == "" || c == plain {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}
