package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/spell"
)

// diffFormat is the version of diff -json, counted like planFormat.
const diffFormat = "1.0"

// diffReport says what is different between two plans, runs or revisions.
type diffReport struct {
	FormatVersion string `json:"format_version"`
	// Kind is "revisions", "plans" or "runs".
	Kind  string    `json:"kind"`
	Sides diffSides `json:"sides"`
	// Equal says that there is no difference but in what it costs.
	Equal     bool         `json:"equal"`
	Blocks    []diffBlock  `json:"blocks"`
	Variables []diffValue  `json:"variables"`
	Models    []diffModel  `json:"models"`
	Cost      []diffNumber `json:"cost"`
	Metrics   []diffMetric `json:"metrics"`
	Decisions []diffValue  `json:"decisions"`
	Files     []diffFile   `json:"files"`
	Outputs   []diffValue  `json:"outputs"`
	// Notes say what could not be compared.
	Notes []string `json:"notes,omitempty"`
}

// diffSides name the two.
type diffSides struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// The kinds of changes of a block.
const (
	diffAdded   = "added"
	diffRemoved = "removed"
	diffChanged = "changed"
	// diffResult is a block whose text is the same and whose result is another.
	diffResult = "result"
)

// diffBlock is a block that is there on one side only, or that is different, at
// all the points where it is so in the same way.
type diffBlock struct {
	Name   string `json:"name"`
	Change string `json:"change"`
	Verb   string `json:"verb"`
	// Points are addresses; one without a point is the block's.
	Points    []string    `json:"points"`
	Arguments []diffValue `json:"arguments,omitempty"`
}

// diffValue is a value on both sides; null where there is none.
type diffValue struct {
	Name string          `json:"name"`
	From json.RawMessage `json:"from"`
	To   json.RawMessage `json:"to"`
}

type diffModel struct {
	Address string        `json:"address"`
	From    *record.Model `json:"from"`
	To      *record.Model `json:"to"`
}

type diffNumber struct {
	Name string  `json:"name"`
	From float64 `json:"from"`
	To   float64 `json:"to"`
}

type diffMetric struct {
	Address string   `json:"address"`
	Metric  string   `json:"metric"`
	From    *float64 `json:"from"`
	To      *float64 `json:"to"`
}

type diffFile struct {
	Path string       `json:"path"`
	From *record.File `json:"from"`
	To   *record.File `json:"to"`
}

// snapshot is one side of a comparison.
type snapshot struct {
	name    string
	kind    string
	entries []diffEntry
	cost    []diffNumber
	// The rest is there of runs only.
	variables map[string]any
	metrics   []record.Evaluation
	decisions []diffValue
	files     []record.File
	outputs   map[string]any
	notes     []string
}

// diffEntry is a block at one point, for one choice.
type diffEntry struct {
	name, address string
	verb, method  string
	arguments     map[string]any
	model         *record.Model
	digest        string
}

func planSnapshot(name string, r *planReport) *snapshot {
	s := &snapshot{name: name, kind: "plans"}
	add := func(name string, p record.Point, choice, verb, method string, args map[string]any, m *record.Model) {
		address := spell.Address(name, p)
		if choice != "" {
			address += " for " + choice
		}
		s.entries = append(s.entries, diffEntry{name: name, address: address, verb: verb, method: method, arguments: args, model: m})
	}
	for _, n := range r.Nodes {
		add(n.Name, n.Point, n.Choice, n.Verb, n.Method, n.Arguments, n.Model)
	}
	for _, g := range r.Gates {
		add(g.Name, g.Point, "", "gate", "", g.Arguments, nil)
	}
	for _, x := range r.Selects {
		verb := "select"
		if x.Method != "" {
			verb = "search"
		}
		add(x.Name, x.Point, "", verb, x.Method, x.Arguments, nil)
	}
	for _, o := range r.Outputs {
		add(o.Name, o.Point, "", "output", "", o.Arguments, nil)
	}
	s.cost = []diffNumber{{"actions", 0, float64(r.Actions.Total)}, {"actions to run", 0, float64(r.Actions.Run + r.Actions.Again)},
		{"seconds", 0, r.Seconds}, {"peak bytes", 0, float64(r.PeakBytes)}, {"bytes written", 0, float64(r.WriteBytes)}}
	return s
}

