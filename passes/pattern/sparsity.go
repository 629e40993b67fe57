// Package pattern holds the argument types that methods share and the language
// does not know: how much to prune, written as a fraction or as N:M.
package pattern

import (
	"encoding/json"
	"fmt"

	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/mask"
)

// Sparsity is the argument "sparsity": a fraction to remove, or "N:M" to keep N
// of every M. The zero value removes nothing.
type Sparsity struct {
	mask.Pattern
}

// ArgType names the type in documentation.
func (Sparsity) ArgType() string { return `number or "N:M"` }

// ParseArg reads a number, or a string as mask.ParsePattern does.
func (s *Sparsity) ParseArg(v cty.Value) error {
	var text string
	switch v.Type() {
	case cty.String:
		text = v.AsString()
	case cty.Number:
		text = v.AsBigFloat().Text('g', -1)
	default:
		return fmt.Errorf(`expected a fraction such as 0.5 or a pattern such as "2:4"`)
	}
	p, err := mask.ParsePattern(text)
	if err != nil {
		return err
	}
	s.Pattern = p
	return nil
}

// MarshalJSON writes "2:4" or "0.5", equal for equal patterns.
func (s Sparsity) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Sparsity) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("sparsity: %w", err)
	}
	p, err := mask.ParsePattern(text)
	if err != nil {
		return err
	}
	s.Pattern = p
	return nil
}
