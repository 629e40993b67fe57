package migrate

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/mitchellh/go-wordwrap"
	"github.com/zclconf/go-cty/cty"
)

// Note says what of the file has no counterpart in the pipeline.
type Note struct {
	// Line of the file, from 1; 0 where it is about the whole.
	Line int
	// What is the part of the file, as the file spells it.
	What string
	// Why says what follows from it.
	Why string
}

func (n Note) String() string {
	if n.Line == 0 {
		return n.What + ": " + n.Why
	}
	return fmt.Sprintf("line %d: %s: %s", n.Line, n.What, n.Why)
}

// writer puts a pipeline together. The model that the next block takes is in
// current.
type writer struct {
	opt     Options
	file    *hclwrite.File
	current hcl.Traversal
	names   map[string]bool
	notes   []Note
	// calib is the calibration data once a step has asked for it.
	calib hcl.Traversal
	// data makes it.
	data dataset
	// models are the names of the sources that have a block.
	models map[string]hcl.Traversal
}

// dataset is what is known of the calibration data.
type dataset struct {
	samples, sequenceLength int64
	// why says where the numbers come from.
	why string
	// source is a file that the configuration names, "" for none.
	source string
}

func newWriter(title string, opt Options, d dataset) *writer {
	w := &writer{opt: opt, file: hclwrite.NewEmptyFile(), names: map[string]bool{}, models: map[string]hcl.Traversal{}, data: d}
	w.comment(w.file.Body(), title+"\nWhat has no counterpart is left in comments that begin with \"Not migrated\".")
	w.file.Body().AppendNewline()
	return w
}

// commentWidth is where comments are wrapped.
const commentWidth = 90

// comment writes a comment of one line or more.
func (w *writer) comment(b *hclwrite.Body, text string) {
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(text)
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimRight("# "+strings.ToValidUTF8(line, "\uFFFD"), " \t")
		b.AppendUnstructuredTokens(hclwrite.Tokens{{Type: hclsyntax.TokenComment, Bytes: []byte(line + "\n")}})
	}
}

// lost notes what has no counterpart and leaves it as a comment.
func (w *writer) lost(b *hclwrite.Body, what string, n *node, why string) {
	note := Note{What: what, Why: why}
	if n != nil {
		note.Line = n.line
	}
	w.notes = append(w.notes, note)
	text := wordwrap.WrapString("Not migrated: "+what+". "+strings.ToUpper(why[:1])+why[1:]+".", commentWidth)
	if !n.null() {
		for _, l := range n.lines() {
			text += "\n    " + l
		}
	}
	w.comment(b, text)
}

var notWord = regexp.MustCompile(`[^A-Za-z0-9_]+`)

// name makes an identifier that no other block of the type has.
func (w *writer) name(typ, wish string) string {
	wish = strings.ToLower(strings.Trim(notWord.ReplaceAllString(wish, "_"), "_"))
	if wish == "" || wish[0] >= '0' && wish[0] <= '9' {
		wish = strings.Trim(typ[:1]+"_"+wish, "_")
	}
	name := wish
	for i := 2; w.names[typ+"."+name]; i++ {
		name = fmt.Sprintf("%s_%d", wish, i)
	}
	w.names[typ+"."+name] = true
	return name
}

// block begins a block at the end of the file.
func (w *writer) block(typ string, labels ...string) *hclwrite.Body {
	b := w.file.Body().AppendNewBlock(typ, labels)
	w.file.Body().AppendNewline()
	return b.Body()
}

func reference(names ...string) hcl.Traversal {
	t := hcl.Traversal{hcl.TraverseRoot{Name: names[0]}}
	for _, n := range names[1:] {
		t = append(t, hcl.TraverseAttr{Name: n})
	}
	return t
}

// variable declares a variable for what the file does not say; value is its
// default, "" for none.
func (w *writer) variable(name, doc, value string) hcl.Traversal {
	b := w.block("variable", name)
	b.SetAttributeRaw("type", hclwrite.TokensForIdentifier("string"))
	if value != "" {
		b.SetAttributeValue("default", cty.StringVal(value))
	}
	b.SetAttributeValue("description", cty.StringVal(doc))
	return reference("var", name)
}

// base begins the pipeline with the model that the file, or the caller, names.
func (w *writer) base(source string) {
	if w.opt.Model != "" {
		source = w.opt.Model
	}
	if source != "" {
		w.current = w.model("base", source, "")
		return
	}
	v := w.variable("model", "the model to compress: a folder, a file, or hf://owner/name", "")
	b := w.block("model", w.name("model", "base"))
	b.SetAttributeTraversal("source", v)
	w.current = reference("model", "base")
}

