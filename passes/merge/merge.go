// Package merge makes one model of several of the same shape, without data.
//
// Terms. The base is the model that the others were trained from. A delta is
// what such a model has added to a tensor of the base, τ = θ − θ₀. A part of a
// model is what one action works on: the embedding, a decoder block, or the
// final norm with the head. A tensor is a table (embedding, head), a linear
// layer's weights, or a vector (a norm's gain, a bias).
//
// Invariants. A method is a function on one tensor of the base and the same
// tensor of each model. It sees them chunk by chunk, decoded from whatever they
// are stored as, so that a table is never in memory as a whole but for the
// result. Deltas are differences of float32 numbers in float64, which is exact
// for numbers of similar size: adding a single delta gives its model back.
// Reductions over a tensor add one number a chunk, in order; chunks depend on the
// tensor's shape alone.
//
// Side paths are part of a layer's weights here: they are multiplied out. Codes
// and masks are refused, because a merge would lose them.
package merge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/prune"
)

// All lists the methods of the verb.
func All() []*passes.Pass {
	return []*passes.Pass{Linear, TaskArithmetic, TIES, DARE, SLERP, TSVM, Consensus, TALL, Adapter}
}

// Sources are the models that every merge takes.
type Sources struct {
	Models     []*passes.Model `arg:"models" doc:"the models to merge, all of one shape"`
	Embeddings string          `arg:"embeddings" default:"merge" enum:"merge|base" doc:"what becomes of embedding and head: merged like the rest, or kept as the base has them (as the first model has them where there is no base), which allows vocabularies of other sizes"`
}

// Weighted are the arguments of merges in which models may count differently.
type Weighted struct {
	Weights []float64 `arg:"weights" optional:"true" doc:"what each model counts, in the order of models; 1 each by default"`
}

// of returns a weight for each of n models.
func (w Weighted) of(n int) []float64 {
	if len(w.Weights) == n {
		return w.Weights
	}
	return slices.Repeat([]float64{1}, n)
}

// check reports weights that do not fit the models, or whose sum is 0 where it
// is divided by.
func (w Weighted) check(n int, normalize bool) (ds diag.List) {
	if len(w.Weights) > 0 && len(w.Weights) != n {
		ds.Errorf("weights", "Weights do not fit the models", "There are %d weights for %d models; give one for each, in the order of models.", len(w.Weights), n)
		return ds
	}
	sum := 0.0
	for _, x := range w.of(n) {
		sum += x
	}
	if normalize && sum == 0 {
		ds.Errorf("weights", "Weights add up to nothing", "The merge is divided by the sum of the weights, which is 0. Set normalize = false, or other weights.")
	}
	return ds
}

// job is one merge: base is nil where the method has none.
type job struct {
	node string
	base *passes.Model
	Sources
}

// first is the model whose configuration, tokenizer and kept tables the result
// has.
func (j job) first() *passes.Model {
	if j.base != nil {
		return j.base
	}
	return j.Models[0]
}

// typeOf is the type rule that merges share: at least least models of the shape
// of the base, of plain weights; a dense model out.
func (j job) typeOf(least int) (passes.Result, diag.List) {
	out := &passes.Model{From: j.node}
	res := passes.Result{Model: out}
	var ds diag.List
	if len(j.Models) < least {
		ds.Errorf("models", "Too few models", "A merge of this method takes at least %d models; models has %d.", least, len(j.Models))
		return res, ds
	}
	known := true
	check := func(arg string, m *passes.Model) {
		if m.Type == nil {
			known = false
			return
		}
		ds = append(ds, plain(arg, m)...)
	}
	if j.base != nil {
		check("base", j.base)
	}
	for _, m := range j.Models {
		check("models", m)
	}
	to := j.first()
	if to.Type == nil || ds.HasErrors() {
		return res, ds
	}
	for _, m := range j.Models {
		if m != to && m.Type != nil {
			ds = append(ds, j.fits(m, to)...)
		}
	}
	if !known || ds.HasErrors() {
		return res, ds
	}
	ty := to.Type.Clone()
	for _, l := range ty.Linears {
		l.Sides, l.SideBits = nil, 0
		l.StoredBits = prune.DenseBits
		l.SidedBy = ""
	}
	out.Type = ty
	return res, ds
}

// plain refuses what a merge would lose.
func plain(arg string, m *passes.Model) (ds diag.List) {
	var packed, masked []*model.Linear
	for _, l := range m.Type.Linears {
		switch {
		case l.Format.Quantized():
			packed = append(packed, l)
		case l.Masked():
			masked = append(masked, l)
		}
	}
	if len(packed) > 0 {
		ds.Errorf(arg, "Merging codes", "%s are %s in %s since %s. A merge would decode them, keep their rounding errors and store floating point numbers, so that the saving is lost and the loss kept. Merge first, then quantise.",
			blockwise.Paths(packed), packed[0].Format, m.From, since(packed[0].QuantizedBy, m))
		ds.Since(packed[0].QuantizedBy)
	}
	if len(masked) > 0 {
		ds.Errorf(arg, "Merging would fill zeros", "%s are pruned to %s in %s since %s. A merge is zero only where all of its models are, so that the pattern would be lost. Merge first, then prune.",
			blockwise.Paths(masked), masked[0].Mask, m.From, since(masked[0].MaskedBy, m))
		ds.Since(masked[0].MaskedBy)
	}
	if m.Type.Config.Adapters.Any() {
		ds.Errorf(arg, "Merging adapters", "%s has adapters behind its sublayers since %s. They are products of matrices that belong to one training, and a mean of two models' factors is no mean of what they do. Merge first, then train adapters.", m.From, m.Type.AdaptedBy)
		ds.Since(m.Type.AdaptedBy)
	}
	return ds
}

