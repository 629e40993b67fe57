package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/lang"
)

// page is the reference of one method or source.
type page struct {
	block, method       string
	summary, doc, paper string
	schema              *schema.Schema
	// verb is set where the language's own arguments may stand too.
	verb bool
	// form is set of the language's own blocks, which have no schema.
	form *lang.Form
}

func methodPage(v lang.Verb, m *lang.Method) page {
	return page{block: v.Name, method: m.Method, summary: m.Summary, doc: m.Doc, paper: m.Paper, schema: m.Schema, verb: true}
}

// sourcePages are those of model and data blocks.
func sourcePages(forms []lang.Form) []page {
	var list []page
	for _, f := range forms {
		switch f.Type {
		case "model", "adapter":
			list = append(list, page{block: f.Type, summary: f.Doc, schema: f.Schema})
		case "data":
			for _, m := range f.Methods {
				list = append(list, page{block: f.Type, method: m.Name, summary: m.Summary, schema: m.Schema})
			}
		}
	}
	return list
}

// title is how the block begins.
func (p page) title() string {
	if p.method == "" {
		return p.block
	}
	return p.block + ` "` + p.method + `"`
}

func (p page) file() string {
	if p.method == "" {
		return p.block + ".md"
	}
	return p.block + "-" + p.method + ".md"
}

// render writes the page in Markdown.
func (p page) render() []byte {
	var w bytes.Buffer
	fmt.Fprintf(&w, "# %s\n\n%s\n\n", p.title(), p.summary)
	if p.doc != "" {
		fmt.Fprintf(&w, "%s\n\n", strings.TrimSpace(p.doc))
	}
	fmt.Fprintf(&w, "```hcl\n%s```\n\n", p.example())
	fmt.Fprintf(&w, "## Arguments\n\n")
	if p.form != nil {
		writeFormArgs(&w, p.form)
	} else {
		writeArgs(&w, p.schema)
	}
	for _, a := range p.schema.Args {
		if a.Object != nil {
			fmt.Fprintf(&w, "\n## Objects of %s\n\n", a.Name)
			writeArgs(&w, a.Object)
		}
	}
	for _, b := range p.schema.Blocks {
		label := ""
		if len(b.Labels) > 0 {
			label = ` "` + strings.Join(b.Labels, `" | "`) + `"`
		}
		fmt.Fprintf(&w, "\n## %s%s\n\n", b.Name, label)
		if b.Doc != "" {
			fmt.Fprintf(&w, "%s\n\n", sentence(b.Doc))
		}
		if b.Required {
			fmt.Fprintf(&w, "This block is required.\n\n")
		}
		writeArgs(&w, b.Schema)
	}
	if p.verb {
		fmt.Fprintf(&w, "\n## In every block\n\n`enabled = false` %s. `requires = [gate.x]` holds the block back until the gate has passed. `seed` replaces the pipeline's seed.", offText(p.block))
		if per := p.schema.PerModule(); p.schema.Overrides && len(per) > 0 {
			fmt.Fprintf(&w, "\n\nAn `override \"pattern\" { … }` sets %s for the modules that the pattern matches; of several overrides the first that matches decides.", codeList(per))
		}
		fmt.Fprintln(&w)
	}
	if p.paper != "" {
		fmt.Fprintf(&w, "\n## Source\n\n%s\n", sentence(p.paper))
	}
	return w.Bytes()
}

func offText(verb string) string {
	if v := lang.LookupVerb(verb); v != nil && v.Yields == lang.YieldsModel {
		return "hands its model on as it is"
	}
	return "leaves the block out"
}

// writeArgs writes a table of arguments, the required ones first.
func writeArgs(w *bytes.Buffer, s *schema.Schema) {
	if len(s.Args) == 0 {
		fmt.Fprintf(w, "None.\n")
		return
	}
	fmt.Fprintf(w, "| argument | type | default | |\n|---|---|---|---|\n")
	for _, required := range []bool{true, false} {
		for _, a := range s.Args {
			if a.Required == required {
				fmt.Fprintf(w, "| `%s` | %s | %s | %s |\n", a.Name, a.TypeName(), defaultText(a), cellText(about(a)))
			}
		}
	}
}

func defaultText(a *schema.Arg) string {
	switch d := a.DefaultText(); {
	case a.Required:
		return "required"
	case d != "":
		return "`" + d + "`"
	}
	return ""
}

