package lock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/git"
	"github.com/compressc/compressc/internal/tensor"
)

const header = `# What the sources of this pipeline were. compressc lock writes this file; commit it.
# compressc lock -upgrade ADDRESS takes over a source that has changed.

`

// Format returns the file's text.
func (f *File) Format() []byte {
	f.sort()
	out := hclwrite.NewEmptyFile()
	body := out.Body()
	p := body.AppendNewBlock("program", nil).Body()
	p.SetAttributeValue("version", cty.StringVal(f.Version))
	p.SetAttributeValue("numerics", cty.StringVal(f.Numerics))
	kernels := map[string]cty.Value{}
	for name, impl := range f.Kernels {
		kernels[name] = cty.NumberIntVal(int64(impl))
	}
	p.SetAttributeValue("kernels", object(kernels))
	for _, m := range f.Models {
		body.AppendNewline()
		b := body.AppendNewBlock("model", []string{m.Source}).Body()
		setTexts(b, [][2]string{{"revision", m.Revision}, {"commit", m.Commit}, {"digest", m.Digest}, {"tokenizer", m.Tokenizer}})
		b.SetAttributeValue("config", fromJSON(m.Config))
		specs := map[string]string{}
		for _, t := range m.Tensors {
			specs[t.Name] = spell(t)
		}
		b.SetAttributeValue("tensors", folded(specs))
		if len(m.Quantized) > 0 {
			stored := map[string]string{}
			for path, s := range m.Quantized {
				text, err := json.Marshal(s)
				if err != nil {
					panic(err) // a struct of numbers and texts
				}
				stored[path] = string(text)
			}
			b.SetAttributeValue("quantized", folded(stored))
		}
	}
	for _, d := range f.Data {
		body.AppendNewline()
		b := body.AppendNewBlock("data", []string{d.Source}).Body()
		b.SetAttributeValue("digest", cty.StringVal(d.Digest))
		b.SetAttributeValue("bytes", cty.NumberIntVal(d.Bytes))
	}
	for _, a := range f.Adapters {
		body.AppendNewline()
		b := body.AppendNewBlock("adapter", []string{a.Source}).Body()
		setTexts(b, [][2]string{{"revision", a.Revision}, {"commit", a.Commit}, {"digest", a.Digest}})
		b.SetAttributeValue("alpha", cty.NumberFloatVal(a.Alpha))
		specs := map[string]string{}
		for _, l := range a.Layers {
			specs[l.Path] = fmt.Sprintf("rank %d [%d, %d] scale %s", l.Rank, l.Out, l.In, strconv.FormatFloat(l.Scale, 'g', -1, 64))
		}
		b.SetAttributeValue("layers", folded(specs))
	}
	for _, m := range f.Modules {
		body.AppendNewline()
		b := body.AppendNewBlock("module", []string{m.Source}).Body()
		b.SetAttributeValue("commit", cty.StringVal(m.Commit))
		b.SetAttributeValue("digest", cty.StringVal(m.Digest))
	}
	return append([]byte(header), hclwrite.Format(out.Bytes())...)
}

// setTexts writes attributes, without those that are empty.
func setTexts(b *hclwrite.Body, list [][2]string) {
	for _, a := range list {
		if a[1] != "" {
			b.SetAttributeValue(a[0], cty.StringVal(a[1]))
		}
	}
}

func object(attrs map[string]cty.Value) cty.Value {
	if len(attrs) == 0 {
		return cty.EmptyObjectVal
	}
	return cty.ObjectVal(attrs)
}

func folded(specs map[string]string) cty.Value {
	attrs := map[string]cty.Value{}
	for _, g := range fold(specs) {
		attrs[g.pattern] = cty.StringVal(g.spec)
	}
	return object(attrs)
}

// fromJSON is the value of a JSON document.
func fromJSON(raw []byte) cty.Value {
	t, err := ctyjson.ImpliedType(raw)
	if err != nil {
		return cty.StringVal(string(raw))
	}
	v, err := ctyjson.Unmarshal(raw, t)
	if err != nil {
		return cty.StringVal(string(raw))
	}
	return v
}

// spell writes a tensor's type: "BF16 [576, 576]", with the encoding in place
// of the element type where there is one, and its bytes where they do not
// follow.
func spell(t Tensor) string {
	var dims []string
	for _, n := range t.Meta.Shape {
		dims = append(dims, strconv.Itoa(n))
	}
	word := string(t.Meta.DType)
	if t.Meta.Encoding != "" {
		word = t.Meta.Encoding
	}
	s := word + " [" + strings.Join(dims, ", ") + "]"
	if t.Meta.RotaryHeadDim != 0 {
		s += fmt.Sprintf(" rotary %d", t.Meta.RotaryHeadDim)
	}
	if t.Meta.Encoding != "" || int64(t.Meta.Elements()*t.Meta.DType.Size()) != t.Bytes {
		s += fmt.Sprintf(" %d bytes", t.Bytes)
	}
	return s
}

