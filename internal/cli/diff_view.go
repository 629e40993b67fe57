package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/spell"
)

// showDiff prints differences for people.
func (a *app) showDiff(r *diffReport) {
	fmt.Fprintf(a.Out, "From %s\n  to %s\n", r.Sides.From, r.Sides.To)
	if r.Equal {
		fmt.Fprintln(a.Out, "\nNo differences.")
	}
	section := func(title string, t *table) {
		if len(t.rows) > 0 {
			fmt.Fprintf(a.Out, "\n%s\n", a.paintOut(bold, title))
			t.write(a.Out, "  ", a.colored(a.Out))
		}
	}
	blocks := newTable(2)
	for _, b := range r.Blocks {
		mark := map[string]cell{diffAdded: {"+", green}, diffRemoved: {"-", red}, diffChanged: {"~", yellow}, diffResult: {"!", yellow}}[b.Change]
		blocks.cells(cell{text: mark.text + " " + b.where(), color: mark.color}, cell{text: b.what()})
	}
	section("Blocks", blocks)
	section("Variables", values(r.Variables))
	models := newTable(4, "", ">size", ">bits", ">zeros")
	for _, m := range r.Models {
		if m.From == nil || m.To == nil {
			continue // the block came or went
		}
		number := func(f func(*record.Model) float64, spell func(float64) string) string {
			return fromTo(spell(f(m.From)), spell(f(m.To)))
		}
		models.row(m.Address,
			number(func(m *record.Model) float64 { return float64(m.Bytes) }, func(x float64) string { return spell.Bytes(int64(x)) }),
			number(func(m *record.Model) float64 { return m.BitsPerWeight }, func(x float64) string { return fmt.Sprintf("%.2f", x) }),
			number(func(m *record.Model) float64 { return m.Sparsity }, func(x float64) string { return fmt.Sprintf("%.3g %%", 100*x) }))
	}
	if len(models.rows) > 1 { // the first is the head
		section("Models", models)
	}
	metrics := newTable(3)
	for _, m := range r.Metrics {
		metrics.row(m.Address+"."+m.Metric, fromTo(metricText(m.From), metricText(m.To)), relative(m.From, m.To))
	}
	section("Metrics", metrics)
	section("Decisions", values(r.Decisions))
	files := newTable(2)
	for _, f := range r.Files {
		text := func(f *record.File) string {
			if f == nil {
				return "none"
			}
			return spell.Bytes(f.Bytes)
		}
		what := fromTo(text(f.From), text(f.To))
		if f.From != nil && f.To != nil && f.From.Bytes == f.To.Bytes {
			what += ", other bytes"
		}
		files.row(f.Path, what)
	}
	section("Files", files)
	section("Outputs", values(r.Outputs))
	cost := newTable(2)
	for _, c := range r.Cost {
		name, spelled := c.Name, func(x float64) string { return fmt.Sprintf("%.0f", x) }
		switch {
		case c.Name == "seconds":
			name, spelled = "time", spell.Seconds
		case c.Name == "peak bytes":
			name, spelled = "memory", func(x float64) string { return spell.Bytes(int64(x)) }
		case strings.HasPrefix(c.Name, "bytes"):
			name, spelled = "written", func(x float64) string { return spell.Bytes(int64(x)) }
		}
		cost.row(name, fromTo(spelled(c.From), spelled(c.To)))
	}
	section("Cost", cost)
	for _, n := range r.Notes {
		fmt.Fprintf(a.Out, "\n%s\n", n)
	}
}

// where names a block, and its points where there are several.
func (b diffBlock) where() string {
	switch len(b.Points) {
	case 1:
		return b.Points[0]
	case 2, 3:
		return strings.Join(b.Points, ", ")
	}
	return fmt.Sprintf("%s at %d points", b.Name, len(b.Points))
}

func (b diffBlock) what() string {
	if b.Change == diffResult {
		return "another result from the same arguments: what it is made of has changed, or the program"
	}
	parts := make([]string, len(b.Arguments))
	for i, v := range b.Arguments {
		parts[i] = v.Name + " " + fromTo(valueText(v.From), valueText(v.To))
	}
	return strings.Join(parts, ", ")
}

func values(list []diffValue) *table {
	t := newTable(2)
	for _, v := range list {
		t.row(v.Name, fromTo(valueText(v.From), valueText(v.To)))
	}
	return t
}

// fromTo writes a change, or what stayed.
func fromTo(from, to string) string {
	if from == to {
		return to
	}
	return from + " → " + to
}

// valueText shortens a value to what fits a line.
func valueText(v json.RawMessage) string {
	text := string(v)
	if text == "null" || text == "" {
		return "none"
	}
	var s string
	if json.Unmarshal(v, &s) == nil {
		text = s
	}
	text = strings.Join(strings.Fields(text), " ")
	if r := []rune(text); len(r) > 60 {
		text = string(r[:59]) + "…"
	}
	return text
}

func metricText(x *float64) string {
	if x == nil {
		return "none"
	}
	return spell.Number(*x)
}

// relative is by how much a number grew, in per cent.
func relative(from, to *float64) string {
	if from == nil || to == nil || *from == 0 {
		return ""
	}
	return fmt.Sprintf("%+.1f %%", 100*(*to-*from)/math.Abs(*from))
}
