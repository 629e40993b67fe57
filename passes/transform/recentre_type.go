package transform

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/prune"
)

// kind is the norm that a model ends up with.
func (r recentring) kind() string {
	if r.Drop {
		return arch.NormCompressed
	}
	return arch.NormRMS
}

// typed is the type rule. A model that already has the norm stays as it is.
func (r recentring) typed(node string, m *passes.Model) (passes.Result, diag.List) {
	res := passes.Result{Model: &passes.Model{From: node}}
	if m.Type == nil {
		return res, nil
	}
	var ds diag.List
	ty := m.Type.Clone()
	res.Model.Type = ty
	switch old := ty.Config; {
	case old.Norm == r.kind():
		ds.Warnf("model", "Nothing to transform", "The norms of %s are %s already, so the block changes nothing.", m.From, arch.NormName(old.Norm))
		return res, ds
	case old.Norm == arch.NormRMS:
		ds.Errorf("model", "The stream may have a mean", "The norms of %s are RMSNorm: the mean of the residual stream is part of what the model computes, and its last entry does not follow from the others. CRMSNorm is made of LayerNorm, which takes the mean out; give the block such a model.", m.From)
		return res, ds
	case old.Norm == arch.NormCompressed:
		ds.Errorf("model", "The stream has lost an entry", "The norms of %s are CRMSNorm, and its residual stream has no last entry any more. Give the block the model from before that transformation.", m.From)
		ds.Since(m.From)
		return res, ds
	case r.Drop && old.Hidden < 2:
		ds.Errorf("model", "Nothing to leave out", "The residual stream of %s has one entry.", m.From)
		return res, ds
	}
	ds = append(ds, r.refusals(ty)...)
	ty.Config = r.config(ty.Config)
	for b := range ty.Config.Layers {
		specs := ty.Config.At(b).Linears()
		for i, l := range ty.Block(b) {
			s := specs[i]
			if l.Out, l.In, l.HasBias = s.Out, s.In, s.Bias; r.rewrites(s) {
				l.StoredBits = prune.DenseBits
				l.ScaledBy = append(append([]string(nil), l.ScaledBy...), node)
			}
		}
	}
	ty.OtherBytes = (ty.Config.Parameters() - ty.Config.LinearParameters()) * prune.DenseBits / 8
	return res, ds
}

// refusals reports layers that cannot be rewritten.
func (r recentring) refusals(ty *model.Type) (ds diag.List) {
	var packed, masked []*model.Linear
	var first arch.LinearSpec // of masked
	for b := range ty.Config.Layers {
		specs := ty.Config.At(b).Linears()
		for i, l := range ty.Block(b) {
			switch s := specs[i]; {
			case !r.rewrites(s):
			case l.Format.Quantized():
				packed = append(packed, l)
			case l.Masked() && (r.Drop || s.WritesStream()):
				if masked == nil {
					first = s
				}
				masked = append(masked, l)
			}
		}
	}
	if ty.Config.Adapters.Any() {
		ds.Errorf("model", "Adapters read the mean", "The adapters that the model has behind its sublayers since %s read what is added to the stream, mean included, and what they make of it cannot be told without. Transform first, then train adapters.", ty.AdaptedBy)
		ds.Since(ty.AdaptedBy)
	}
	if len(packed) > 0 {
		ds.Errorf("model", "Rewriting codes", "%s: the weights are %s since %s, from which no mean and no gain can be taken without rounding again. Transform before quantising.",
			blockwise.Paths(packed), packed[0].Format, packed[0].QuantizedBy)
		ds.Since(packed[0].QuantizedBy)
	}
	if len(masked) > 0 {
		what := "taking the mean out of its columns"
		if !first.WritesStream() {
			what = "reading one entry of the stream by the others"
		}
		ds.Errorf("model", "Zeros would be filled", "%s are pruned to %s since %s, and %s fills the zeros. Transform first, then prune.",
			blockwise.Paths(masked), masked[0].Mask, masked[0].MaskedBy, what)
		ds.Since(masked[0].MaskedBy)
	}
	return ds
}

// lowered adds the rewriting, and the comparison where one is wanted.
func (r recentring) lowered(node string, g *action.Graph, m *passes.Model, res passes.Result, v Verified) passes.Result {
	next := *m
	next.Type, next.From = res.Model.Type, node
	out := passes.Result{Model: &next}
	if m.Type.Config.Norm == r.kind() {
		return out
	}
	out.Layers = r.lower(node, g, m, &next)
	out.Layers = append(out.Layers, v.lower(node, g, m, &next)...)
	return out
}
