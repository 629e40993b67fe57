package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/lang"
)

// formPages are those of the blocks that are the language's own.
func formPages(forms []lang.Form) []page {
	var list []page
	for _, f := range forms {
		if _, own := formExamples[f.Type]; own {
			list = append(list, page{block: f.Type, summary: sentence(f.Doc), doc: kindsText(f), schema: &schema.Schema{}, form: &f})
		}
	}
	return list
}

// kindsText lists the kinds of a block that has some.
func kindsText(f lang.Form) string {
	var b strings.Builder
	for _, m := range f.Methods {
		fmt.Fprintf(&b, "- `%s %q`: %s\n", f.Type, m.Name, m.Summary)
	}
	return b.String()
}

// formExamples are blocks as one would write them.
var formExamples = map[string]string{
	"pipeline": `pipeline {
  required_version = ">= 0.1"
  description      = "4 bits, healed"
}
`,
	"locals": `locals {
  limit = 1.05
}
`,
	"variable": `variable "bits" {
  type        = number
  default     = 4
  description = "bits of a code"

  validation {
    condition     = var.bits >= 3
    error_message = "fewer than 3 bits lose too much"
  }
}
`,
	"output": `output "size" {
  value = quantize.small.size
}
`,
	"sweep": `sweep "grid" "setting" {
  bits       = [4, 8]
  group_size = [16, 64]
  where      = axis.bits == 4 || axis.group_size == 64
}
`,
	"gate": `gate "small" {
  condition     = quantize.small.bits_per_weight < 5
  error_message = "too large by ${quantize.small.bits_per_weight - 5} bits a weight"
}
`,
	"select": `select "best" {
  from     = quantize.small
  minimize = quantize.small.size
}
`,
	"search": `search "bisect" "best" {
  from     = quantize.small
  minimize = quantize.small.size
  where    = evaluate.small.perplexity < 5000
}
`,
	"module": `module "recipe" {
  source = "./recipe"
  base   = model.base
}
`,
}

// writeFormArgs writes a table of the language's own arguments, the required
// ones first.
func writeFormArgs(w *bytes.Buffer, f *lang.Form) {
	if len(f.Args) > 0 || f.Rest != nil {
		fmt.Fprintf(w, "| argument | type | | |\n|---|---|---|---|\n")
	}
	row := func(name string, a lang.FormArg) {
		need, text := "", sentence(a.Doc)
		if a.Required {
			need = "required"
		}
		if len(a.Enum) > 0 {
			text += " One of " + codeList(a.Enum) + "."
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s |\n", name, formTypes[a.Type], need, cellText(text))
	}
	for _, required := range []bool{true, false} {
		for _, a := range f.Args {
			if a.Required == required {
				row("`"+a.Name+"`", a)
			}
		}
	}
	if f.Rest != nil {
		row("any other", *f.Rest)
	}
	for _, n := range f.Blocks {
		fmt.Fprintf(w, "\n## %s\n\n%s\n\n", n.Type, sentence(n.Doc))
		writeFormArgs(w, &n)
	}
}

// formTypes are the types in words.
var formTypes = map[lang.FormType]string{
	lang.FormAny: "any", lang.FormBool: "bool", lang.FormNumber: "number", lang.FormString: "string", lang.FormText: "string without references",
	lang.FormTypeName: "type", lang.FormGates: "list of gates", lang.FormModel: "model", lang.FormList: "list", lang.FormEach: "map, or set of strings",
}
