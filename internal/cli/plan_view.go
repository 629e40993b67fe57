package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/spell"
)

// showPlan prints a plan for people: a line a block, what becomes of the
// models, what is decided, and the sum.
func (a *app) showPlan(r *planReport) {
	v := planView{a: a, on: a.colored(a.Out), r: r}
	v.blocks()
	v.models()
	v.decisions()
	v.exports()
	v.sum()
}

type planView struct {
	a  *app
	on bool
	r  *planReport
}

func (v *planView) title(s string) { fmt.Fprintln(v.a.Out, paintIf(v.on, bold, s)) }

// block is what the table says of the nodes of one block.
type block struct {
	name, method string
	points       int
	status       map[string]int
	choice       bool
	after        string   // decides what the nodes do
	node         planNode // sums
}

func (v *planView) gather() []*block {
	var out []*block
	for _, n := range v.r.Nodes {
		i := slices.IndexFunc(out, func(b *block) bool { return b.name == n.Name })
		if i < 0 {
			i = len(out)
			out = append(out, &block{name: n.Name, method: n.Method, status: map[string]int{}})
		}
		b := out[i]
		if n.Choice != "" {
			b.choice = true
		}
		if n.After != "" {
			b.after = n.After
		}
		b.status[n.Status]++
		if b.points++; n.Status == planOut {
			continue
		}
		b.node.Actions.Total += n.Actions.Total
		b.node.Actions.Cached += n.Actions.Cached
		b.node.Actions.Run += n.Actions.Run
		b.node.Actions.Again += n.Actions.Again
		b.node.Seconds += n.Seconds
		b.node.WriteBytes += n.WriteBytes
		b.node.PeakBytes = max(b.node.PeakBytes, n.PeakBytes)
	}
	return out
}

func (v *planView) blocks() {
	t := newTable(9, "", "", "", ">points", ">actions", ">cached", ">to run", ">time", ">memory")
	exports := map[string]bool{}
	for _, x := range v.r.Exports {
		exports[x.Name] = true
	}
	var after []string
	for _, b := range v.gather() {
		if b.after != "" && !slices.Contains(after, b.after) {
			after = append(after, b.after)
		}
		if b.status[planSource] > 0 || exports[b.name] {
			continue
		}
		mark, c := "=", dim
		switch {
		case b.status[planRun] > 0:
			mark, c = "+", green
		case b.status[planAgain] > 0:
			mark, c = "~", yellow
		case b.status[planOff]+b.status[planOut] == b.points:
			mark = "-"
		}
		cells := []cell{{mark, c}, {text: b.name}, {b.method, dim}, {}, {}, {}, {}, {}, {}}
		if b.points > 1 {
			cells[3].text = fmt.Sprint(b.points)
		}
		if out := b.status[planOut]; out > 0 && out < b.points {
			cells[3].text = fmt.Sprintf("%d of %d", b.points-out, b.points)
		}
		if n := b.node.Actions; n.Total > 0 {
			cells[4].text = fmt.Sprint(n.Total)
			cells[5].text = fmt.Sprint(n.Cached)
			if n.Run+n.Again > 0 {
				cells[6].text = fmt.Sprint(n.Run + n.Again)
				cells[7].text = spell.Seconds(b.node.Seconds)
				cells[8].text = spell.Bytes(b.node.PeakBytes)
			}
		} else if b.after != "" {
			cells[6].text = "?"
		} else if b.status[planOff] == b.points {
			cells[2].text = "off"
		}
		t.cells(cells...)
	}
	t.write(v.a.Out, "  ", v.on)
	fmt.Fprintln(v.a.Out)
	notes := []string{"+ to run", "= in the cache"}
	if v.r.Actions.Again > 0 {
		notes = append(notes, "~ to run again for its bytes")
	}
	if len(after) > 0 {
		notes = append(notes, fmt.Sprintf("? known after %s has decided the shapes", strings.Join(after, ", ")))
	}
	fmt.Fprintf(v.a.Out, "  %s\n\n", paintIf(v.on, dim, strings.Join(notes, "   ")))
}

// models prints what each block makes of its model: one line for points that
// are alike.
func (v *planView) models() {
	t := newTable(5, "", ">bits/weight", ">sparsity", ">size", ">parameters")
	type kind struct {
		name string
		m    record.Model
	}
	var order []kind
	points := map[kind][]string{}
	total := map[string]int{}
	for _, n := range v.r.Nodes {
		if n.Model == nil || n.Status == planOut {
			continue
		}
		k := kind{n.Name, *n.Model}
		if points[k] == nil {
			order = append(order, k)
		}
		p := spell.Point(n.Point, nil)
		if n.Choice != "" {
			p = strings.TrimPrefix(p+", "+n.Choice, ", ")
		}
		points[k] = append(points[k], p)
		total[n.Name]++
	}
	if len(order) == 0 {
		return
	}
	v.title("Models")
	for _, k := range order {
		name := k.name
		if at := points[k]; len(at) < total[k.name] {
			name += " at " + at[0]
			if len(at) > 1 {
				name += fmt.Sprintf(" and %d more", len(at)-1)
			}
		}
		sparsity := ""
		if k.m.Sparsity > 0 {
			sparsity = fmt.Sprintf("%.1f %%", k.m.Sparsity*100)
		}
		t.row(name, fmt.Sprintf("%.2f", k.m.BitsPerWeight), sparsity, spell.Bytes(k.m.Bytes), countText(k.m.Parameters))
	}
	t.write(v.a.Out, "  ", v.on)
	fmt.Fprintln(v.a.Out)
}

