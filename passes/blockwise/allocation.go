package blockwise

import (
	"fmt"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
)

// Allocated is the argument of methods whose layers may each have a number of
// their own. A method that embeds it hands the allocation to its Job, and its
// layers' arguments are Allocatable.
type Allocated struct {
	Allocation *passes.Allocation `arg:"allocation" optional:"true" doc:"how much each layer gets, of allocate or of another method that decided it; stands in place of the one number for all"`
}

// Allocatable are arguments of one layer that can take its number from an
// allocation.
type Allocatable interface {
	Allocate(number float64)
}

// Check reports an allocation that does not fit: one of something else than of,
// made for a model of another shape, or without numbers for a layer that t
// selects.
func (a Allocated) Check(of string, ty *model.Type, t Target) (ds diag.List) {
	al := a.Allocation
	if al == nil || al.Of == "" {
		return nil
	}
	if al.Of != of {
		ds.Errorf("allocation", "Allocation of something else", "%s distributes %s, and this block takes %s.", al.From, al.Of, of)
		ds.Since(al.From)
		return ds
	}
	if ty == nil || al.Type == nil {
		return nil
	}
	if !ty.SameShape(al.Type) {
		ds.Errorf("allocation", "Allocation for another model", "%s was made for a model with other layers than this one's.", al.From)
		ds.Since(al.From)
		return ds
	}
	var missing []*model.Linear
	for _, l := range ty.Linears {
		if t.Selects(l) && !al.Layers[l.Path] {
			missing = append(missing, l)
		}
	}
	if len(missing) > 0 {
		ds.Errorf("allocation", "Layers without a share", "%s says nothing of %s. Give both blocks the same targets.", al.From, Paths(missing))
		ds.Since(al.From)
	}
	return ds
}

// Allot gives arguments the number that a block's share of an allocation has for a
// layer, and returns it. share is the input of ShareOf.
func Allot(share *artifact.Value, of, layer string, args Allocatable) (float64, error) {
	var all map[string]map[string]float64
	if err := share.JSON("report", &all); err != nil {
		return 0, err
	}
	x, ok := all[layer][of]
	if !ok {
		return 0, fmt.Errorf("the allocation has no %s for %s", of, layer)
	}
	args.Allocate(x)
	return x, nil
}

// ShareOf is the input "allocation" that holds block b's share, if there is an allocation.
func ShareOf(a *passes.Allocation, b int) []action.Input {
	if a == nil {
		return nil
	}
	return []action.Input{{Name: "allocation", Ref: a.Blocks[b]}}
}
