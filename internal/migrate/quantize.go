package migrate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// grid is how weights are rounded, as far as a file says it.
type grid struct {
	bits, groupSize int64
	// symmetric is nil where the file leaves it open.
	symmetric *bool
}

// widths are the bits that codes may have.
var widths = []int64{2, 3, 4, 8}

// problem says why the grid has no counterpart, "" if it has one. Open fields
// are zero.
func (g grid) problem() string {
	switch {
	case g.bits != 0 && !slices.Contains(widths, g.bits):
		return fmt.Sprintf("codes have 2, 3, 4 or 8 bits here, not %d", g.bits)
	case g.groupSize < -1 || g.groupSize > 1<<20:
		return fmt.Sprintf("%d is no size of a group", g.groupSize)
	}
	return ""
}

// args are the arguments that say the grid, those that are open left out.
func (g grid) args() []arg {
	var list []arg
	if g.bits != 0 {
		list = append(list, arg{"bits", cty.NumberIntVal(g.bits)})
	}
	if g.groupSize != 0 {
		list = append(list, arg{"group_size", cty.NumberIntVal(g.groupSize)})
	}
	if g.symmetric != nil {
		list = append(list, arg{"symmetric", cty.BoolVal(*g.symmetric)})
	}
	return list
}

// order sets the arguments of GPTQ that say in which order columns are visited
// and when groups get their grids. In other tools descending order and groups
// in that order go together; here groups are those of neighbouring columns.
func (s *step) order(descending, static bool, n *node, what string) {
	s.set("act_order", cty.BoolVal(descending))
	switch {
	case descending && !static:
		s.miss(what, n, "groups hold neighbouring columns here, whatever the order they are visited in, and get their grids from the original weights (static_groups)")
		s.set("static_groups", cty.True)
	case static || descending:
		s.set("static_groups", cty.True)
	default:
		s.set("static_groups", cty.False)
	}
}

// damp sets the damping where it is one.
func (s *step) damp(what string, n *node) {
	if n.null() {
		return
	}
	if f, ok := n.number(); ok && f > 0 && f <= 1 {
		s.set("damping", number(f))
		return
	}
	s.miss(what, n, "damping is a share of the diagonal's mean, above 0 and at most 1, so that the default of 0.01 holds")
}

// ignore leaves layers out of a step. Pruning can spare single layers by an
// override, quantisation whole kinds of layers by its targets.
func (s *step) ignore(what string, n *node, patterns []string) {
	var list []string
	for _, p := range patterns {
		g, err := moduleGlobs(p)
		if err != nil {
			s.miss(what, n, "the pattern "+err.Error())
			continue
		}
		list = append(list, g...)
	}
	if s.verb == "prune" {
		for _, g := range list {
			if targeted(g) && !slices.ContainsFunc(s.overrides, func(o override) bool { return o.glob == g }) {
				s.overrides = append(s.overrides, override{g, []arg{{"sparsity", cty.NumberIntVal(0)}}})
			}
		}
		return
	}
	targets, single := without(list)
	if targets != nil && len(targets) == 0 {
		s.miss(what, n, "nothing would be left to quantise, so that all layers are")
		return
	}
	if targets != nil {
		s.target(targets)
	}
	if len(single) > 0 {
		s.miss(what, n, "layers of single decoder blocks cannot be left alone, and "+strings.Join(single, ", ")+" names such: they are quantised like the others")
	}
}

// target sets the layers that the step changes.
func (s *step) target(globs []string) {
	for i, a := range s.args {
		if a.name == "targets" {
			s.args[i].value = texts(globs)
			return
		}
	}
	s.set("targets", texts(globs))
}

// targeted reports whether a glob matches a linear layer of a decoder block.
func targeted(glob string) bool {
	return slices.ContainsFunc(linears, func(l string) bool { return shareOf(glob, paths[l]) != none })
}

// moduleGlobs reads what llm-compressor names modules by: "re:" and a regular
// expression, or a name.
func moduleGlobs(pattern string) ([]string, error) {
	if re, ok := strings.CutPrefix(pattern, "re:"); ok {
		return globs(re)
	}
	return []string{escapeGlob(pattern)}, nil
}
