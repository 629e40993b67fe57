package merge

import (
	"errors"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// numbers reads an argument that is a number or a list of at least one; expected
// is the message about anything else.
func numbers(v cty.Value, expected string) ([]float64, error) {
	if n, err := convert.Convert(v, cty.Number); err == nil {
		v = cty.TupleVal([]cty.Value{n})
	}
	list, err := convert.Convert(v, cty.List(cty.Number))
	if err != nil || list.LengthInt() == 0 {
		return nil, errors.New(expected)
	}
	var out []float64
	for it := list.ElementIterator(); it.Next(); {
		_, e := it.Element()
		if e.IsNull() {
			return nil, errors.New("the list holds null")
		}
		x, _ := e.AsBigFloat().Float64()
		out = append(out, x)
	}
	return out, nil
}
