package lang

import (
	"bytes"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// formatRounds bounds the repetitions of Format; hclwrite settles in two or
// three where it does not at once.
const formatRounds = 8

// Format returns src in canonical style: only space changes. It is idempotent.
// A source with syntax errors is returned as it is, with them; name is the file
// for their ranges. So is one whose words would run together: hclwrite makes
// "0.0. 0" one number.
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
	if !sameTokens(src, out) {
		return src, nil
	}
	return out, nil
}

// sameTokens reports whether two texts differ in space only.
func sameTokens(a, b []byte) bool {
	x, _ := hclsyntax.LexConfig(a, "", hcl.InitialPos) // parsed before
	y, _ := hclsyntax.LexConfig(b, "", hcl.InitialPos)
	return slices.EqualFunc(x, y, func(p, q hclsyntax.Token) bool {
		return p.Type == q.Type && bytes.Equal(bytes.TrimSpace(p.Bytes), bytes.TrimSpace(q.Bytes))
	})
}
