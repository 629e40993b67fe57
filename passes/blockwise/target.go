package blockwise

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/schema"
	"github.com/compressc/compressc/passes"
)

// Target are the arguments that choose linear layers. Methods embed it.
type Target struct {
	Targets   []string         `arg:"targets" optional:"true" doc:"globs of the linears to change; all linears of the decoder blocks by default"`
	Overrides schema.Overrides `overrides:"true"`
}

// ModuleOf is how selectors see a linear layer.
func ModuleOf(l *model.Linear) schema.Module {
	return schema.Module{Path: l.Path, Role: l.Role, Block: l.Block}
}

// Selects reports whether the targets pick l.
func (t Target) Selects(l *model.Linear) bool {
	return schema.Globs(t.Targets).Match(ModuleOf(l))
}

// Check reports patterns that match nothing in ty.
func (t Target) Check(ty *model.Type) diag.List {
	mods := make([]schema.Module, len(ty.Linears))
	for i, l := range ty.Linears {
		mods[i] = ModuleOf(l)
	}
	ds := schema.Globs(t.Targets).Check("targets", mods)
	return append(ds, t.Overrides.Check(mods)...)
}

// Calibrated are the arguments of a method that needs its layers' inputs.
type Calibrated struct {
	Data      *passes.Data  `arg:"data" doc:"calibration windows"`
	Propagate string        `arg:"propagate" default:"output" enum:"reference|input|output" doc:"whose hidden states the statistics come from: the reference model's, the input model's, or, block by block, this block's own results"`
	Reference *passes.Model `arg:"reference" optional:"true" doc:"the original model, for propagate = \"reference\""`
}

// Check reports what is wrong with the source of the statistics.
func (c Calibrated) Check(ty *model.Type) (ds diag.List) {
	if c.Propagate == "reference" && c.Reference == nil {
		ds.Errorf("propagate", "No reference model", `propagate = "reference" takes the statistics from the model in the argument reference, which is missing. Add reference = model.NAME, or use propagate = "input" or "output".`)
	}
	if c.Reference != nil && c.Propagate != "reference" {
		ds.Warnf("reference", "Reference is not used", `The statistics come from this block's %s (propagate = %q), so reference has no effect.`, map[string]string{"input": "input model", "output": "own results"}[c.Propagate], c.Propagate)
	}
	ds = append(ds, CheckReference(ty, c.Reference)...)
	return ds
}

// CheckReference reports a reference of another shape, or one whose channels are
// scaled differently and that Aligned cannot scale alike.
func CheckReference(ty *model.Type, ref *passes.Model) (ds diag.List) {
	if ty == nil || ref == nil || ref.Type == nil {
		return nil
	}
	if ty.SameShape(ref.Type) {
		l, m := ty.ScaledOnFrom(ref.Type)
		a, b := ty.Config, ref.Type.Config
		switch {
		case a.Norm != b.Norm || a.NormBias != b.NormBias:
			ds.Errorf("reference", "Reference of other norms", "%s has %s, the model has %s, so that weights and inputs of the two cannot be compared. Use as reference a model that was transformed alike, such as the one that the transformation yields.",
				ref.From, arch.NormName(b.Norm), arch.NormName(a.Norm))
			ds.Since(ref.From)
		case a.Adapters != b.Adapters:
			from := cmp.Or(ty.AdaptedBy, ref.Type.AdaptedBy)
			ds.Errorf("reference", "Reference of other adapters", "Either the model or the reference %s has adapters behind its sublayers that the other does not have, so that what the layers read and what comes of it cannot be compared. Use as reference a model with the same adapters, such as the one that %s yields.",
				ref.From, from)
			ds.Since(from)
		case l == nil:
		case m.Format.Quantized() && len(m.ScaledBy) < len(l.ScaledBy):
			by := l.ScaledBy[len(l.ScaledBy)-1]
			ds.Errorf("reference", "Reference cannot be scaled", "Channels of %s were scaled by %s, and the reference would have to be scaled alike, where its weights are %s since %s. Use as reference a model from before that.",
				l.Path, by, m.Format, m.QuantizedBy)
			ds.Since(m.QuantizedBy)
		default:
			by := slices.Concat(l.ScaledBy, m.ScaledBy)
			ds.Errorf("reference", "Reference is scaled differently", "Channels of %s were scaled by %s, in the reference in another way than in the model, and so their weights or inputs cannot be compared. Use as reference the model that this one was made from.",
				l.Path, strings.Join(slices.Compact(by), ", "))
			ds.Since(by[len(by)-1])
		}
		return ds
	}
	ds.Errorf("reference", "Reference of another shape", "The reference %s has %d blocks of width %d, the model has %d of width %d. Expected the model that this one was made from.",
		ref.From, ref.Type.Config.Layers, ref.Type.Config.Hidden, ty.Config.Layers, ty.Config.Hidden)
	ds.Since(ref.From)
	return ds
}

// Paths abbreviates a list of layers for a message: layers that differ only in
// the block's number become one, and so do those of one module:
// model.layers.*.mlp.{gate,up}_proj.
func Paths(ls []*model.Linear) string {
	var order []string
	count := map[string]int{}
	first := map[string]*model.Linear{}
	for _, l := range ls {
		if count[l.Name] == 0 {
			order = append(order, l.Name)
			first[l.Name] = l
		}
		count[l.Name]++
	}
	type group struct {
		head, tail string
		names      []string
	}
	var groups []*group
	for _, n := range order {
		path := first[n].Path
		if count[n] > 1 {
			path = strings.Replace(path, fmt.Sprintf(".%d.", first[n].Block), ".*.", 1)
		}
		dot := strings.LastIndexByte(path, '.') + 1
		name, tail, _ := strings.Cut(path[dot:], "_")
		g := &group{head: path[:dot], tail: path[dot+len(name):], names: []string{name}}
		if i := slices.IndexFunc(groups, func(o *group) bool { return o.head == g.head && o.tail == g.tail && tail != "" }); i >= 0 {
			groups[i].names = append(groups[i].names, name)
			continue
		}
		groups = append(groups, g)
	}
	list := make([]string, len(groups))
	for i, g := range groups {
		name := g.names[0]
		if len(g.names) > 1 {
			name = "{" + strings.Join(g.names, ",") + "}"
		}
		list[i] = g.head + name + g.tail
	}
	return strings.Join(list, ", ")
}
