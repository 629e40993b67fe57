package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dustin/go-humanize"
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

// bytesText spells a size in powers of 1000, as disks and models are sold.
func bytesText(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// secondsText spells a time for people: "0.3 s", "41 s", "3m20s", "2h05m".
func secondsText(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case s < 0.05:
		return "0.0 s"
	case s < 10:
		return fmt.Sprintf("%.1f s", s)
	case s < 90:
		return fmt.Sprintf("%.0f s", s)
	case s < 3600:
		d = d.Round(time.Second)
		return d.String()
	}
	d = d.Round(time.Minute)
	text := d.String() // 2h5m0s
	return text[:len(text)-2]
}

// plural spells a number and a noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + many
}
