package report

import (
	"fmt"
	"slices"

	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/spell"
)

// table is the evaluations that reach the same axes.
type table struct {
	Axes    []string
	Metrics []string
	Rows    []row
}

type row struct {
	Name, Of string
	Point    []string
	Bits     string
	Size     string
	Metrics  []string
	Failed   bool
}

// tables groups the evaluations by the axes that they reach, in the order of
// the record.
func tables(rec *record.Record) []table {
	var out []table
	for _, e := range rec.Evaluations {
		if e.Table() != nil {
			continue
		}
		axes := spell.Axes(e.Point, rec.Axes)
		i := slices.IndexFunc(out, func(t table) bool { return slices.Equal(t.Axes, axes) })
		if i < 0 {
			i = len(out)
			out = append(out, table{Axes: axes, Metrics: metricsOf(rec, axes)})
		}
		t := &out[i]
		r := row{Name: e.Name, Of: e.Of, Failed: e.Status == record.Failed}
		for _, x := range axes {
			r.Point = append(r.Point, spell.Value(e.Point[x]))
		}
		if e.Model != nil {
			r.Bits, r.Size = fmt.Sprintf("%.2f", e.Model.BitsPerWeight), spell.Bytes(e.Model.Bytes)
		}
		for _, m := range t.Metrics {
			text := ""
			switch x, has := e.Metrics[m]; {
			case x != nil:
				text = spell.Number(*x)
			case has && (e.Status == record.Run || e.Status == record.Cached || e.Status == record.OK):
				text = "diverged"
			case has && e.Status == record.Skipped:
				text = "not run"
			case has:
				text = e.Status
			}
			r.Metrics = append(r.Metrics, text)
		}
		t.Rows = append(t.Rows, r)
	}
	return out
}

// metricsOf lists the metrics of the evaluations that reach the axes.
func metricsOf(rec *record.Record, axes []string) []string {
	var list []record.Evaluation
	for _, e := range rec.Evaluations {
		if e.Table() == nil && slices.Equal(spell.Axes(e.Point, rec.Axes), axes) {
			list = append(list, e)
		}
	}
	return spell.Metrics(list)
}

// detail is an evaluation that measured many things.
type detail struct {
	Address, Of, Perplexity string
	Columns                 []column
	Rows                    [][]entry
}

type column struct {
	Name   string
	Number bool
}

type entry struct {
	Text             string
	Number, Diverged bool
}

// details are the evaluations with a table of their own.
func details(rec *record.Record) (out []detail) {
	for _, e := range rec.Evaluations {
		t := e.Table()
		if t == nil {
			continue
		}
		d := detail{Address: spell.Address(e.Name, e.Point), Of: e.Of}
		if p := e.Metrics["perplexity"]; p != nil {
			d.Perplexity = spell.Number(*p)
		}
		names, numbers := spell.Columns(t)
		for i, n := range names {
			d.Columns = append(d.Columns, column{n, numbers[i]})
		}
		for _, row := range t.Rows {
			var r []entry
			for i, c := range t.Columns {
				text, diverged := spell.Entry(row, c)
				r = append(r, entry{text, numbers[i], diverged})
			}
			d.Rows = append(d.Rows, r)
		}
		out = append(out, d)
	}
	return out
}

// timeRow is one node's share of the time.
type timeRow struct {
	Address, Status string
	Seconds         float64
	// Percent of the longest node's time.
	Percent float64
	Peak    int64
	Actions record.Counts
}

// times lists the nodes that took time, the longest first. Work that several
// nodes share stands with the first.
func times(rec *record.Record) []timeRow {
	var out []timeRow
	longest := 0.0
	for _, n := range rec.Nodes {
		if n.Seconds <= 0 {
			continue
		}
		longest = max(longest, n.Seconds)
		out = append(out, timeRow{Address: spell.Address(n.Name, n.Point), Status: n.Status, Seconds: n.Seconds, Peak: n.PeakBytes, Actions: n.Actions})
	}
	slices.SortStableFunc(out, func(x, y timeRow) int {
		switch {
		case x.Seconds > y.Seconds:
			return -1
		case x.Seconds < y.Seconds:
			return 1
		}
		return 0
	})
	for i := range out {
		out[i].Percent = 100 * out[i].Seconds / longest
	}
	return out
}
