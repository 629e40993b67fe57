package planner

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes/all"
)

// Random pipelines of the real methods, in a form that can be written as HCL,
// as JSON, in any order and under any names. References are written @type.name.

type drawnArg struct{ name, expr string }

type drawnBlock struct {
	typ, method, name string
	args              []drawnArg
	// override is the pattern of an override with one argument, "" for none.
	override string
	setting  drawnArg
	// reach is what the block fans out over: axes by sweep and argument.
	reach []string
}

func (b *drawnBlock) addr() string { return b.typ + "." + b.name }

type drawnPipeline struct {
	blocks []*drawnBlock
	// axes by sweep and argument: how many values each has.
	axes map[string]int
}

var propertyModel = mockSources{&arch.Config{ModelType: "llama", Hidden: 128, Intermediate: 256, Layers: 2, Heads: 4, KVHeads: 2, HeadDim: 32, Vocab: 300,
	MaxPosition: 512, RMSEps: 1e-5, RopeTheta: 10000}}

var propertyRegistry = func() *lang.Registry {
	r, err := lang.NewRegistry(all.Passes()...)
	if err != nil {
		panic(err)
	}
	return r
}()

func drawPipeline(t *rapid.T) *drawnPipeline {
	p := &drawnPipeline{axes: map[string]int{}}
	data := func(name, source string) *drawnBlock {
		return &drawnBlock{typ: "data", method: "text", name: name, args: []drawnArg{{"source", fmt.Sprintf("%q", source)}, {"tokenizer", "@model.base"}, {"sequence_length", "16"}}}
	}
	p.blocks = append(p.blocks, &drawnBlock{typ: "model", name: "base", args: []drawnArg{{"source", `"mock"`}}}, data("calib", "calib.txt"), data("test", "test.txt"))
	kinds := map[string][]string{"keep": {"0.25", "0.5", "0.75"}, "bits": {"2", "3", "4", "8"}, "group": {"16", "32", "64"}, "rank": {"2", "4", "8"}}
	for s := range rapid.IntRange(0, 2).Draw(t, "sweeps") {
		b := &drawnBlock{typ: "sweep", method: "grid", name: fmt.Sprint("s", s)}
		for _, axis := range []string{"keep", "bits", "group", "rank"} {
			if rapid.Bool().Draw(t, "axis") {
				values := kinds[axis][:rapid.IntRange(1, 3).Draw(t, "values")]
				b.args = append(b.args, drawnArg{axis, "[" + strings.Join(values, ", ") + "]"})
				p.axes[b.name+"."+axis] = len(values)
			}
		}
		if len(b.args) > 0 {
			p.blocks = append(p.blocks, b)
		}
	}
	// value draws a constant, or an axis and the reach that comes with it.
	value := func(axis string, b *drawnBlock) string {
		var sweeps []string
		for id := range p.axes {
			if strings.HasSuffix(id, "."+axis) {
				sweeps = append(sweeps, id)
			}
		}
		slices.Sort(sweeps)
		if len(sweeps) == 0 || rapid.Bool().Draw(t, "constant") {
			return rapid.SampledFrom(kinds[axis]).Draw(t, axis)
		}
		id := rapid.SampledFrom(sweeps).Draw(t, "swept")
		b.reach = union(b.reach, []string{id})
		return "@sweep." + id
	}
	for c := range rapid.IntRange(1, 3).Draw(t, "chains") {
		at := p.blocks[0]
		step := func(b *drawnBlock) {
			b.reach = union(b.reach, at.reach)
			b.args = append(b.args, drawnArg{"model", "@" + at.addr()})
			p.blocks = append(p.blocks, b)
			at = b
		}
		if rapid.Bool().Draw(t, "prune") {
			b := &drawnBlock{typ: "prune", method: rapid.SampledFrom([]string{"magnitude", "wanda"}).Draw(t, "method"), name: fmt.Sprint("p", c)}
			b.args = append(b.args, drawnArg{"sparsity", value("keep", b)})
			if b.method == "wanda" {
				b.args = append(b.args, drawnArg{"data", "@data.calib"})
			}
			if rapid.Bool().Draw(t, "override") {
				b.override, b.setting = "model.layers.0.*", drawnArg{"sparsity", value("keep", b)}
			}
			step(b)
		}
		if rapid.Bool().Draw(t, "quantize") {
			b := &drawnBlock{typ: "quantize", method: "rtn", name: fmt.Sprint("q", c)}
			b.args = append(b.args, drawnArg{"bits", value("bits", b)}, drawnArg{"group_size", value("group", b)})
			step(b)
		}
		if rapid.Bool().Draw(t, "compensate") {
			b := &drawnBlock{typ: "compensate", method: "lorc", name: fmt.Sprint("c", c)}
			b.args = append(b.args, drawnArg{"rank", value("rank", b)}, drawnArg{"reference", "@model.base"})
			step(b)
		}
		e := &drawnBlock{typ: "evaluate", method: "perplexity", name: fmt.Sprint("e", c), args: []drawnArg{{"data", "@data.test"}}}
		step(e)
	}
	return p
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	slices.Sort(out)
	return out
}

