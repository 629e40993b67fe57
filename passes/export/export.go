// Package export writes models in the formats that other programs read: Hugging
// Face folders, GGUF files and PEFT adapters.
//
// Invariants. A file depends on its inputs and parameters alone: two writes give
// the same bytes. Codes, scales and zero points are carried over and never
// quantised again, a weight that is zero reads back as zero, and what a format
// cannot hold is refused by the type rule, before anything is computed. A
// tensor that comes from a GGUF file and was not changed goes into a GGUF file
// as it was. Tensors are written one at a time: a model need not fit in memory.
//
// The package knows formats and how blocks hold weights (package blockwise); it
// knows no folder, no cache and nothing of how the weights came to be.
package export

import (
	"fmt"
	"io"
	"path"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
)

// loader loads an input by name and returns its release; creator starts a file.
// They are those of passes.Export.Write.
type (
	loader  = func(input string) (*artifact.Value, func(), error)
	creator = func(file string) (io.WriteCloser, error)
)

// All lists the methods of the verb.
func All() []*passes.Pass { return []*passes.Pass{Safetensors, GGUF, PEFT} }

// Common are the arguments of exports of whole models.
type Common struct {
	Model    *passes.Model `arg:"model" doc:"the model to write"`
	Path     string        `arg:"path" doc:"what to write, relative to the pipeline's folder"`
	Adapters string        `arg:"adapters" optional:"true" enum:"file|merge" doc:"what becomes of side paths: a file of their own, or part of the weights; needed where the model has any"`
	DType    string        `arg:"dtype" default:"f16" enum:"f16|bf16|f32" doc:"how floating point weights are stored"`
}

// check is the part of the type rule that whole-model exports share.
func (a Common) check() (ds diag.List) {
	ds = checkPath(a.Path)
	ty := a.Model.Type
	if ty == nil {
		return ds
	}
	var sided, masked, packed []*model.Linear // those with side paths, and which of them can't take them in
	for _, l := range ty.Linears {
		if len(l.Sides) == 0 {
			continue
		}
		sided = append(sided, l)
		if l.Masked() {
			masked = append(masked, l)
		}
		if l.Format.Quantized() {
			packed = append(packed, l)
		}
	}
	switch {
	case len(sided) > 0 && a.Adapters == "":
		or := ""
		if len(masked)+len(packed) == 0 {
			or = `, or into the weights with adapters = "merge"`
		}
		ds.Errorf("adapters", "Side paths need a place", "%s carry side paths since %s. Write them to a file of their own with adapters = \"file\"%s.",
			blockwise.Paths(sided), sided[0].SidedBy, or)
		ds.Since(sided[0].SidedBy)
	case len(packed) > 0 && a.Adapters == "merge":
		ds.Errorf("adapters", "Merging into codes", "%s are %s; adding a side path would need them quantised again, and undo what it makes up for. Use adapters = \"file\".",
			blockwise.Paths(packed), packed[0].Format)
		ds.Since(packed[0].QuantizedBy)
	case len(masked) > 0 && a.Adapters == "merge":
		ds.Errorf("adapters", "Merging would fill zeros", "%s are pruned to %s; adding a side path to the weights would fill the zeros. Use adapters = \"file\".",
			blockwise.Paths(masked), masked[0].Mask)
		ds.Since(masked[0].MaskedBy)
	case len(sided) == 0 && a.Adapters != "":
		ds.Warnf("adapters", "No side paths", "%s has no side paths, so adapters has no effect.", a.Model.From)
	}
	return ds
}

// bottlenecks refuses a model with adapters behind its sublayers for a format that
// has no place for them.
func bottlenecks(ty *model.Type, from, format, instead string) (ds diag.List) {
	if ty.Config.Adapters.Any() {
		ds.Errorf("model", "The format has no adapters", "%s has adapters behind its sublayers, with an activation inside, so that they are no part of the weights, and %s has no place for them. %s", from, format, instead)
		ds.Since(ty.AdaptedBy)
	}
	return ds
}

// nativeOrDelta is what to do about adapters that a format has no place for.
const nativeOrDelta = "Export \"safetensors\" with layout = \"native\", which compressc reads back, or retrain with placement = \"delta\", whose update is merged."

// checkPath is the type rule of every path.
func checkPath(p string) (ds diag.List) {
	if p == "" || path.Clean(p) == "/" {
		ds.Errorf("path", "No path", "An export needs the path of the file or folder to write.")
	}
	return ds
}

// hasSides reports whether any linear of ty has a side path.
func hasSides(ty *model.Type) bool {
	for _, l := range ty.Linears {
		if len(l.Sides) > 0 {
			return true
		}
	}
	return false
}

// inputs names every part of a model.
func inputs(m *passes.Model) []action.Input {
	in := []action.Input{{Name: "config", Ref: m.Config}, {Name: "embed", Ref: m.Embed}, {Name: "final", Ref: m.Final}}
	if m.Tokenizer.Valid() {
		in = append(in, action.Input{Name: "tokenizer", Ref: m.Tokenizer})
	}
	for b, r := range m.Blocks {
		in = append(in, action.Input{Name: fmt.Sprintf("block%d", b), Ref: r})
	}
	return in
}
