package lang

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// formatRounds bounds the repetitions of Format; hclwrite settles in two or
// three where it does not at once.
const formatRounds = 8

// Format returns src in canonical style: only space changes. It is idempotent.
// A source with syntax errors is returned as it is, with them; name is the file
// for their ranges.
func Format(src []byte, name string) ([]byte, hcl.Diagnostics) {
	if _, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos); diags.HasErrors() {
		return src, diags
	}
	// hclwrite aligns by the columns before its own changes, so its result may
	// not be a fixed point yet.
	out := src
	for range formatRounds {
		next := hclwrite.Format(out)
		if bytes.Equal(next, out) {
			break
		}
		out = next
	}
	return out, nil
}