// spelling says how a pipeline is written.
type spelling struct {
	name func(addr string) string // the name of a block
	// wild draws spaces and comments; nil writes plainly.
	wild *rapid.T
}

var reference = regexp.MustCompile(`@(\w+)\.(\w+)`)

func (s spelling) expr(e string) string {
	return reference.ReplaceAllStringFunc(e, func(m string) string {
		typ, name, _ := strings.Cut(m[1:], ".")
		if s.name != nil {
			name = s.name(typ + "." + name)
		}
		return typ + "." + name
	})
}

func (s spelling) native(p *drawnPipeline) []byte {
	var b strings.Builder
	space := func() string {
		if s.wild == nil {
			return " "
		}
		return rapid.SampledFrom([]string{" ", "", "   ", " /* why */ "}).Draw(s.wild, "space")
	}
	comment := func() {
		if s.wild != nil && rapid.Bool().Draw(s.wild, "comment") {
			b.WriteString(rapid.SampledFrom([]string{"# one\n", "// two\n", "\n\n", "  /* three\n lines */\n"}).Draw(s.wild, "text"))
		}
	}
	for _, d := range p.blocks {
		name := d.name
		if s.name != nil {
			name = s.name(d.addr())
		}
		comment()
		b.WriteString(d.typ + " ")
		if d.method != "" {
			fmt.Fprintf(&b, "%q ", d.method)
		}
		fmt.Fprintf(&b, "%q%s{\n", name, space())
		for _, a := range d.args {
			comment()
			b.WriteString(a.name + space() + "=" + space() + s.expr(a.expr) + "\n")
		}
		if d.override != "" {
			fmt.Fprintf(&b, "override %q {\n%s = %s\n}\n", d.override, d.setting.name, s.expr(d.setting.expr))
		}
		b.WriteString("}\n")
	}
	return []byte(b.String())
}

