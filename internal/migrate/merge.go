package migrate

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// Configurations of mergekit are described in
// https://github.com/arcee-ai/mergekit/blob/main/docs/config-format.md. What
// they name (models, the output's type) becomes blocks; the merge itself stays
// a comment.

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
	w.current = w.model("base", sourceOf(base), revisionOf(base))
	for _, s := range sources {
		if s.name != base {
			w.model(path.Base(sourceOf(s.name)), sourceOf(s.name), revisionOf(s.name))
		}
		if _, lora, has := strings.Cut(s.name, "+"); has {
			w.lost(w.file.Body(), "the adapter "+lora, s.at, "a model and an adapter cannot be added before a block; merge them with PEFT and name the result")
			w.file.Body().AppendNewline()
		}
	}
	merge := &node{isMap: true, line: root.get("merge_method").line}
	for i, key := range root.keys {
		switch key {
		case "dtype", "out_dtype", "name":
		default:
			merge.keys, merge.values = append(merge.keys, key), append(merge.values, root.values[i])
		}
	}
	w.lost(w.file.Body(), "merge_method "+method, merge, "there is no verb that merges models in this version; mergekit makes the merge, and a model block names its result")
	w.file.Body().AppendNewline()
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
	w.comment(b, "This is "+base+" as it is, until model is the merge.")
	b.SetAttributeValue("enabled", cty.False)
	return w, nil
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