// since is the block that gave a layer of m its state, m itself where it came so.
func since(node string, m *passes.Model) string {
	if node == "" {
		return m.From
	}
	return node
}

// fits reports how m differs from to, with which it is to be merged.
func (j job) fits(m, to *passes.Model) (ds diag.List) {
	a, b := m.Type.Config, to.Type.Config
	if d := j.difference(m.Type, to.Type); d != "" {
		ds.Errorf("models", "Models of different shapes", "%s cannot be merged with %s: %s. All models of a merge have the same tensors; expected fine-tunes of one model.", m.From, to.From, d)
		return ds
	}
	if l, o := m.Type.ScaledApart(to.Type); l != nil {
		by := slices.Concat(l.ScaledBy, o.ScaledBy)
		ds.Errorf("models", "Models are scaled differently", "Channels of %s were rewritten by %s, so that its weights mean something else in %s than in %s. Merge first, then transform.", l.Path, strings.Join(slices.Compact(by), ", "), m.From, to.From)
		ds.Since(by[len(by)-1])
		return ds
	}
	ga, gb := blockwise.BlockGeometry(a, 0), blockwise.BlockGeometry(b, 0)
	switch {
	case ga.Norm != gb.Norm:
		ds.Errorf("models", "Models of different norms", "%s has %s, %s has %s, so that equal weights compute something else. Expected fine-tunes of one model.", m.From, arch.NormName(ga.Norm), to.From, arch.NormName(gb.Norm))
	case ga.Heads != gb.Heads || ga.KVHeads != gb.KVHeads || ga.HeadDim != gb.HeadDim:
		ds.Errorf("models", "Models of different shapes", "%s has %d heads of %d (%d of keys), %s has %d of %d (%d of keys): rows of equal place belong to different heads. Expected fine-tunes of one model.",
			m.From, ga.Heads, ga.HeadDim, ga.KVHeads, to.From, gb.Heads, gb.HeadDim, gb.KVHeads)
	case ga.RopeTheta != gb.RopeTheta || ga.RMSEps != gb.RMSEps || (ga.RopeScaling == nil) != (gb.RopeScaling == nil) || ga.RopeScaling != nil && fmt.Sprint(*ga.RopeScaling) != fmt.Sprint(*gb.RopeScaling):
		ds.Warnf("models", "Models compute differently", "%s has rope_theta %g and rms_norm_eps %g, %s has %g and %g, or their rope_scaling differs. The result has the configuration of %s, for which the weights of %s were not made.",
			m.From, ga.RopeTheta, ga.RMSEps, to.From, gb.RopeTheta, gb.RMSEps, to.From, m.From)
	}
	if m.Type.Tokenizer != "" && to.Type.Tokenizer != "" && m.Type.Tokenizer != to.Type.Tokenizer {
		ds.Warnf("models", "Models of different tokenizers", "%s and %s have different tokenizers, so that rows of their embeddings may stand for different words. The result has the tokenizer of %s; embeddings = \"base\" keeps its embedding and head as well.",
			m.From, to.From, to.From)
	}
	return ds
}

// difference names the first tensor in which two models differ, "" for none.
func (j job) difference(a, b *model.Type) string {
	if a.Config.Layers != b.Config.Layers {
		return fmt.Sprintf("it has %d decoder blocks, expected %d", a.Config.Layers, b.Config.Layers)
	}
	for i, l := range a.Linears {
		if i < len(b.Linears) && l.Path == b.Linears[i].Path && (l.Out != b.Linears[i].Out || l.In != b.Linears[i].In) {
			return fmt.Sprintf("%s is [%d, %d], expected [%d, %d]", l.Path, l.Out, l.In, b.Linears[i].Out, b.Linears[i].In)
		}
	}
	for _, list := range []func(*arch.Config) []arch.TensorSpec{(*arch.Config).OuterTensors, (*arch.Config).BlockTensors} {
		have := map[string][]int{}
		for _, t := range list(a.Config) {
			have[t.Name] = t.Shape
		}
		for _, t := range list(b.Config) {
			shape, ok := have[t.Name]
			delete(have, t.Name)
			switch {
			case j.keeps(t.Name, b.Config):
			case !ok:
				return fmt.Sprintf("it has no %s, expected %v", t.Name, t.Shape)
			case !slices.Equal(shape, t.Shape):
				why := ""
				if isTable(t.Name, b.Config) {
					why = `; embeddings = "base" keeps the expected one`
				}
				return fmt.Sprintf("its %s is %v, expected %v%s", t.Name, shape, t.Shape, why)
			}
		}
		for _, t := range list(a.Config) {
			if _, extra := have[t.Name]; extra && !j.keeps(t.Name, a.Config) {
				return fmt.Sprintf("it has %s %v, expected none", t.Name, t.Shape)
			}
		}
	}
	return ""
}

// keeps reports whether a tensor is not merged but kept.
func (j job) keeps(name string, c *arch.Config) bool {
	return j.Embeddings == "base" && isTable(name, c)
}

// isTable reports whether a tensor's rows stand for words.
func isTable(name string, c *arch.Config) bool {
	return name == c.EmbedName() || strings.HasPrefix(name, "lm_head.")
}