// json writes the same as HCL's JSON form, overrides as an array.
func (s spelling) json(t *rapid.T, p *drawnPipeline) []byte {
	value := func(e string) any {
		var v any
		if json.Unmarshal([]byte(e), &v) == nil {
			return v
		}
		return "${" + s.expr(e) + "}"
	}
	var list []any
	for _, d := range p.blocks {
		body := map[string]any{}
		for _, a := range d.args {
			body[a.name] = value(a.expr)
		}
		if d.override != "" {
			body["override"] = []any{map[string]any{"match": []any{d.override}, d.setting.name: value(d.setting.expr)}}
		}
		inner := map[string]any{d.name: body}
		if d.method != "" {
			inner = map[string]any{d.method: inner}
		}
		list = append(list, map[string]any{d.typ: inner})
	}
	out, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// graphOf plans a text and returns the definition keys of what each evaluation
// is made of, sorted, for one block or, with "", for all.
func graphOf(t *rapid.T, name string, src []byte, of string) ([]string, *Plan) {
	t.Helper()
	p, diags := lang.LoadFiles(".", map[string][]byte{name: src}, lang.Options{Registry: propertyRegistry})
	x, more := Expand(p, propertyModel.sources())
	if diags.HasErrors() || more.HasErrors() {
		t.Fatalf("%v %v\n%s", diags, more, src)
	}
	plan, err := Build(x, propertyModel, nil)
	if err != nil {
		t.Fatal(err)
	}
	defs := action.DefKeys(plan.Graph)
	var keys []string
	for _, s := range plan.Roots() {
		if of != "" && s.Node.Block.Addr() != of {
			continue
		}
		for _, target := range s.Targets() {
			keys = append(keys, string(defs[target.Action])+" "+target.Output)
		}
	}
	slices.Sort(keys)
	return keys, plan
}

func sameKeys(t *rapid.T, what string, a, b []string, texts ...[]byte) {
	t.Helper()
	if !slices.Equal(a, b) {
		t.Errorf("%s changes the keys: %d and %d\n%s", what, len(a), len(b), strings.Join(func() (s []string) {
			for _, x := range texts {
				s = append(s, string(x))
			}
			return s
		}(), "\n------\n"))
	}
}

// Names, order, comments, spaces, formatting, the JSON form and defaults that
// are spelled out are in no key.
func TestWhatChangesNoKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPipeline(t)
		plain := spelling{}.native(p)
		want, _ := graphOf(t, "a.pipeline.hcl", plain, "")

		renamed := spelling{name: func(addr string) string { return "n_" + strings.ReplaceAll(addr, ".", "_") }}.native(p)
		got, _ := graphOf(t, "b.pipeline.hcl", renamed, "")
		sameKeys(t, "renaming", want, got, plain, renamed)

		wild := spelling{wild: t}.native(p)
		got, _ = graphOf(t, "a.pipeline.hcl", wild, "")
		sameKeys(t, "commenting", want, got, plain, wild)

		formatted, diags := lang.Format(wild, "a.pipeline.hcl")
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		got, _ = graphOf(t, "a.pipeline.hcl", formatted, "")
		sameKeys(t, "formatting", want, got, wild, formatted)
		if again, _ := lang.Format(formatted, "a.pipeline.hcl"); string(again) != string(formatted) {
			t.Errorf("formatting twice differs:\n%s\n------\n%s", formatted, again)
		}

		asJSON := spelling{}.json(t, p)
		got, _ = graphOf(t, "a.pipeline.hcl.json", asJSON, "")
		sameKeys(t, "the JSON form", want, got, plain, asJSON)

		// Sweeps keep their order: it is that of the points.
		shuffled := &drawnPipeline{axes: p.axes, blocks: slices.Clone(p.blocks)}
		for i := len(shuffled.blocks) - 1; i > 0; i-- {
			j := rapid.IntRange(0, i).Draw(t, "swap")
			if shuffled.blocks[i].typ != "sweep" && shuffled.blocks[j].typ != "sweep" {
				shuffled.blocks[i], shuffled.blocks[j] = shuffled.blocks[j], shuffled.blocks[i]
			}
		}
		text := spelling{}.native(shuffled)
		got, _ = graphOf(t, "a.pipeline.hcl", text, "")
		sameKeys(t, "reordering", want, got, plain, text)

		spelled := spelling{}.native(withDefaults(p))
		got, _ = graphOf(t, "a.pipeline.hcl", spelled, "")
		sameKeys(t, "spelling out defaults", want, got, plain, spelled)
	})
}

// withDefaults writes every default of every verb out.
func withDefaults(p *drawnPipeline) *drawnPipeline {
	out := &drawnPipeline{axes: p.axes}
	for _, b := range p.blocks {
		c := *b
		c.args = slices.Clone(b.args)
		if m := propertyRegistry.Lookup(b.typ, b.method); m != nil {
			for _, a := range m.Schema.Args {
				given := slices.ContainsFunc(b.args, func(x drawnArg) bool { return x.name == a.Name })
				if !given && a.DefaultText() != "" {
					c.args = append(c.args, drawnArg{a.Name, a.DefaultText()})
				}
			}
		}
		out.blocks = append(out.blocks, &c)
	}
	return out
}

