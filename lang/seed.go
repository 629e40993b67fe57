package lang

import (
	"fmt"
	"math/big"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/compressc/compressc/internal/schema"
)

// Seed reads the value of an argument seed, which is known and not null.
func Seed(v cty.Value) (uint64, error) {
	n, err := convert.Convert(v, cty.Number)
	if err == nil && !n.IsNull() && n.IsKnown() {
		// Float.Uint64 calls the truncation of a fraction exact, so that IsInt must
		// be asked as well.
		if u, acc := n.AsBigFloat().Uint64(); acc == big.Exact && n.AsBigFloat().IsInt() {
			return u, nil
		}
	}
	return 0, fmt.Errorf("a seed is a whole number from 0 to 18446744073709551615, not %s", schema.Spell(v))
}
