package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/mitchellh/go-wordwrap"

	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/spell"
)

// showFailures prints what went wrong, one box a failure, in the manner of the
// diagnostics.
func (a *app) showFailures(rec *record.Record) error {
	width, _ := terminalSize(a.Err)
	on := a.colored(a.Err)
	for _, f := range rec.Failures {
		if err := writeFailure(a.Err, f, width, on); err != nil {
			return err
		}
	}
	return nil
}

func writeFailure(w io.Writer, f record.Failure, width int, colored bool) error {
	head := f.Name
	if p := spell.Point(f.Point, nil); p != "" {
		head += " at " + p
	}
	if f.Part != "" {
		head += ", " + f.Part
	}
	lines := []string{paintIf(colored, red, "Error: ") + paintIf(colored, bold, head+" failed"), ""}
	message := strings.TrimPrefix(f.Message, spell.Address(f.Name, f.Point)+": ")
	if width > 10 {
		message = wordwrap.WrapString(message, uint(width-2))
	}
	lines = append(lines, strings.Split(message, "\n")...)
	if f.Detail != "" {
		lines = append(lines, "", "This is a mistake in compressc; it stood here:")
		lines = append(lines, strings.Split(f.Detail, "\n")...)
	}
	if n := len(f.Stopped); n > 0 {
		held := strings.Join(f.Stopped[:min(n, 4)], ", ")
		if n > 4 {
			held += fmt.Sprintf(" and %d more", n-4)
		}
		lines = append(lines, "", "Not finished because of it: "+held+".")
	}
	var b strings.Builder
	b.WriteString(paintIf(colored, red, "╷") + "\n")
	for _, l := range lines {
		b.WriteString(strings.TrimRight(paintIf(colored, red, "│")+" "+l, " ") + "\n")
	}
	b.WriteString(paintIf(colored, red, "╵") + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// showRecord prints what a run measured, decided, wrote and took. Failures are
// left out where showFailures has told of them.
func (a *app) showRecord(rec *record.Record, failures bool) {
	v := recordView{w: a.Out, on: a.colored(a.Out), rec: rec}
	v.evaluations()
	v.gates()
	v.selections()
	v.exports()
	v.outputs()
	if failures {
		v.failed()
	}
	v.summary()
}

// recordView prints a record for people.
type recordView struct {
	w   io.Writer
	on  bool
	rec *record.Record
}

func (v *recordView) title(s string) { fmt.Fprintln(v.w, paintIf(v.on, bold, s)) }

// evaluations prints one table for the evaluations that no sweep reaches and
// one for each set of axes, with a line a point.
func (v *recordView) evaluations() {
	type set struct {
		axes []string
		list []record.Evaluation
	}
	var sets []*set
	var tabled []record.Evaluation
	for _, e := range v.rec.Evaluations {
		if e.Table() != nil {
			tabled = append(tabled, e)
			continue
		}
		axes := spell.Axes(e.Point, v.rec.Axes)
		i := slices.IndexFunc(sets, func(s *set) bool { return slices.Equal(s.axes, axes) })
		if i < 0 {
			i = len(sets)
			sets = append(sets, &set{axes: axes})
		}
		sets[i].list = append(sets[i].list, e)
	}
	if len(v.rec.Evaluations) == 0 {
		return
	}
	v.title("Evaluations")
	for _, s := range sets {
		if len(s.axes) == 0 {
			v.single(s.list)
		} else {
			v.swept(s.axes, s.list)
		}
	}
	for _, e := range tabled {
		v.tabled(e)
	}
}

// mostRows is how much of a report's table is printed.
const mostRows = 40

// tabled prints the table of an evaluation that measured many things.
func (v *recordView) tabled(e record.Evaluation) {
	t := e.Table()
	of := ""
	if e.Of != "" {
		of = " of " + e.Of
	}
	fmt.Fprintf(v.w, "  %s%s", spell.Address(e.Name, e.Point), of)
	if p := e.Metrics["perplexity"]; p != nil {
		fmt.Fprintf(v.w, ", perplexity %s", spell.Number(*p))
	}
	fmt.Fprintln(v.w)
	names, right := spell.Columns(t)
	for i := range names {
		if right[i] {
			names[i] = ">" + names[i]
		}
	}
	out := newTable(len(names), names...)
	for _, row := range t.Rows[:min(len(t.Rows), mostRows)] {
		var cells []cell
		for _, c := range t.Columns {
			text, diverged := spell.Entry(row, c)
			if diverged {
				cells = append(cells, cell{text, red})
			} else {
				cells = append(cells, cell{text: text})
			}
		}
		out.cells(cells...)
	}
	out.write(v.w, "    ", v.on)
	if n := len(t.Rows) - mostRows; n > 0 {
		fmt.Fprintf(v.w, "    %s\n", paintIf(v.on, dim, spell.Plural(n, "row more", "rows more")+" in show -json"))
	}
	fmt.Fprintln(v.w)
}

// single prints a line an evaluation.
func (v *recordView) single(list []record.Evaluation) {
	metrics := spell.Metrics(list)
	names := []string{"", "of", ">bits/weight", ">size"}
	for _, m := range metrics {
		names = append(names, ">"+m)
	}
	t := newTable(len(names), names...)
	for _, e := range list {
		cells := append([]cell{{text: e.Name}, {text: e.Of}}, modelCells(e.Model)...)
		for _, m := range metrics {
			cells = append(cells, metricCell(e, m))
		}
		t.cells(cells...)
	}
	t.write(v.w, "  ", v.on)
	fmt.Fprintln(v.w)
}

// swept prints a line a point, with the metrics of every evaluation there.
func (v *recordView) swept(axes []string, list []record.Evaluation) {
	var blocks, points []string
	at := map[string]record.Evaluation{}
	first := map[string]record.Evaluation{}
	for _, e := range list {
		p := spell.Point(e.Point, axes)
		if !slices.Contains(blocks, e.Name) {
			blocks = append(blocks, e.Name)
		}
		if !slices.Contains(points, p) {
			points = append(points, p)
			first[p] = e
		}
		at[e.Name+" "+p] = e
	}
	names := []string{}
	for _, x := range axes {
		names = append(names, ">"+x)
	}
	names = append(names, ">bits/weight", ">size")
	metrics := map[string][]string{}
	for _, b := range blocks {
		metrics[b] = spell.Metrics(slices.DeleteFunc(slices.Clone(list), func(e record.Evaluation) bool { return e.Name != b }))
		for _, m := range metrics[b] {
			label := m
			if len(blocks) > 1 {
				label = strings.TrimPrefix(b, "evaluate.") + " " + m
			}
			names = append(names, ">"+label)
		}
	}
	if len(blocks) == 1 {
		fmt.Fprintf(v.w, "  %s%s\n", blocks[0], measured(list))
	}
	t := newTable(len(names), names...)
	for _, p := range points {
		var cells []cell
		for _, x := range axes {
			cells = append(cells, cell{text: spell.Value(first[p].Point[x])})
		}
		cells = append(cells, modelCells(sameModel(blocks, p, at))...)
		for _, b := range blocks {
			for _, m := range metrics[b] {
				cells = append(cells, metricCell(at[b+" "+p], m))
			}
		}
		t.cells(cells...)
	}
	t.write(v.w, "  ", v.on)
	fmt.Fprintln(v.w)
}

// measured names the block whose points the evaluations measure, if it is one.
func measured(list []record.Evaluation) string {
	block := ""
	for i, e := range list {
		name, _, _ := strings.Cut(e.Of, "[")
		if i > 0 && name != block {
			return ""
		}
		block = name
	}
	if block == "" {
		return ""
	}
	return " of " + block
}

// sameModel is the model that all blocks measure at a point, nil where they
// measure several.
func sameModel(blocks []string, point string, at map[string]record.Evaluation) *record.Model {
	var of string
	var model *record.Model
	for _, b := range blocks {
		e, ok := at[b+" "+point]
		switch {
		case !ok:
		case of == "":
			of, model = e.Of, e.Model
		case e.Of != of:
			return nil
		}
	}
	return model
}

func modelCells(m *record.Model) []cell {
	if m == nil {
		return []cell{{}, {}}
	}
	return []cell{{text: fmt.Sprintf("%.2f", m.BitsPerWeight)}, {text: spell.Bytes(m.Bytes)}}
}

func metricCell(e record.Evaluation, name string) cell {
	m, has := e.Metrics[name]
	switch {
	case e.Name == "" || !has:
		return cell{}
	case m != nil:
		return cell{text: spell.Number(*m)}
	case e.Status == record.OK || e.Status == record.Cached || e.Status == record.Run:
		return cell{"diverged", red}
	case e.Status == record.Failed:
		return cell{e.Status, red}
	}
	return cell{statusText(e.Status), dim}
}

// statusText is a status for people.
func statusText(status string) string {
	if status == record.Skipped {
		return "not run"
	}
	return status
}

// gates prints the gates: those that passed together, the others one by one.
func (v *recordView) gates() {
	if len(v.rec.Gates) == 0 {
		return
	}
	v.title("Gates")
	var names []string
	for _, g := range v.rec.Gates {
		if !slices.Contains(names, g.Name) {
			names = append(names, g.Name)
		}
	}
	for _, name := range names {
		v.gate(name)
	}
	fmt.Fprintln(v.w)
}

// gate prints a gate's points: those that passed together, and of the others
// those that ended in the same way for the same reason.
func (v *recordView) gate(name string) {
	type ending struct{ status, message string }
	passed, all := 0, 0
	var endings []ending
	points := map[ending][]string{}
	for _, g := range v.rec.Gates {
		if g.Name != name {
			continue
		}
		all++
		if g.Status == record.Passed {
			passed++
			continue
		}
		e := ending{g.Status, g.Message}
		if points[e] == nil {
			endings = append(endings, e)
		}
		points[e] = append(points[e], spell.Point(g.Point, v.rec.Axes))
	}
	if passed > 0 {
		text := "passed"
		if all > 1 {
			text = fmt.Sprintf("passed at %d of %s", passed, spell.Plural(all, "point", "points"))
		}
		fmt.Fprintf(v.w, "  %s %s %s\n", paintIf(v.on, green, "✓"), name, text)
	}
	for _, e := range endings {
		mark, c := "✗", red
		if e.status == record.Undecided {
			mark, c = "?", yellow
		}
		text := e.status
		switch at := points[e]; {
		case len(at) > 4:
			text += fmt.Sprintf(" at %d points, the first of them %s", len(at), at[0])
		case at[0] != "":
			text += " at " + strings.Join(at, "; ")
		}
		if e.message != "" {
			text += ": " + e.message
		}
		fmt.Fprintf(v.w, "  %s %s %s\n", paintIf(v.on, c, mark), name, text)
	}
}

func (v *recordView) selections() {
	if len(v.rec.Selections) == 0 {
		return
	}
	v.title("Selections")
	for _, s := range v.rec.Selections {
		name := spell.Address(s.Name, s.Point)
		switch {
		case s.Winner != "":
			fmt.Fprintf(v.w, "  %s %s → %s", paintIf(v.on, green, "✓"), name, s.Winner)
			if m := v.model(s.Winner); m != nil {
				fmt.Fprintf(v.w, " (%.2f bits/weight, %s)", m.BitsPerWeight, spell.Bytes(m.Bytes))
			}
			fmt.Fprintln(v.w, triedText(s.Method, len(s.Tried), s.Of))
		case s.Error != "":
			fmt.Fprintf(v.w, "  %s %s: %s\n", paintIf(v.on, red, "✗"), name, s.Error)
		default:
			fmt.Fprintf(v.w, "  %s %s %s\n", paintIf(v.on, yellow, "?"), name, s.Status)
		}
	}
	fmt.Fprintln(v.w)
}

// model finds the model that a node yields.
func (v *recordView) model(addr string) *record.Model {
	for _, e := range v.rec.Evaluations {
		if e.Of == addr {
			return e.Model
		}
	}
	for _, n := range v.rec.Nodes {
		if n.Name == addr && len(n.Point) == 0 {
			return n.Model
		}
	}
	return nil
}

func (v *recordView) exports() {
	if len(v.rec.Exports) == 0 {
		return
	}
	v.title("Exports")
	for _, e := range v.rec.Exports {
		name := spell.Address(e.Name, e.Point)
		if len(e.Files) == 0 {
			fmt.Fprintf(v.w, "  %s %s\n", name, paintIf(v.on, map[bool]color{true: red, false: dim}[e.Status == record.Failed], statusText(e.Status)))
			continue
		}
		fmt.Fprintf(v.w, "  %s\n", name)
		t := newTable(4)
		t.right[1] = true
		for _, f := range e.Files {
			state := "as it was"
			if f.Written {
				state = "written"
			}
			t.cells(cell{text: f.Path}, cell{text: spell.Bytes(f.Bytes)}, cell{"sha256:" + f.Digest[:min(12, len(f.Digest))], dim}, cell{state, dim})
		}
		t.write(v.w, "    ", v.on)
	}
	fmt.Fprintln(v.w)
}

// outputs prints the values of output blocks; those over points were printed
// as evaluations more often than not, and stand in the JSON.
func (v *recordView) outputs() {
	if len(v.rec.Outputs) == 0 {
		return
	}
	v.title("Outputs")
	for _, o := range v.rec.Outputs {
		raw, err := json.Marshal(o.Output)
		if err != nil {
			continue
		}
		var out struct {
			Value  json.RawMessage `json:"value"`
			Status string          `json:"status"`
			Reason string          `json:"reason"`
			Points []struct {
				Point  record.Sweeps   `json:"point"`
				Status string          `json:"status"`
				Value  json.RawMessage `json:"value"`
				Reason string          `json:"reason"`
			} `json:"points"`
		}
		if json.Unmarshal(raw, &out) != nil {
			fmt.Fprintf(v.w, "  %s = %s\n", o.Name, raw)
			continue
		}
		if out.Points == nil {
			fmt.Fprintf(v.w, "  %s = %s\n", o.Name, outputText(out.Value, out.Status, out.Reason))
			continue
		}
		fmt.Fprintf(v.w, "  %s\n", o.Name)
		for _, p := range out.Points {
			fmt.Fprintf(v.w, "    %s: %s\n", spell.Point(p.Point.Point(), v.rec.Axes), outputText(p.Value, p.Status, p.Reason))
		}
	}
	fmt.Fprintln(v.w)
}

func outputText(value json.RawMessage, status, reason string) string {
	if status != "" && status != record.OK || string(value) == "null" && reason != "" {
		text := status
		if text == "" {
			text = "null"
		}
		if reason != "" {
			text += " (" + reason + ")"
		}
		return text
	}
	return string(value)
}

// failed lists the failures again where the record is all that is shown.
func (v *recordView) failed() {
	if len(v.rec.Failures) == 0 {
		return
	}
	v.title("Failures")
	for _, f := range v.rec.Failures {
		name := spell.Address(f.Name, f.Point)
		message, _, _ := strings.Cut(strings.TrimPrefix(f.Message, name+": "), "\n")
		fmt.Fprintf(v.w, "  %s %s, %s: %s\n", paintIf(v.on, red, "✗"), name, f.Part, message)
	}
	fmt.Fprintln(v.w)
}

func (v *recordView) summary() {
	r := v.rec
	word, c := map[string]string{record.OK: "Done", record.GateFailed: "A gate failed", record.Failed: "Failed", record.Interrupted: "Interrupted"}[r.Status], red
	if r.Status == record.OK {
		c = green
	}
	fmt.Fprintf(v.w, "%s: %s, %d cached, %d run", paintIf(v.on, c, word), spell.Plural(r.Actions.Total, "action", "actions"), r.Actions.Cached, r.Actions.Run)
	if r.Actions.Failed > 0 {
		fmt.Fprintf(v.w, ", %d failed", r.Actions.Failed)
	}
	if r.Actions.Skipped > 0 {
		fmt.Fprintf(v.w, ", %d not run", r.Actions.Skipped)
	}
	if r.Actions.Compared > 0 {
		fmt.Fprintf(v.w, ", %d compared with a second run", r.Actions.Compared)
	}
	workers := map[string]bool{}
	for _, n := range r.Nodes {
		for w := range n.Workers {
			workers[w] = true
		}
	}
	if len(workers) > 0 {
		fmt.Fprintf(v.w, "; %s", spell.Plural(len(workers), "worker", "workers"))
	}
	fmt.Fprintf(v.w, "; %s; peak memory %s. Run %s.\n", spell.Seconds(r.Seconds), spell.Bytes(r.PeakAnonBytes), r.ID)
}