// An argument that matters changes the keys of all that is made from its block.
func TestWhatChangesKeys(t *testing.T) {
	other := map[string]string{"sparsity": "0.625", "bits": "8", "group_size": "128", "rank": "5", "sequence_length": "24"}
	rapid.Check(t, func(t *rapid.T) {
		p := drawPipeline(t)
		type spot struct{ block, arg int }
		var spots []spot
		for i, b := range p.blocks {
			for j, a := range b.args {
				if b.typ != "sweep" && b.name != "calib" && other[a.name] != "" && other[a.name] != a.expr {
					spots = append(spots, spot{i, j})
				}
			}
		}
		at := rapid.SampledFrom(spots).Draw(t, "change")
		changed := &drawnPipeline{axes: p.axes, blocks: slices.Clone(p.blocks)}
		b := *p.blocks[at.block]
		b.args = slices.Clone(b.args)
		b.args[at.arg].expr = other[b.args[at.arg].name]
		changed.blocks[at.block] = &b
		before, after := spelling{}.native(p), spelling{}.native(changed)
		for _, e := range p.blocks {
			if e.typ != "evaluate" {
				continue
			}
			old, _ := graphOf(t, "a.pipeline.hcl", before, e.addr())
			fresh, _ := graphOf(t, "a.pipeline.hcl", after, e.addr())
			if !madeFrom(p, e, &b) {
				sameKeys(t, "a change elsewhere", old, fresh, before, after)
			} else if slices.Equal(old, fresh) {
				t.Errorf("%s of %s does not change the keys of %s\n%s\n------\n%s", b.args[at.arg].name, b.addr(), e.addr(), before, after)
			}
		}
	})
}

// madeFrom reports whether b refers to the other block, itself or by way of
// others.
func madeFrom(p *drawnPipeline, b, other *drawnBlock) bool {
	if b.addr() == other.addr() {
		return true
	}
	for _, a := range b.args {
		m := reference.FindStringSubmatch(a.expr)
		if m == nil {
			continue
		}
		for _, c := range p.blocks {
			if c.addr() == m[1]+"."+m[2] && madeFrom(p, c, other) {
				return true
			}
		}
	}
	return false
}

// A block fans out over exactly the axes that it reaches, and at each point a
// reference is one node: that of the block at the part of the point it reaches.
func TestFanOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPipeline(t)
		src := spelling{}.native(p)
		_, plan := graphOf(t, "a.pipeline.hcl", src, "")
		for _, b := range p.blocks {
			if b.typ == "sweep" {
				continue
			}
			want := 1
			for _, id := range b.reach {
				want *= p.axes[id]
			}
			nodes := plan.Of(plan.Pipeline.Lookup(b.addr()))
			if len(nodes) != want {
				t.Errorf("%s has %d points, want %d over %v\n%s", b.addr(), len(nodes), want, b.reach, src)
			}
			seen := map[string]bool{}
			for _, n := range nodes {
				var axes []string
				for _, c := range n.Point {
					axes = append(axes, c.Axis.ID())
				}
				slices.Sort(axes)
				if !slices.Equal(axes, b.reach) || seen[n.Addr()] {
					t.Errorf("%s stands at %v, want each once over %v\n%s", b.addr(), n.Point, b.reach, src)
				}
				seen[n.Addr()] = true
				from := map[*lang.Block]bool{}
				for _, d := range n.DependsOn {
					if from[d.Block] {
						t.Errorf("%s refers to several nodes of %s\n%s", n.Addr(), d.Block.Addr(), src)
					}
					from[d.Block] = true
					if joined, ok := n.Point.join(d.Point); !ok || len(joined) != len(n.Point) {
						t.Errorf("%s refers to %s\n%s", n.Addr(), d.Addr(), src)
					}
				}
			}
		}
	})
}
