package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/rivo/uniseg"
)

// line is a line of a frame: pieces, each of one colour.
type line []cell

// render cuts the line to the columns of the terminal, since a line that wraps
// would make the cursor miss where the frame began.
func (l line) render(columns int, colored bool) string {
	var b strings.Builder
	room := columns - 1
	for _, c := range l {
		text := c.text
		if w := uniseg.StringWidth(text); w > room {
			text = cut(text, room)
		}
		room -= uniseg.StringWidth(text)
		b.WriteString(paintIf(colored, c.color, text))
	}
	return b.String()
}

// cut shortens text to a width in columns and ends it with "…".
func cut(text string, width int) string {
	if width <= 0 {
		return ""
	}
	var b strings.Builder
	room := width - 1
	g := uniseg.NewGraphemes(text)
	for g.Next() {
		if g.Width() > room {
			break
		}
		room -= g.Width()
		b.WriteString(g.Str())
	}
	return b.String() + "…"
}

// region redraws some lines at the end of a terminal's output in place. It
// leaves the terminal in its normal mode and asks it nothing: keys keep their
// meaning, an interrupt stays a signal, and there are no answers to read.
type region struct {
	w io.Writer
	// height is the number of lines on the screen.
	height int
}

func (r *region) begin() { io.WriteString(r.w, "\x1b[?25l") }
func (r *region) end()   { io.WriteString(r.w, "\x1b[?25h") }

// show prints lines that stay and replaces those of the last frame, in one
// write so that nothing flickers.
func (r *region) show(stay, frame []string) {
	var b strings.Builder
	if r.height > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", r.height)
	}
	b.WriteString("\r")
	for _, l := range stay {
		b.WriteString(l + "\x1b[K\n")
	}
	for _, l := range frame {
		b.WriteString(l + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	r.height = len(frame)
	io.WriteString(r.w, b.String())
}