var spelt = regexp.MustCompile(`^([A-Za-z0-9_]+) \[([0-9, ]*)\](?: rotary (\d+))?(?: (\d+) bytes)?$`)

// parseSpec reads what spell writes.
func parseSpec(text string) (Tensor, error) {
	m := spelt.FindStringSubmatch(text)
	bad := func() (Tensor, error) {
		return Tensor{}, fmt.Errorf("%q: expected a tensor's type and shape such as \"BF16 [576, 576]\"", text)
	}
	if m == nil {
		return bad()
	}
	t := Tensor{Meta: tensor.Meta{DType: tensor.DType(m[1])}}
	if t.Meta.DType.Size() == 0 {
		t.Meta.DType, t.Meta.Encoding = tensor.F32, m[1]
		if strings.ToLower(m[1]) != m[1] || m[4] == "" {
			return bad()
		}
	}
	elements := int64(1)
	for _, d := range strings.Split(m[2], ",") {
		d = strings.TrimSpace(d)
		if d == "" && m[2] == "" {
			break
		}
		n, err := strconv.Atoi(d)
		if err != nil || n < 0 || n > 1<<40 || elements > 1<<50 {
			return bad()
		}
		elements *= int64(n)
		t.Meta.Shape = append(t.Meta.Shape, n)
	}
	if m[3] != "" {
		n, err := strconv.Atoi(m[3])
		if err != nil {
			return bad()
		}
		t.Meta.RotaryHeadDim = n
	}
	t.Bytes = elements * int64(t.Meta.DType.Size())
	if m[4] != "" {
		n, err := strconv.ParseInt(m[4], 10, 64)
		if err != nil {
			return bad()
		}
		t.Bytes = n
	}
	return t, nil
}

type fileText struct {
	Program struct {
		Version  string         `hcl:"version"`
		Numerics string         `hcl:"numerics"`
		Kernels  map[string]int `hcl:"kernels"`
	} `hcl:"program,block"`
	Models   []modelText   `hcl:"model,block"`
	Data     []dataText    `hcl:"data,block"`
	Adapters []adapterText `hcl:"adapter,block"`
	Modules  []moduleText  `hcl:"module,block"`
}

type moduleText struct {
	Source string `hcl:"source,label"`
	Commit string `hcl:"commit"`
	Digest string `hcl:"digest"`
}

type modelText struct {
	Source    string            `hcl:"source,label"`
	Revision  string            `hcl:"revision,optional"`
	Commit    string            `hcl:"commit,optional"`
	Digest    string            `hcl:"digest"`
	Tokenizer string            `hcl:"tokenizer,optional"`
	Config    hcl.Expression    `hcl:"config"`
	Tensors   map[string]string `hcl:"tensors"`
	Quantized map[string]string `hcl:"quantized,optional"`
}

type adapterText struct {
	Source   string            `hcl:"source,label"`
	Revision string            `hcl:"revision,optional"`
	Commit   string            `hcl:"commit,optional"`
	Digest   string            `hcl:"digest"`
	Alpha    float64           `hcl:"alpha"`
	Layers   map[string]string `hcl:"layers"`
}

type dataText struct {
	Source string `hcl:"source,label"`
	Digest string `hcl:"digest"`
	Bytes  int64  `hcl:"bytes"`
}

