package planner

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/lang"
)

// finding is a diagnostic at one place of a block.
type finding struct {
	block *lang.Block
	at    string
	diag  *hcl.Diagnostic
}

// report notes diagnostics; at is nil for what concerns the block as a whole.
func (x *expander) report(b *lang.Block, at *place, diags ...*hcl.Diagnostic) {
	text := ""
	if at != nil {
		text = at.text()
	}
	// The text of a block with for_each, or of a module, stands for several.
	if b.Keyed || b.Module.Path != "" {
		where := b.Addr()
		if b.Kind == lang.KindLocal || b.Kind == lang.KindVariable {
			where = b.Module.Path
		}
		if text != "" {
			where += "[" + text + "]"
		}
		text = where
	}
	for _, d := range diags {
		x.found = append(x.found, finding{b, text, d})
	}
}

func (x *expander) reportList(n *Node, list diag.List) {
	diags := n.Block.Body.Diagnostics(list)
	for i, d := range list {
		if b := x.made[d.Origin]; b != nil && b != n.Block {
			diags[i].Detail += fmt.Sprintf("\n%s stands at %s line %d.", b.Addr(), b.Body.DefRange.Filename, b.Body.DefRange.Start.Line)
		}
	}
	x.report(n.Block, &n.place, diags...)
}

// diagnostics makes one diagnostic of a mistake that shows at several points.
func (x *expander) diagnostics() hcl.Diagnostics {
	type key struct {
		severity hcl.DiagnosticSeverity
		summary  string
		block    hcl.Range
		subject  hcl.Range
	}
	var keys []key
	groups := map[key][]finding{}
	for _, f := range x.found {
		k := key{f.diag.Severity, f.diag.Summary, f.block.Body.DefRange, hcl.Range{}}
		if f.diag.Subject != nil {
			k.subject = *f.diag.Subject
		}
		same := slices.ContainsFunc(groups[k], func(g finding) bool { return g.at == f.at && g.diag.Detail == f.diag.Detail })
		if same {
			continue
		}
		if groups[k] == nil {
			keys = append(keys, k)
		}
		groups[k] = append(groups[k], f)
	}
	var out hcl.Diagnostics
	for _, k := range keys {
		out = append(out, x.merge(groups[k]))
	}
	return lang.Merge(out)
}

// shownPoints bounds how many points a message names.
const shownPoints = 6

func (x *expander) merge(group []finding) *hcl.Diagnostic {
	d := *group[0].diag
	if group[0].at == "" && len(group) == 1 {
		return &d
	}
	// Findings are grouped by what they say; each group names its points.
	var details []string
	points := map[string][]string{}
	for _, f := range group {
		if points[f.diag.Detail] == nil {
			details = append(details, f.diag.Detail)
		}
		points[f.diag.Detail] = append(points[f.diag.Detail], f.at)
	}
	var text []string
	for i, detail := range details {
		if i == shownPoints {
			text = append(text, fmt.Sprintf("And %d more.", len(details)-i))
			break
		}
		text = append(text, detail+x.pointsText(group[0].block, points[detail]))
	}
	d.Detail = strings.Join(text, "\n")
	return &d
}

func (x *expander) pointsText(b *lang.Block, at []string) string {
	at = slices.DeleteFunc(slices.Clone(at), func(s string) bool { return s == "" })
	total := x.places[b]
	called := ""
	if b.Keyed || b.Module.Path != "" {
		total = 0
		for _, o := range x.pipeline.Blocks {
			if o.Body.DefRange == b.Body.DefRange {
				total += x.places[o]
			}
		}
		if total == 1 {
			called = "\nThis is so in " + b.Module.Called() + "."
		}
		if b.Module.Path == "" {
			called = ""
		}
	}
	switch {
	case len(at) == 0 || total == 1:
		return called
	case len(at) == total && total > 1:
		return fmt.Sprintf("\nThis is so at all %d points.", total)
	case len(at) == 1 || len(at) > total:
		return "\nThis is so at " + strings.Join(at[:min(len(at), shownPoints)], "; ") + "."
	}
	shown := at
	more := ""
	if len(at) > shownPoints {
		shown, more = at[:shownPoints], fmt.Sprintf(" and %d more", len(at)-shownPoints)
	}
	return fmt.Sprintf("\nThis is so at %d of %d points: %s%s.", len(at), total, strings.Join(shown, "; "), more)
}

// hasErrors reports whether anything found so far is an error.
func (x *expander) hasErrors() bool {
	return slices.ContainsFunc(x.found, func(f finding) bool { return f.diag.Severity == hcl.DiagError })
}

// checkOverlaps warns of test data that a model was calibrated on.
func (x *expander) checkOverlaps() {
	for _, n := range x.nodes {
		if n.Block.Type != "evaluate" || !n.Enabled {
			continue
		}
		for _, test := range n.DependsOn {
			if test.Data == nil || len(test.Data.Type.WindowDigests) == 0 {
				continue
			}
			seen := map[string]bool{}
			for _, d := range test.Data.Type.WindowDigests {
				seen[d] = true
			}
			x.walkCalibration(n, func(user, calib *Node) {
				if calib == test {
					x.overlap(n, test, calib, user, len(test.Data.Type.WindowDigests))
					return
				}
				common := map[string]bool{}
				for _, d := range calib.Data.Type.WindowDigests {
					if seen[d] {
						common[d] = true
					}
				}
				if len(common) > 0 {
					x.overlap(n, test, calib, user, len(common))
				}
			})
		}
	}
}

