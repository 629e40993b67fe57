package merge

import (
	"fmt"
	"math"
	"slices"

	"github.com/zclconf/go-cty/cty"

	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
)

// Density is the argument "density": which share of each delta is kept, one
// number for all models or a list of one for each.
type Density []float64

// ArgType names the type in documentation.
func (Density) ArgType() string { return "number or list of numbers" }

// ParseArg reads a number or a list of numbers in (0, 1].
func (d *Density) ParseArg(v cty.Value) error {
	list, err := numbers(v, "expected a number such as 0.2, or a list of one for each model")
	for _, x := range list {
		if !(x > 0 && x <= 1) {
			return fmt.Errorf("a density is above 0 and at most 1: the share that is kept")
		}
	}
	*d = list
	return err
}

// of returns a density for each of n models.
func (d Density) of(n int) []float64 {
	if len(d) == 1 {
		return slices.Repeat(d, n)
	}
	return d
}

// check reports a density that does not fit the models, or that keeps nothing of
// a layer of ty, which may be nil.
func (d Density) check(n int, ty *model.Type) (ds diag.List) {
	if len(d) != 1 && len(d) != n {
		ds.Errorf("density", "Densities do not fit the models", "There are %d densities for %d models; give one number for all, or one for each in the order of models.", len(d), n)
		return ds
	}
	if ty == nil {
		return ds
	}
	for _, l := range ty.Linears {
		for _, x := range d {
			if kept(x, l.Out*l.In) == 0 {
				ds.Errorf("density", "Nothing is kept", "A density of %g keeps none of the %d weights of %s.", x, l.Out*l.In, l.Path)
				return ds
			}
		}
	}
	return ds
}

// kept is ⌊density·n⌋; a density that is not exact in binary means the decimal
// it was written as: 0.29 of 100 are 29.
func kept(density float64, n int) int {
	return int(math.Floor(float64(density*float64(n)) + 1e-9))
}