// Parse reads a lock file; name is for messages.
func Parse(src []byte, name string) (*File, error) {
	parsed, diags := hclparse.NewParser().ParseHCL(src, name)
	if diags.HasErrors() {
		return nil, diags
	}
	var t fileText
	if diags := gohcl.DecodeBody(parsed.Body, nil, &t); diags.HasErrors() {
		return nil, diags
	}
	f := &File{Version: t.Program.Version, Numerics: t.Program.Numerics, Kernels: t.Program.Kernels}
	for _, m := range t.Models {
		out, err := m.model()
		if err != nil {
			return nil, fmt.Errorf("%s: model %q: %w", name, m.Source, err)
		}
		if f.Model(out.Source, out.Revision) != nil {
			return nil, fmt.Errorf("%s: model %q has two entries", name, m.Source)
		}
		f.Models = append(f.Models, out)
	}
	for _, d := range t.Data {
		if f.Text(d.Source) != nil {
			return nil, fmt.Errorf("%s: data %q has two entries", name, d.Source)
		}
		f.Data = append(f.Data, Data(d))
	}
	for _, a := range t.Adapters {
		out, err := a.adapter()
		if err != nil {
			return nil, fmt.Errorf("%s: adapter %q: %w", name, a.Source, err)
		}
		if f.Adapter(out.Source, out.Revision) != nil {
			return nil, fmt.Errorf("%s: adapter %q has two entries", name, a.Source)
		}
		f.Adapters = append(f.Adapters, out)
	}
	for _, m := range t.Modules {
		switch {
		case f.Module(m.Source) != nil:
			return nil, fmt.Errorf("%s: module %q has two entries", name, m.Source)
		case !git.IsCommit(m.Commit): // it becomes part of a path
			return nil, fmt.Errorf("%s: module %q: expected a commit of 40 hexadecimal digits, not %q", name, m.Source, m.Commit)
		}
		f.Modules = append(f.Modules, Module(m))
	}
	return f, nil
}

func (a *adapterText) adapter() (Adapter, error) {
	out := Adapter{Source: a.Source, Revision: a.Revision, Commit: a.Commit, Digest: a.Digest, Alpha: a.Alpha}
	for _, pattern := range slices.Sorted(maps.Keys(a.Layers)) {
		var l AdapterLayer
		spec := a.Layers[pattern]
		if n, err := fmt.Sscanf(spec, "rank %d [%d, %d] scale %g", &l.Rank, &l.Out, &l.In, &l.Scale); n != 4 || err != nil || l.Rank < 1 || l.Out < 1 || l.In < 1 {
			return out, fmt.Errorf("%q: expected a layer such as \"rank 16 [576, 576] scale 2\"", spec)
		}
		names, err := unfold(pattern)
		if err != nil {
			return out, err
		}
		if len(out.Layers)+len(names) > 10*maxBlocks {
			return out, fmt.Errorf("more than %d layers", 10*maxBlocks)
		}
		for _, n := range names {
			l.Path = n
			out.Layers = append(out.Layers, l)
		}
	}
	slices.SortFunc(out.Layers, func(a, b AdapterLayer) int { return strings.Compare(a.Path, b.Path) })
	for i := 1; i < len(out.Layers); i++ {
		if out.Layers[i].Path == out.Layers[i-1].Path {
			return out, fmt.Errorf("layer %q stands twice", out.Layers[i].Path)
		}
	}
	return out, nil
}

func (m *modelText) model() (Model, error) {
	out := Model{Source: m.Source, Revision: m.Revision, Commit: m.Commit, Digest: m.Digest, Tokenizer: m.Tokenizer}
	v, diags := m.Config.Value(nil)
	if diags.HasErrors() {
		return out, diags
	}
	if !v.IsWhollyKnown() || v.IsNull() || !v.Type().IsObjectType() {
		return out, fmt.Errorf("config: expected an object")
	}
	raw, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return out, fmt.Errorf("config: %w", err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return out, fmt.Errorf("config: %w", err)
	}
	out.Config = compact.Bytes()
	total := 0
	for _, pattern := range slices.Sorted(maps.Keys(m.Tensors)) {
		spec, err := parseSpec(m.Tensors[pattern])
		if err != nil {
			return out, err
		}
		names, err := unfold(pattern)
		if err != nil {
			return out, err
		}
		if total += len(names); total > 10*maxBlocks {
			return out, fmt.Errorf("more than %d tensors", 10*maxBlocks)
		}
		for _, n := range names {
			out.Tensors = append(out.Tensors, Tensor{n, spec.Meta, spec.Bytes})
		}
	}
	slices.SortFunc(out.Tensors, func(a, b Tensor) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(out.Tensors); i++ {
		if out.Tensors[i].Name == out.Tensors[i-1].Name {
			return out, fmt.Errorf("tensor %q stands twice", out.Tensors[i].Name)
		}
	}
	for _, pattern := range slices.Sorted(maps.Keys(m.Quantized)) {
		var s compressedtensors.Stored
		if err := json.Unmarshal([]byte(m.Quantized[pattern]), &s); err != nil {
			return out, fmt.Errorf("quantized %q: %w", pattern, err)
		}
		names, err := unfold(pattern)
		if err != nil {
			return out, err
		}
		if out.Quantized == nil {
			out.Quantized = map[string]compressedtensors.Stored{}
		}
		for _, n := range names {
			out.Quantized[n] = s
		}
	}
	return out, nil
}
