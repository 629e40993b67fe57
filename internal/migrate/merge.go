package migrate

import (
	"errors"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// Configurations of mergekit are described in
// https://github.com/arcee-ai/mergekit/blob/main/docs/config-format.md. A merge
// whose numbers are the same for all tensors, or that follow the depth in slerp,
// becomes a merge block; any other stays a comment, and so do adapters.

func fromMerge(root *node, opt Options) (*writer, error) {
	method, ok := root.get("merge_method").text()
	if !ok {
		return nil, errors.New("the configuration names no merge_method")
	}
	w := newWriter("From a configuration of mergekit.", opt, dataset{})
	sources := mergeSources(root)
	if len(sources) == 0 {
		return nil, errors.New("the configuration names no models: they stand under models, slices or base_model")
	}
	base, _ := modelName(root.get("base_model"))
	if opt.Model != "" {
		base = opt.Model
	}
	if base == "" {
		base = sources[0].name
	}
	adapters := false
	blocks := map[string]hcl.Traversal{base: w.model("base", sourceOf(base), revisionOf(base))}
	w.current = blocks[base]
	for _, s := range sources {
		if s.name != base {
			blocks[s.name] = w.model(path.Base(sourceOf(s.name)), sourceOf(s.name), revisionOf(s.name))
		}
		if _, lora, has := strings.Cut(s.name, "+"); has {
			adapters = true
			w.lost(w.file.Body(), "the adapter "+lora, s.at, "a model and an adapter cannot be added before a block; merge them with PEFT and name the result")
			w.file.Body().AppendNewline()
		}
	}
	m, why := merging{w: w, root: root, method: method, base: base, blocks: blocks}.block()
	if adapters {
		why = "without its adapters it would be another merge; mergekit makes it, and a model block names its result"
	}
	if why == "" {
		w.merge(m)
	} else {
		w.lostMerge(root, method, why)
	}
	dtype := root.get("out_dtype")
	if dtype.null() {
		dtype = root.get("dtype")
	}
	text, _ := dtype.text()
	short := map[string]string{"float16": "f16", "bfloat16": "bf16", "float32": "f32"}[strings.TrimPrefix(text, "torch.")]
	b := w.export("", short)
	if text != "" && short == "" {
		w.lost(b, "dtype "+text, nil, "weights are stored as f16, bf16 or f32")
	}
	if why != "" {
		w.comment(b, "This is "+base+" as it is, until model is the merge.")
		b.SetAttributeValue("enabled", cty.False)
	}
	return w, nil
}

// lostMerge leaves a merge as a comment.
func (w *writer) lostMerge(root *node, method, why string) {
	merge := &node{isMap: true, line: root.get("merge_method").line}
	for i, key := range root.keys {
		switch key {
		case "dtype", "out_dtype", "name":
		default:
			merge.keys, merge.values = append(merge.keys, key), append(merge.values, root.values[i])
		}
	}
	w.lost(w.file.Body(), "merge_method "+method, merge, why)
	w.file.Body().AppendNewline()
}

// mergeBlock is a merge as it is written.
type mergeBlock struct {
	method string
	base   hcl.Traversal // nil without one
	models []hcl.Traversal
	args   []arg
	// filters are the values of override blocks by glob.
	filters []override
	lost    []lostPart
}

// merge writes the block and makes its model the current one.
func (w *writer) merge(m mergeBlock) {
	name := w.name("merge", "merged")
	b := w.block("merge", m.method, name)
	for _, l := range m.lost {
		w.lost(b, l.what, l.n, l.why)
	}
	if m.base != nil {
		b.SetAttributeTraversal("base", m.base)
	}
	list := make([]hclwrite.Tokens, len(m.models))
	for i, t := range m.models {
		list[i] = hclwrite.TokensForTraversal(t)
	}
	b.SetAttributeRaw("models", hclwrite.TokensForTuple(list))
	for _, a := range m.args {
		b.SetAttributeValue(a.name, a.value)
	}
	for _, o := range m.filters {
		b.AppendNewline()
		inner := b.AppendNewBlock("override", []string{o.glob}).Body()
		for _, a := range o.args {
			inner.SetAttributeValue(a.name, a.value)
		}
	}
	w.current = reference("merge", name)
}

// merging reads one configuration.
type merging struct {
	w            *writer
	root         *node
	method, base string
	blocks       map[string]hcl.Traversal
}

// methodsOfMerge are the methods that are here too, and how they differ.
var methodsOfMerge = map[string]struct {
	name        string
	base, elect bool
	// parameters of each model, and of all, besides weight.
	each, all []string
}{
	"linear":          {name: "linear", all: []string{"normalize"}},
	"task_arithmetic": {name: "task_arithmetic", base: true, all: []string{"normalize", "lambda"}},
	"ties":            {name: "ties", base: true, each: []string{"density"}, all: []string{"normalize", "lambda"}},
	"dare_linear":     {name: "dare", base: true, each: []string{"density"}, all: []string{"normalize", "lambda", "rescale"}},
	"dare_ties":       {name: "dare", base: true, elect: true, each: []string{"density"}, all: []string{"normalize", "lambda", "rescale"}},
	"slerp":           {name: "slerp", all: []string{"t"}},
}

// block returns the merge, or why there is none.
func (g merging) block() (m mergeBlock, why string) {
	const other = "; mergekit makes the merge, and a model block names its result"
	kind, ok := methodsOfMerge[g.method]
	if !ok {
		return m, "there is no such method of merge" + other
	}
	if g.method == "slerp" || kind.base {
		if _, has := modelName(g.root.get("base_model")); !has {
			return m, "it names no base_model" + other
		}
	}
	m.method = kind.name
	models, why := g.models(&m)
	if why != "" {
		return m, why + other
	}
	if kind.base {
		m.base = g.blocks[g.base]
	}
	params := g.root.get("parameters")
	if kind.name == "slerp" {
		if len(models) != 2 {
			return m, "slerp joins two models" + other
		}
		if why := g.gradient(&m, params.get("t")); why != "" {
			return m, why + other
		}
	} else if why := g.numbers(&m, models, kind.each, kind.all, params); why != "" {
		return m, why + other
	}
	if kind.elect {
		m.args = append(m.args, arg{"sign_election", cty.True})
	}
	if kind.name == "dare" && !slices.ContainsFunc(m.args, func(a arg) bool { return a.name == "rescale" }) {
		m.args = append(m.args, arg{"rescale", cty.StringVal("l1")}) // what mergekit does unless told otherwise
	}
	for _, key := range g.root.keys {
		switch key {
		case "merge_method", "models", "slices", "base_model", "parameters", "dtype", "out_dtype", "name":
		default:
			m.lost = append(m.lost, lostPart{key, g.root.get(key), "the result has the tokenizer and the configuration of its first model or base"})
		}
	}
	return m, ""
}

// models lists the entries of the models to merge and sets their references.
// The base is not among them where the method has one, and first in slerp.
func (g merging) models(m *mergeBlock) (list []*node, why string) {
	entries := g.root.get("models")
	if parts := g.root.get("slices"); !parts.null() {
		if !parts.isList || len(parts.values) != 1 {
			return nil, "layers of several models cannot be put one after the other"
		}
		entries = parts.values[0].get("sources")
		if entries == nil || !entries.isList {
			return nil, "its slice names no sources"
		}
		for _, e := range entries.values {
			if r := e.get("layer_range"); !r.null() {
				if from, ok := first(r).whole(); !ok || from != 0 || len(r.lines()) == 0 || strings.Join(r.lines(), "") != strings.Join(entries.values[0].get("layer_range").orEmpty().lines(), "") {
					return nil, "layers of several models cannot be put one after the other"
				}
			}
		}
		m.lost = append(m.lost, lostPart{"layer_range", nil, "all layers are merged; a range that leaves some out would make a smaller model"})
	}
	if entries == nil || !entries.isList {
		return nil, "it lists no models"
	}
	kind := methodsOfMerge[g.method]
	for _, e := range entries.values {
		name, ok := modelName(e.get("model"))
		if !ok {
			return nil, "a model has no name"
		}
		if inFile, _ := modelName(g.root.get("base_model")); name == inFile {
			name = g.base
		}
		if kind.base && name == g.base {
			continue
		}
		list, m.models = append(list, e), append(m.models, g.blocks[name])
		if n := len(list); g.method == "slerp" && name == g.base && n == 2 {
			list[0], list[1] = list[1], list[0]
			m.models[0], m.models[1] = m.models[1], m.models[0]
		}
	}
	if g.method == "slerp" && len(list) == 1 {
		// The base need not be listed.
		list, m.models = append([]*node{nil}, list...), append([]hcl.Traversal{g.blocks[g.base]}, m.models...)
	}
	if len(list) == 0 {
		return nil, "it lists no models"
	}
	return list, ""
}

// numbers sets weights, densities and what holds for all models.
func (g merging) numbers(m *mergeBlock, models []*node, each, all []string, params *node) (why string) {
	for _, name := range append([]string{"weight"}, each...) {
		values := make([]cty.Value, len(models))
		given, sum := false, 0.0
		for i, e := range models {
			n := e.at("parameters", name)
			if n == nil {
				n = params.get(name)
			}
			x, ok := n.finite()
			switch {
			case n.null():
				x = 1
			case !ok:
				return "its " + name + " is not one number for a model"
			case name == "density" && (x <= 0 || x > 1):
				return "a density of " + strings.Join(n.lines(), "") + " keeps nothing or more than all"
			}
			given = given || ok
			values[i] = number(x)
			sum += x
		}
		if name == "weight" && sum == 0 {
			return "its weights add up to nothing"
		}
		if given || name == "density" {
			m.args = append(m.args, arg{map[string]string{"weight": "weights", "density": "density"}[name], cty.TupleVal(values)})
		}
	}
	for _, e := range models {
		for _, key := range e.get("parameters").orEmpty().keys {
			if key != "weight" && !slices.Contains(each, key) {
				m.lost = append(m.lost, lostPart{key, e.at("parameters", key), "it has no counterpart for single models"})
			}
		}
	}
	for _, key := range params.orEmpty().keys {
		n := params.get(key)
		switch {
		case key == "int8_mask", key == "weight", slices.Contains(each, key):
			continue // memory, or read above
		case !slices.Contains(all, key):
			m.lost = append(m.lost, lostPart{key, n, "it has no counterpart here"})
		case key == "rescale":
			if on, ok := n.truth(); ok && on {
				m.args = append(m.args, arg{"rescale", cty.StringVal("l1")})
			} else if ok {
				m.args = append(m.args, arg{"rescale", cty.StringVal("none")})
			} else {
				return "its rescale is not true or false"
			}
		case key == "lambda":
			x, ok := n.finite()
			if !ok {
				return "its lambda is not one number"
			}
			m.args = append(m.args, arg{key, number(x)})
		case key == "normalize":
			on, ok := n.truth()
			if x, isNumber := n.number(); isNumber {
				on, ok = x != 0, true
			}
			if !ok {
				return "its normalize is not true or false"
			}
			m.args = append(m.args, arg{key, cty.BoolVal(on)})
		}
	}
	return ""
}

// gradient sets t, with an override for each filter over linear layers.
func (g merging) gradient(m *mergeBlock, t *node) (why string) {
	one := func(n *node) (cty.Value, bool) {
		if x, ok := n.number(); ok && x >= 0 && x <= 1 {
			return number(x), true
		}
		if n == nil || !n.isList || len(n.values) == 0 {
			return cty.NilVal, false
		}
		var list []cty.Value
		for _, v := range n.values {
			x, ok := v.number()
			if !ok || x < 0 || x > 1 {
				return cty.NilVal, false
			}
			list = append(list, number(x))
		}
		return cty.TupleVal(list), true
	}
	if v, ok := one(t); ok {
		m.args = append(m.args, arg{"t", v})
		return ""
	}
	if t == nil || !t.isList {
		return "it gives no t between 0 and 1"
	}
	for _, f := range t.values {
		v, ok := one(f.get("value"))
		if !ok {
			return "its t is not a number between 0 and 1, or a list of such numbers"
		}
		filter, has := f.get("filter").text()
		switch {
		case !has:
			m.args = append(m.args, arg{"t", v})
			return ""
		case filter != "self_attn" && filter != "mlp":
			return "its t has a filter other than self_attn and mlp"
		}
		m.filters = append(m.filters, override{glob: "*." + filter + ".*", args: []arg{{"t", v}}})
	}
	return ""
}

// first is the first of a list, nil for none.
func first(n *node) *node {
	if n == nil || !n.isList || len(n.values) == 0 {
		return nil
	}
	return n.values[0]
}

// finite is a number that a pipeline can hold.
func (n *node) finite() (float64, bool) {
	x, ok := n.number()
	return x, ok && !math.IsInf(x, 0) && !math.IsNaN(x)
}

// mergeSource is a model that a merge is made of.
type mergeSource struct {
	name string
	at   *node
}

// mergeSources lists the models of a merge, each once.
func mergeSources(root *node) []mergeSource {
	var list []mergeSource
	add := func(n *node) {
		if name, ok := modelName(n); ok && !slices.ContainsFunc(list, func(s mergeSource) bool { return s.name == name }) {
			list = append(list, mergeSource{name, n})
		}
	}
	add(root.get("base_model"))
	each := func(n *node, f func(*node)) {
		if n != nil && n.isList {
			for _, v := range n.values {
				f(v)
			}
		}
	}
	each(root.get("models"), func(m *node) { add(m.get("model")) })
	each(root.get("slices"), func(s *node) {
		each(s.get("sources"), func(m *node) { add(m.get("model")) })
	})
	return list
}

// modelName reads a model, which is a name or a map with its path.
func modelName(n *node) (string, bool) {
	if n != nil && n.isMap {
		if inner := n.get("model"); inner != nil { // {model: {path: x}, lora: …}
			return modelName(inner)
		}
		name, ok := n.get("path").text()
		if revision, has := n.get("revision").text(); ok && has {
			name += "@" + revision
		}
		return name, ok
	}
	return n.text()
}

// sourceOf is the model of "model@revision+adapter".
func sourceOf(name string) string {
	name, _, _ = strings.Cut(name, "+")
	name, _, _ = strings.Cut(name, "@")
	if name == "" {
		name = "."
	}
	return name
}

func revisionOf(name string) string {
	name, _, _ = strings.Cut(name, "+")
	_, revision, _ := strings.Cut(name, "@")
	return revision
}