// about is what the table says of an argument.
func about(a *schema.Arg) string {
	text := sentence(a.Doc)
	if len(a.Enum) > 0 {
		text += " One of " + codeList(a.Enum) + "."
	}
	if r := a.Range(); r != "" {
		text += " " + sentence(r)
	}
	if a.PerModule {
		text += " May differ by module."
	}
	if a.Deprecated != "" {
		text += " Deprecated: " + sentence(a.Deprecated)
	}
	return strings.TrimSpace(text)
}

// sentence makes a note into a sentence.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

func codeList(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = "`" + n + "`"
	}
	return strings.Join(quoted, ", ")
}

// cellText keeps a text inside its cell.
func cellText(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(s)
}

// names of the example's blocks.
var exampleNames = map[string]string{"model": "base", "data": "calib", "adapter": "tuned", "prune": "sparse", "retrain": "healed", "quantize": "small", "compensate": "final", "merge": "both",
	"train": "new", "allocate": "shares", "evaluate": "quality", "export": "files"}

// example is a block with its required arguments, and those optional ones that
// nobody leaves out.
func (p page) example() string {
	if p.form != nil {
		return formExamples[p.block]
	}
	var b strings.Builder
	name := exampleNames[p.block]
	if name == "" {
		name = "x"
	}
	fmt.Fprintf(&b, "%s %q {\n", p.title(), name)
	for _, a := range p.schema.Args {
		if v := exampleValue(p, a); v != "" {
			fmt.Fprintf(&b, "%s = %s\n", a.Name, v)
		}
	}
	for _, n := range p.schema.Blocks {
		if n.Required {
			fmt.Fprintf(&b, "\n%s %q {\n}\n", n.Name, n.Labels[0])
		}
	}
	b.WriteString("}\n")
	return string(hclwrite.Format([]byte(b.String())))
}

// exampleValue is the value of an argument in the example, "" to leave it out.
func exampleValue(p page, a *schema.Arg) string {
	if a.Example != "" {
		return a.Example
	}
	key := p.title() + " " + a.Name
	if v, ok := exampleValues[key]; ok {
		return v
	}
	if v, ok := exampleValues[a.Name]; ok && (a.Required || alwaysShown[a.Name]) {
		return v
	}
	if !a.Required {
		return ""
	}
	switch {
	case a.Kind == schema.Reference && a.RefKind == "model":
		return "model.base"
	case a.Kind == schema.Reference && a.RefKind == "data":
		return "data.calib"
	case a.Kind == schema.Reference && a.RefKind == "allocation":
		return "allocate.shares"
	case a.Kind == schema.Reference:
		return "retrain.healed.adapter"
	case a.Kind == schema.ReferenceList:
		return "[retrain.prose, retrain.code]"
	case len(a.Enum) > 0:
		return fmt.Sprintf("%q", a.Enum[0])
	case a.Kind == schema.String:
		return `"…"`
	case a.Kind == schema.Bool:
		return "true"
	}
	return "1"
}

// alwaysShown are optional arguments that examples show all the same: what the
// method is mostly about.
var alwaysShown = map[string]bool{"sparsity": true, "bits": true, "group_size": true, "rank": true, "steps": true}

// exampleValues are values that make sense: by argument, or by block and
// argument.
var exampleValues = map[string]string{
	"sparsity":        `"2:4"`,
	"bits":            "4",
	"group_size":      "64",
	"rank":            "16",
	"steps":           "40",
	"reference":       "model.base",
	"sequence_length": "512",
	"samples":         "16",
	"path":            `"out/model"`,

	`allocate "rd" sparsity`:   "0.5",
	`allocate "rd" bits`:       "",
	`allocate "rd" group_size`: "",

	"model source":                `"hf://HuggingFaceTB/SmolLM2-135M-Instruct"`,
	"adapter source":              `"adapter"`,
	`merge "adapter" adapter`:     "retrain.prose.adapter",
	`data "text" source`:          `"calib.txt"`,
	`data "text" tokenizer`:       "model.base",
	`data "text" samples`:         "16",
	`export "gguf" path`:          `"out/model.gguf"`,
	`export "peft" path`:          `"out/adapter"`,
	`evaluate "perplexity" data`:  "data.test",
	`compensate "eora" model`:     "quantize.small",
	`compensate "lorc" model`:     "quantize.small",
	`train "language_model" data`: "data.calib",
	`transform "rmsnorm" model`:   "train.gpt2",
	`transform "crmsnorm" model`:  "train.gpt2",
	`export "peft" model`:         "compensate.final",
}