// countText spells a number of parameters: "134.5 M".
func countText(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f B", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.1f k", float64(n)/1e3)
	}
	return fmt.Sprint(n)
}

// decisions prints gates and selects.
func (v *planView) decisions() {
	if len(v.r.Gates)+len(v.r.Selects) == 0 {
		return
	}
	v.title("Decisions")
	pending, known := map[string]int{}, map[string]map[string]int{}
	for _, g := range v.r.Gates {
		where := ""
		if p := spell.Point(g.Point, nil); p != "" {
			where = " at " + p
		}
		switch g.Status {
		case record.Passed:
			fmt.Fprintf(v.a.Out, "  %s %s passes%s\n", paintIf(v.on, green, "✓"), g.Name, where)
		case record.Failed:
			fmt.Fprintf(v.a.Out, "  %s %s fails%s: %s\n", paintIf(v.on, red, "✗"), g.Name, where, g.Message)
		default:
			if known[g.Name] == nil {
				known[g.Name] = map[string]int{}
			}
			if known[g.Name][g.Expected]++; g.Expected != planOut {
				pending[g.Name]++
			}
		}
	}
	done := map[string]bool{}
	for _, g := range v.r.Gates {
		if n := pending[g.Name]; n > 0 && !done[g.Name] {
			done[g.Name] = true
			text := "is decided after its evaluations"
			if n > 1 {
				text += fmt.Sprintf(", at each of %d points", n)
			}
			if passed, failed := known[g.Name][record.Passed], known[g.Name][record.Failed]; passed+failed > 0 {
				text += fmt.Sprintf("; by what is on record it passes at %d and fails at %d", passed, failed)
			}
			fmt.Fprintf(v.a.Out, "  · %s %s\n", g.Name, text)
		}
	}
	for _, s := range v.r.Selects {
		list := strings.Join(s.Candidates[:min(len(s.Candidates), 4)], ", ")
		if len(s.Candidates) > 4 {
			list += fmt.Sprintf(" and %d more", len(s.Candidates)-4)
		}
		name := spell.Address(s.Name, s.Point)
		switch {
		case s.Winner != "":
			fmt.Fprintf(v.a.Out, "  %s %s → %s%s\n", paintIf(v.on, green, "✓"), name, s.Winner, triedText(s.Method, len(s.Tried), len(s.Candidates)))
		case s.Method == "":
			fmt.Fprintf(v.a.Out, "  · %s chooses among %s\n", name, list)
		default:
			fmt.Fprintf(v.a.Out, "  · %s (%s) tries at most %d of %d points: %s\n", name, s.Method, s.Most, len(s.Candidates), list)
			if len(s.Tried) > 1 {
				fmt.Fprintf(v.a.Out, "    as far as is on record: %s\n", strings.Join(s.Tried, ", "))
			}
		}
	}
	fmt.Fprintln(v.a.Out)
}

// triedText says how many candidates a search has tried, "" of a select.
func triedText(method string, tried, of int) string {
	if method == "" {
		return ""
	}
	return fmt.Sprintf(", tried %d of %d points", tried, of)
}

// exports prints the files that will be there.
func (v *planView) exports() {
	if len(v.r.Exports) == 0 {
		return
	}
	v.title("Exports")
	seen := map[string]bool{}
	for _, x := range v.r.Exports {
		// Whatever a select chooses, the block writes the same files.
		name := spell.Address(x.Name, x.Point)
		if seen[name] {
			continue
		}
		seen[name] = true
		files := strings.Join(x.Files[:min(len(x.Files), 3)], ", ")
		if len(x.Files) > 3 {
			files += fmt.Sprintf(" and %d more", len(x.Files)-3)
		}
		mark, c := "+", green
		if v.r.exportStatus(x) == planAsIs {
			mark, c = "=", dim
		}
		fmt.Fprintf(v.a.Out, "  %s %s: %s\n", paintIf(v.on, c, mark), name, files)
	}
	fmt.Fprintln(v.a.Out)
}

func (v *planView) sum() {
	r := v.r
	if !r.Work {
		fmt.Fprintf(v.a.Out, "Nothing to do: the results of %s are in the cache.\n", spell.Plural(r.Actions.Total, "action", "actions"))
		return
	}
	fmt.Fprintf(v.a.Out, "%s %s to run, %d cached", paintIf(v.on, bold, "Plan:"), spell.Plural(r.Actions.Run, "action", "actions"), r.Actions.Cached)
	if r.Actions.Again > 0 {
		fmt.Fprintf(v.a.Out, ", %d to run again for their bytes", r.Actions.Again)
	}
	fmt.Fprintf(v.a.Out, ". About %s, up to %s of memory for one action, %s into the cache.\n", spell.Seconds(r.Seconds), spell.Bytes(r.PeakBytes), spell.Bytes(r.WriteBytes))
	if r.Saved > 0 {
		fmt.Fprintf(v.a.Out, "Shared work that is done once was asked for %s more.\n", spell.Plural(r.Saved, "time", "times"))
	}
}