func runSnapshot(r *record.Record) *snapshot {
	s := &snapshot{name: "run " + r.ID, kind: "runs", variables: r.Variables, metrics: r.Evaluations, outputs: map[string]any{}}
	if s.variables == nil {
		s.variables = map[string]any{}
	}
	for _, n := range r.Nodes {
		s.entries = append(s.entries, diffEntry{name: n.Name, address: spell.Address(n.Name, n.Point), verb: n.Verb, method: n.Method,
			arguments: n.Arguments, model: n.Model, digest: n.Digest})
	}
	for _, g := range r.Gates {
		s.decisions = append(s.decisions, diffValue{Name: spell.Address(g.Name, g.Point), To: rawJSON(g.Status)})
	}
	for _, x := range r.Selections {
		s.decisions = append(s.decisions, diffValue{Name: spell.Address(x.Name, x.Point), To: rawJSON(x.Winner)})
	}
	for _, x := range r.Exports {
		s.files = append(s.files, x.Files...)
	}
	for _, o := range r.Outputs {
		s.outputs[o.Name] = o.Output
	}
	s.cost = []diffNumber{{"actions", 0, float64(r.Actions.Total)}, {"actions run", 0, float64(r.Actions.Run)}, {"seconds", 0, r.Seconds}, {"peak bytes", 0, float64(r.PeakAnonBytes)}}
	return s
}

// rawJSON is a value in one spelling.
func rawJSON(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return json.RawMessage(fmt.Sprintf("%q", err.Error())) // values of arguments encode
	}
	// Once more, so that a value that was read from a file is spelt like one that
	// was not.
	var again any
	d := json.NewDecoder(&b)
	d.UseNumber()
	if d.Decode(&again) == nil {
		b.Reset()
		if e.Encode(again) == nil {
			return bytes.TrimSpace(b.Bytes())
		}
	}
	return bytes.TrimSpace(b.Bytes())
}

// compare reports what is different between two sides of one kind.
func compare(from, to *snapshot, kind string) *diffReport {
	r := &diffReport{FormatVersion: diffFormat, Kind: kind, Sides: diffSides{from.name, to.name},
		Blocks: []diffBlock{}, Models: []diffModel{}, Cost: []diffNumber{}, Metrics: []diffMetric{}, Files: []diffFile{},
		Notes: slices.Concat(from.notes, to.notes)}
	r.compareBlocks(from, to)
	r.Variables = compareValues(from.variables, to.variables)
	for i, c := range to.cost {
		if i < len(from.cost) && from.cost[i].Name == c.Name {
			r.Cost = append(r.Cost, diffNumber{c.Name, from.cost[i].To, c.To})
		}
	}
	r.compareMetrics(from.metrics, to.metrics)
	r.Decisions = compareDecisions(from.decisions, to.decisions)
	r.compareFiles(from.files, to.files)
	r.Outputs = compareValues(from.outputs, to.outputs)
	r.Equal = len(r.Blocks)+len(r.Variables)+len(r.Models)+len(r.Metrics)+len(r.Decisions)+len(r.Files)+len(r.Outputs) == 0
	return r
}

