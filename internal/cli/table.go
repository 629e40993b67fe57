package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/rivo/uniseg"
)

// cell is one field of a table.
type cell struct {
	text  string
	color color
}

// table prints columns as wide as they need. It is for terminals and logs:
// numbers stand to the right, and no line ends in blanks.
type table struct {
	// right says which columns stand to the right.
	right []bool
	rows  [][]cell
}

// newTable makes a table with a head; names that begin with ">" head columns
// that stand to the right. Without names the table has no head.
func newTable(columns int, names ...string) *table {
	t := &table{right: make([]bool, columns)}
	var head []cell
	for i, n := range names {
		if rest, ok := strings.CutPrefix(n, ">"); ok {
			t.right[i] = true
			n = rest
		}
		head = append(head, cell{n, dim})
	}
	if head != nil {
		t.rows = append(t.rows, head)
	}
	return t
}

// row adds a line of plain fields.
func (t *table) row(fields ...string) {
	cells := make([]cell, len(fields))
	for i, f := range fields {
		cells[i] = cell{text: f}
	}
	t.rows = append(t.rows, cells)
}

// cells adds a line.
func (t *table) cells(c ...cell) { t.rows = append(t.rows, c) }

// write prints the table, each line behind indent.
func (t *table) write(w io.Writer, indent string, colored bool) {
	width := make([]int, len(t.right))
	for _, r := range t.rows {
		for i, c := range r {
			width[i] = max(width[i], uniseg.StringWidth(c.text))
		}
	}
	for _, r := range t.rows {
		var line strings.Builder
		line.WriteString(indent)
		blanks := 0
		for i, c := range r {
			if width[i] == 0 {
				continue
			}
			pad := width[i] - uniseg.StringWidth(c.text)
			if c.text == "" {
				blanks += pad + 2
				continue
			}
			if t.right[i] {
				blanks, pad = blanks+pad, 0
			}
			line.WriteString(strings.Repeat(" ", blanks) + paintIf(colored, c.color, c.text))
			blanks = pad + 2
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}
