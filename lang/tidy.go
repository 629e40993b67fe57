package lang

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/compressc/compressc/internal/didyoumean"
)

// NearestFunction says of a call of an unknown function which one is spelled
// most like it. The parser's own suggestion is another one each time.
func (p *Pipeline) NearestFunction(d *hcl.Diagnostic) {
	if d.Summary != "Call to unknown function" {
		return
	}
	_, rest, _ := strings.Cut(d.Detail, `"`)
	name, _, ok := strings.Cut(rest, `"`)
	if !ok {
		return
	}
	names := make([]string, 0, len(p.Functions))
	for n := range p.Functions {
		names = append(names, n)
	}
	slices.Sort(names)
	d.Detail = fmt.Sprintf("There is no function named %q.%s", name, didyoumean.Hint(name, names))
}

// tidy takes away what the parser says several times of one mistake, and says
// better what it says badly.
func tidy(diags hcl.Diagnostics) hcl.Diagnostics {
	const block, quote, unterminated = "Invalid block definition", "Invalid multi-line string", "Unterminated template string"
	type line struct {
		file string
		line int
	}
	at := func(d *hcl.Diagnostic) line { return line{d.Subject.Filename, d.Subject.Start.Line} }
	explained := map[line]bool{}
	open := map[string]bool{}
	odd := map[line]bool{}
	for _, d := range diags {
		if d.Subject != nil && d.Summary == "Unsupported block" {
			explained[at(d)] = true
		}
	}
	return slices.DeleteFunc(diags, func(d *hcl.Diagnostic) bool {
		switch {
		case d.Subject == nil:
			return false
		case d.Summary == block:
			// "model model.base" has been said to lack an equals sign.
			return explained[at(d)]
		case d.Summary == "Invalid character":
			// One a line: of a file that is no text there would be one a byte.
			twice := odd[at(d)]
			odd[at(d)] = true
			return twice
		case d.Summary == quote || d.Summary == unterminated:
			// A quote that is not closed turns the rest of the file inside out.
			if open[d.Subject.Filename] {
				return true
			}
			open[d.Subject.Filename] = true
			d.Summary = "Text without an end"
			d.Detail = "The quote that begins this text is not closed on its line. Close it; for a text of several lines write \\n, or <<EOT and EOT around it."
		}
		return false
	})
}
