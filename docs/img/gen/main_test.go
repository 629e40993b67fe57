package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"strings"
	"testing"
)

func TestScreen(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"lines", "a\r\nb\n", "a\nb"},
		{"overwritten", "abc\rx", "xbc"},
		{"frame redrawn shorter", "stay\none\ntwo\n\x1b[2A\rONE\x1b[K\n\x1b[J", "stay\nONE"},
		{"end of line erased", "abcdef\rab\x1b[K", "ab"},
		{"cursor hidden", "\x1b[?25la\x1b[?25h", "a"},
		{"colours take no room", "\x1b[31mred\x1b[0m!", "red!"},
		{"frame of script(1)", "Script started on 1\na\nScript done on 2\n", "a"},
		{"sequence cut off", "a\x1b[3", "a\x1b[3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var lines []string
			for _, r := range screen(capture(c.in)) {
				l := ""
				for _, g := range r {
					l += g.text
				}
				lines = append(lines, l)
			}
			if got := strings.Join(lines, "\n"); got != c.want {
				t.Errorf("got %q, expected %q", got, c.want)
			}
		})
	}
}

func TestSVG(t *testing.T) {
	var b bytes.Buffer
	writeSVG(&b, "a < b", screen("x \x1b[1;31m<bad>\x1b[0m y"))
	svg := b.String()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
	for _, want := range []string{"a &lt; b", `font-weight="bold" fill="#ff7b72">&lt;bad&gt;</text>`} {
		if !strings.Contains(svg, want) {
			t.Errorf("no %q in\n%s", want, svg)
		}
	}
}