// model writes a model block, one for each source.
func (w *writer) model(wish, source, revision string) hcl.Traversal {
	key := source + "@" + revision
	if t := w.models[key]; t != nil {
		return t
	}
	name := w.name("model", wish)
	b := w.block("model", name)
	b.SetAttributeValue("source", cty.StringVal(modelSource(source)))
	if revision != "" {
		b.SetAttributeValue("revision", cty.StringVal(revision))
	}
	w.models[key] = reference("model", name)
	return w.models[key]
}

var hubName = regexp.MustCompile(`^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$`)

// modelSource writes a hub name, which other tools write bare, as a source.
func modelSource(name string) string {
	if hubName.MatchString(name) && !strings.HasSuffix(name, ".gguf") && !strings.HasSuffix(name, ".safetensors") {
		return "hf://" + name
	}
	return name
}

// calibration returns the calibration data, declared the first time.
func (w *writer) calibration() hcl.Traversal {
	if w.calib != nil {
		return w.calib
	}
	source := w.opt.Data
	if source == "" {
		source = w.data.source
	}
	var v hcl.Traversal
	if source == "" {
		v = w.variable("calibration", "the calibration texts: a text or jsonl file", "")
	}
	w.comment(w.file.Body(), wordwrap.WrapString(w.data.why, commentWidth))
	b := w.block("data", "text", w.name("data", "calib"))
	if source == "" {
		b.SetAttributeTraversal("source", v)
	} else {
		b.SetAttributeValue("source", cty.StringVal(source))
	}
	b.SetAttributeTraversal("tokenizer", w.current[:2])
	b.SetAttributeValue("sequence_length", cty.NumberIntVal(w.data.sequenceLength))
	b.SetAttributeValue("samples", cty.NumberIntVal(w.data.samples))
	w.calib = reference("data", "calib")
	return w.calib
}

// step is a verb block whose arguments come in their order.
type step struct {
	verb, method, name string
	// calibrated steps take the calibration data.
	calibrated bool
	args       []arg
	overrides  []override
	// optimizer are the arguments of its optimizer "adamw" block.
	optimizer []arg
	// lost are parts of the step without a counterpart.
	lost []lostPart
}

type arg struct {
	name  string
	value cty.Value
}

type override struct {
	glob string
	args []arg
}

type lostPart struct {
	what string
	n    *node
	why  string
}

func (s *step) set(name string, v cty.Value) { s.args = append(s.args, arg{name, v}) }

func (s *step) miss(what string, n *node, why string) {
	s.lost = append(s.lost, lostPart{what, n, why})
}

// add writes the step and makes its model the current one.
func (w *writer) add(s *step) {
	var data hcl.Traversal
	if s.calibrated {
		data = w.calibration()
	}
	name := w.name(s.verb, s.name)
	b := w.block(s.verb, s.method, name)
	for _, l := range s.lost {
		w.lost(b, l.what, l.n, l.why)
	}
	b.SetAttributeTraversal("model", w.current)
	if data != nil {
		b.SetAttributeTraversal("data", data)
	}
	for _, a := range s.args {
		b.SetAttributeValue(a.name, a.value)
	}
	if len(s.optimizer) > 0 {
		b.AppendNewline()
		inner := b.AppendNewBlock("optimizer", []string{"adamw"}).Body()
		for _, a := range s.optimizer {
			inner.SetAttributeValue(a.name, a.value)
		}
	}
	for _, o := range s.overrides {
		b.AppendNewline()
		inner := b.AppendNewBlock("override", []string{o.glob}).Body()
		for _, a := range o.args {
			inner.SetAttributeValue(a.name, a.value)
		}
	}
	w.current = reference(s.verb, name)
}

// export writes the last model to a Hugging Face folder.
func (w *writer) export(path, dtype string) *hclwrite.Body {
	b := w.block("export", "safetensors", w.name("export", "model"))
	b.SetAttributeTraversal("model", w.current)
	if path == "" {
		path = "out/model"
	}
	b.SetAttributeValue("path", cty.StringVal(path))
	if dtype != "" {
		b.SetAttributeValue("dtype", cty.StringVal(dtype))
	}
	return b
}

// bytes returns the pipeline in canonical style.
func (w *writer) bytes() []byte {
	out := w.file.Bytes()
	for {
		next := hclwrite.Format(out)
		if string(next) == string(out) {
			return []byte(strings.TrimRight(string(out), "\n") + "\n")
		}
		out = next
	}
}

// texts makes a list of strings.
func texts(list []string) cty.Value {
	values := make([]cty.Value, len(list))
	for i, s := range list {
		values[i] = cty.StringVal(s)
	}
	return cty.TupleVal(values)
}

func number(f float64) cty.Value {
	if i := int64(f); float64(i) == f {
		return cty.NumberIntVal(i)
	}
	// The shortest decimal, not the binary fraction: 0.01 is to stay 0.01.
	v, err := cty.ParseNumberVal(fmt.Sprint(f))
	if err != nil {
		return cty.NumberFloatVal(f)
	}
	return v
}
