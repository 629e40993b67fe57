package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rivo/uniseg"
	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/spell"
)

func TestTable(t *testing.T) {
	tb := newTable(4, "name", ">size", "", ">n")
	tb.row("a", "1 kB", "", "7")
	tb.row("größer", "", "", "12")
	tb.row("c", "100 MB", "", "")
	var b bytes.Buffer
	tb.write(&b, "  ", false)
	want := "" +
		"  name      size   n\n" +
		"  a         1 kB   7\n" +
		"  größer          12\n" +
		"  c       100 MB\n"
	if b.String() != want {
		t.Errorf("\n%s\nwant\n%s", b.String(), want)
	}
}

// Colours change no column, no line ends in blanks, and every field is there.
func TestTableProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(1, 5).Draw(t, "columns")
		tb := newTable(columns)
		for i := range tb.right {
			tb.right[i] = rapid.Bool().Draw(t, "right")
		}
		field := rapid.StringMatching(`[a-zäλ█0-9]{0,8}`)
		var fields []string
		for range rapid.IntRange(1, 6).Draw(t, "rows") {
			var cells []cell
			for range columns {
				f := field.Draw(t, "field")
				fields = append(fields, f)
				cells = append(cells, cell{f, rapid.SampledFrom([]color{plain, red, dim}).Draw(t, "color")})
			}
			tb.cells(cells...)
		}
		var bare, painted bytes.Buffer
		tb.write(&bare, "", false)
		tb.write(&painted, "", true)
		stripped := painted.String()
		for _, c := range []string{"\x1b[31m", "\x1b[2m", "\x1b[0m"} {
			stripped = strings.ReplaceAll(stripped, c, "")
		}
		if stripped != bare.String() {
			t.Fatalf("colours move text:\n%s\n%s", stripped, bare.String())
		}
		rest := bare.String()
		for _, l := range strings.Split(rest, "\n") {
			if strings.HasSuffix(l, " ") {
				t.Fatalf("line ends in blanks: %q", l)
			}
		}
		for _, f := range fields {
			i := strings.Index(rest, f)
			if i < 0 {
				t.Fatalf("field %q is lost in\n%s", f, bare.String())
			}
			rest = rest[i+len(f):]
		}
	})
}

// A line never gets wider than the terminal, and only what does not fit is cut.
func TestLineRender(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l line
		text := ""
		for range rapid.IntRange(1, 4).Draw(t, "pieces") {
			piece := rapid.StringMatching(`[a-z█世 ]{0,12}`).Draw(t, "piece")
			l = append(l, cell{text: piece})
			text += piece
		}
		columns := rapid.IntRange(1, 40).Draw(t, "columns")
		got := l.render(columns, false)
		if w := uniseg.StringWidth(got); w >= columns && w > 0 {
			t.Fatalf("%q is %d wide on %d columns", got, w, columns)
		}
		if uniseg.StringWidth(text) < columns && got != text {
			t.Fatalf("%q became %q on %d columns", text, got, columns)
		}
	})
}

func TestSpelling(t *testing.T) {
	for s, want := range map[float64]string{0: "0.0 s", 0.04: "0.0 s", 0.26: "0.3 s", 9.94: "9.9 s", 41.4: "41 s", 200: "3m20s", 7500: "2h5m", 90000: "25h0m"} {
		if got := spell.Seconds(s); got != want {
			t.Errorf("%v s: %q, want %q", s, got, want)
		}
	}
	for x, want := range map[float64]string{0: "0.0000", 20.31234: "20.3123", 12345.678: "12345.7", 2e7: "2.0000e+07", 1e-5: "1.0000e-05", -3: "-3.0000"} {
		if got := spell.Number(x); got != want {
			t.Errorf("%v: %q, want %q", x, got, want)
		}
	}
	for n, want := range map[int64]string{7: "7", 158240: "158.2 k", 134515008: "134.5 M", 7e9: "7.00 B"} {
		if got := countText(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestTwoDashes(t *testing.T) {
	got := twoDashes([]string{"-var", "x=-y", "--json", "-h", "-", "-1", "-var=a=b", "--", "-var"})
	want := "--var x=-y --json -h - -1 --var=a=b -- -var"
	if strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", strings.Join(got, " "), want)
	}
}
