// Package report writes a run's record as one HTML file for people: what was
// made of what, every evaluation, fronts over sweeps, the layers' errors and
// where the time went. The file holds all that it shows: it asks for nothing
// over the network, runs no script, and looks the same in ten years.
package report

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/drawing"
	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/spell"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"bytes":   spell.Bytes,
	"seconds": spell.Seconds,
	"digest":  func(d string) string { return d[:min(12, len(d))] },
	"address": spell.Address,
}).Parse(pageText))

// view is what the page shows.
type view struct {
	*record.Record
	Title     string
	Graph     template.HTML
	Tables    []table
	Details   []detail
	Charts    []chart
	Heats     []heat
	Times     []timeRow
	Outputs   []outputRow
	Variables []outputRow
}

// Write writes the report of a run to w.
func Write(w io.Writer, rec *record.Record) error {
	v := view{Record: rec, Title: shortName(rec.Pipeline)}
	if rec.Graph != nil {
		var b strings.Builder
		if err := drawing.SVG(&b, rec.Graph); err != nil {
			return err
		}
		v.Graph = template.HTML(b.String()) // our own drawing; it escapes texts
	}
	v.Tables, v.Details = tables(rec), details(rec)
	var err error
	if v.Charts, err = charts(rec); err != nil {
		return fmt.Errorf("drawing the charts: %w", err)
	}
	v.Heats = heats(rec)
	v.Times = times(rec)
	for _, o := range rec.Outputs {
		text, err := json.MarshalIndent(o.Output, "", "  ")
		if err != nil {
			return fmt.Errorf("output %s: %w", o.Name, err)
		}
		v.Outputs = append(v.Outputs, outputRow{o.Name, string(text)})
	}
	for name, value := range rec.Variables {
		v.Variables = append(v.Variables, outputRow{name, spell.Value(value)})
	}
	slices.SortFunc(v.Variables, func(x, y outputRow) int { return strings.Compare(x.Name, y.Name) })
	return page.Execute(w, v)
}

type outputRow struct{ Name, Text string }

// shortName is the last folder or file of a pipeline's path.
func shortName(path string) string {
	parts := strings.Split(strings.TrimRight(strings.ReplaceAll(path, `\`, "/"), "/"), "/")
	return parts[len(parts)-1]
}
