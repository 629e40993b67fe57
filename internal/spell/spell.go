// Package spell spells numbers, sizes, times and points for people, the same
// way in the terminal and in reports.
package spell

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/compressc/compressc/internal/record"
)

// Bytes spells a size in powers of 1000, as disks and models are sold.
func Bytes(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// Seconds spells a time for people: "0.3 s", "41 s", "3m20s", "2h05m".
func Seconds(s float64) string {
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

// Plural spells a number and a noun.
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(int64(n)) + " " + many
}

// Number spells a measured number with five digits at least.
func Number(x float64) string {
	if x == 0 || math.Abs(x) >= 1e-3 && math.Abs(x) < 1e6 {
		if math.Abs(x) >= 1000 {
			return strconv.FormatFloat(x, 'f', 1, 64)
		}
		return strconv.FormatFloat(x, 'f', 4, 64)
	}
	return strconv.FormatFloat(x, 'e', 4, 64)
}

// Axes lists a point's axes in the order of the sweeps.
func Axes(p record.Point, order []string) []string {
	var out, rest []string
	for _, x := range order {
		if _, ok := p[x]; ok {
			out = append(out, x)
		}
	}
	for x := range p {
		if !slices.Contains(out, x) {
			rest = append(rest, x)
		}
	}
	slices.Sort(rest)
	return append(out, rest...)
}

// Point spells a point: "rank.rank=16, s.sparsity=0.5"; "" for the one
// point of what no sweep reaches.
func Point(p record.Point, order []string) string {
	parts := []string{}
	for _, x := range Axes(p, order) {
		parts = append(parts, x+"="+Value(p[x]))
	}
	return strings.Join(parts, ", ")
}

// Value spells a value of an axis: texts without quotes.
func Value(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	var s string
	if json.Unmarshal(b, &s) == nil {
		return s
	}
	return string(b)
}

// Address spells a name with its point as the planner does, as far as the
// point's order is known.
func Address(name string, p record.Point) string {
	if len(p) == 0 {
		return name
	}
	return name + "[" + strings.ReplaceAll(Point(p, nil), ", ", ",") + "]"
}

// Metrics lists the metrics of all evaluations, perplexity first.
func Metrics(list []record.Evaluation) []string {
	var names []string
	for _, e := range list {
		for n := range e.Metrics {
			if !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	slices.SortFunc(names, func(x, y string) int {
		if (x == "perplexity") != (y == "perplexity") {
			return map[bool]int{true: -1, false: 1}[x == "perplexity"]
		}
		return strings.Compare(x, y)
	})
	return names
}

// Columns are the headings of a report's table, and which hold numbers.
func Columns(t *record.Table) (names []string, numbers []bool) {
	names, numbers = slices.Clone(t.Columns), make([]bool, len(t.Columns))
	for i, c := range t.Columns {
		numbers[i] = !slices.ContainsFunc(t.Rows, func(row map[string]any) bool { _, text := row[c].(string); return text })
	}
	return names, numbers
}

// Entry spells what a row of a report's table has in a column; diverged is set of
// a number that is not finite.
func Entry(row map[string]any, column string) (text string, diverged bool) {
	x, has := row[column]
	switch x := x.(type) {
	case nil:
		if has {
			return "diverged", true
		}
		return "", false
	case string:
		return x, false
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1e6 {
			return strconv.FormatFloat(x, 'f', 0, 64), false
		}
		return Number(x), false
	}
	return fmt.Sprint(x), false
}