func (r *diffReport) compareBlocks(from, to *snapshot) {
	before := map[string]*diffEntry{}
	for i := range from.entries {
		before[from.entries[i].address] = &from.entries[i]
	}
	for i := range to.entries {
		n := &to.entries[i]
		o := before[n.address]
		delete(before, n.address)
		if o == nil {
			r.block(n, diffAdded, nil)
			if n.model != nil {
				r.Models = append(r.Models, diffModel{n.address, nil, n.model})
			}
			continue
		}
		var args []diffValue
		if o.method != n.method {
			args = append(args, diffValue{"method", rawJSON(o.method), rawJSON(n.method)})
		}
		// Records and plans of earlier versions have no arguments.
		if o.arguments != nil && n.arguments != nil {
			args = append(args, compareValues(o.arguments, n.arguments)...)
		}
		switch {
		case len(args) > 0:
			r.block(n, diffChanged, args)
		case o.digest != n.digest && o.digest != "" && n.digest != "":
			r.block(n, diffResult, nil)
		}
		if !reflect.DeepEqual(o.model, n.model) {
			r.Models = append(r.Models, diffModel{n.address, o.model, n.model})
		}
	}
	for i := range from.entries {
		o := &from.entries[i]
		if before[o.address] != nil {
			r.block(o, diffRemoved, nil)
			if o.model != nil {
				r.Models = append(r.Models, diffModel{o.address, o.model, nil})
			}
		}
	}
}

// block notes a change, together with the same change at other points.
func (r *diffReport) block(n *diffEntry, change string, args []diffValue) {
	for i := range r.Blocks {
		if b := &r.Blocks[i]; b.Name == n.name && b.Change == change && reflect.DeepEqual(b.Arguments, args) {
			b.Points = append(b.Points, n.address)
			return
		}
	}
	r.Blocks = append(r.Blocks, diffBlock{n.name, change, n.verb, []string{n.address}, args})
}

// compareValues lists the values that are different, by name.
func compareValues(from, to map[string]any) []diffValue {
	var names []string
	for n := range from {
		names = append(names, n)
	}
	for n := range to {
		if _, both := from[n]; !both {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	list := []diffValue{}
	for _, n := range names {
		if a, b := rawJSON(from[n]), rawJSON(to[n]); !bytes.Equal(a, b) {
			list = append(list, diffValue{n, a, b})
		}
	}
	return list
}

func (r *diffReport) compareMetrics(from, to []record.Evaluation) {
	before := map[string]record.Evaluation{}
	for _, e := range from {
		before[spell.Address(e.Name, e.Point)] = e
	}
	add := func(address string, a, b map[string]*float64) {
		var names []string
		for n := range a {
			names = append(names, n)
		}
		for n := range b {
			if _, both := a[n]; !both {
				names = append(names, n)
			}
		}
		slices.Sort(names)
		for _, n := range names {
			if x, y := a[n], b[n]; !reflect.DeepEqual(x, y) {
				r.Metrics = append(r.Metrics, diffMetric{address, n, x, y})
			}
		}
	}
	for _, e := range to {
		address := spell.Address(e.Name, e.Point)
		add(address, before[address].Metrics, e.Metrics)
		delete(before, address)
	}
	for _, e := range from {
		if address := spell.Address(e.Name, e.Point); before[address].Name != "" {
			add(address, e.Metrics, nil)
		}
	}
}

func compareDecisions(from, to []diffValue) []diffValue {
	a, b := map[string]any{}, map[string]any{}
	for _, d := range from {
		a[d.Name] = d.To
	}
	for _, d := range to {
		b[d.Name] = d.To
	}
	return compareValues(a, b)
}

func (r *diffReport) compareFiles(from, to []record.File) {
	sides := map[string]*diffFile{}
	at := func(path string) *diffFile {
		if sides[path] == nil {
			sides[path] = &diffFile{Path: path}
		}
		return sides[path]
	}
	for i := range from {
		at(from[i].Path).From = &from[i]
	}
	for i := range to {
		at(to[i].Path).To = &to[i]
	}
	for _, f := range sides {
		if f.From == nil || f.To == nil || f.From.Digest != f.To.Digest {
			r.Files = append(r.Files, *f)
		}
	}
	slices.SortFunc(r.Files, func(a, b diffFile) int { return cmp.Compare(a.Path, b.Path) })
}