// walkCalibration calls f for the data that the models n measures were made
// with, and the node that used it.
func (x *expander) walkCalibration(n *Node, f func(user, calib *Node)) {
	seen := map[*Node]bool{n: true}
	var visit func(*Node)
	visit = func(m *Node) {
		// Choosing by a measurement is not calibrating: what a select weighs is
		// not followed, its candidate is.
		if seen[m] || m.Block.Kind != lang.KindVerb || m.Block.Yields() != lang.YieldsModel && m.Block.Yields() != lang.YieldsAllocation {
			return
		}
		seen[m] = true
		for _, d := range m.DependsOn {
			if d.Data != nil {
				f(m, d)
			}
			visit(d)
		}
	}
	for _, d := range n.DependsOn {
		if d.Data == nil {
			visit(d)
		}
	}
}

func (x *expander) overlap(n, test, calib, user *Node, common int) {
	detail := fmt.Sprintf("%d of the %d windows of %s are also in %s, which %s uses. The result will look better than it is.",
		common, test.Data.Type.Windows, test.Block.Addr(), calib.Block.Addr(), user.Block.Addr())
	if calib == test {
		detail = fmt.Sprintf("%s is also what %s uses. The result will look better than it is.", test.Block.Addr(), user.Block.Addr())
	}
	x.report(n.Block, &n.place, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Test data overlaps calibration data",
		Detail: detail, Subject: n.Block.Body.Range("data").Ptr()})
}

// checkExports finds files that two exports would write. Nodes that hang on
// different candidates of one select never both run.
func (x *expander) checkExports() {
	writers := map[string][]*Node{}
	for _, n := range x.nodes {
		if n.Result.Export == nil {
			continue
		}
		clash := false // one file says what is wrong with the others
		for _, f := range n.Result.Export.Files {
			f = path.Clean(filepath.ToSlash(f))
			for _, w := range writers[f] {
				if clash || w == n || !w.place.agrees(n.place) {
					continue
				}
				hint := " Give each a path of its own."
				if w.Block == n.Block {
					hint = pathHint(w, n)
				}
				x.errorAt(n.Block, &n.place, n.Block.Body.Range("path"), "File written twice", "%s would write %q too.%s", w.Addr(), f, hint)
				clash = true
				break
			}
			writers[f] = append(writers[f], n)
		}
	}
}

// pathHint says how the path can tell two points of an export apart.
func pathHint(w, n *Node) string {
	for _, c := range n.Point {
		if w.Point.index(c.Axis) != c.Index {
			return fmt.Sprintf(" Put the point into the path: \"…-${sweep.%s.%s}\".", c.Axis.Sweep.Name, c.Axis.Name)
		}
	}
	if n.Block.Keyed {
		return " Put the key into the path: \"…-${each.key}\"."
	}
	return " Put into the path what differs."
}

// roots tells the blocks that a run is for: evaluations, gates, selections,
// exports and outputs, or the last verbs where there are none.
func (x *expander) roots() func(*lang.Block) bool {
	roots := func(b *lang.Block) bool { return b.IsRoot() }
	if slices.ContainsFunc(x.pipeline.Blocks, roots) {
		return roots
	}
	used := map[*lang.Block]bool{}
	for _, b := range x.pipeline.Blocks {
		for _, n := range b.Needs() {
			used[n] = true
		}
	}
	return func(b *lang.Block) bool { return b.Kind == lang.KindVerb && !used[b] }
}

// mark makes n and all that it waits for needed.
func (n *Node) mark() {
	if n.Needed {
		return
	}
	n.Needed = true
	for _, list := range [][]*Node{n.DependsOn, n.Watches, n.Requires, n.Candidates} {
		for _, m := range list {
			m.mark()
		}
	}
	for _, c := range n.Choices {
		c.Select.mark()
	}
}

// markNeeded finds what the roots need, and warns of blocks that nothing
// needs. Where something is broken, what it was for is not known.
func (x *expander) markNeeded() {
	roots := x.roots()
	for _, n := range x.nodes {
		if roots(n.Block) {
			n.mark()
		}
	}
	reached := map[*lang.Block]bool{}
	var visit func(*lang.Block)
	visit = func(b *lang.Block) {
		if reached[b] {
			return
		}
		reached[b] = true
		for _, n := range b.Needs() {
			visit(n)
		}
	}
	sound := !x.hasErrors() && !x.pipeline.Faulty
	for _, b := range x.pipeline.Blocks {
		// What a module puts out may go unused, and what it says of its calls.
		if roots(b) || b.Module.Path != "" && b.Kind == lang.KindLocal {
			visit(b)
		}
		sound = sound && !b.Broken && !b.Damaged
	}
	if !sound {
		return
	}
	for _, b := range x.pipeline.Blocks {
		switch b.Kind {
		case lang.KindVerb, lang.KindModel, lang.KindData, lang.KindAdapter, lang.KindSweep:
			if !reached[b] {
				x.report(b, nil, &hcl.Diagnostic{Severity: hcl.DiagWarning, Summary: "Unused block",
					Detail:  fmt.Sprintf("Nothing that is evaluated, gated, selected, exported or put out needs %s, so it will not run.", b.Addr()),
					Subject: b.Body.DefRange.Ptr()})
			}
		}
	}
}
