package retrain

import (
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/train"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/blockwise"
	"github.com/compressc/compressc/passes/prune"
	"github.com/compressc/compressc/passes/training"
)

// merging is the argument that says what becomes of an update.
type merging struct {
	Merge string `arg:"merge" optional:"true" enum:"masked|dense|keep" doc:"masked: trained and added where the mask keeps; dense: added to the weights; keep: a side path beside them. By default masked for pruned models, keep for quantised ones, dense for others"`
}

// update is what methods share that train an update of each linear layer while
// its weight stands still: they differ in the update's form.
type update struct {
	model  *passes.Model
	data   *passes.Data
	merge  string
	run    training.Run
	target blockwise.Target
	// rate is the method's own learning rate.
	rate  float64
	init  train.Init
	norms bool
	// of is the form of a layer's update, inside its mask or not.
	of func(l *model.Linear, masked bool) training.Linear
	// side is the rank of the update as a side path, at most; nil: it is none.
	side func(l *model.Linear) int
	// misfit says what is wrong with a layer of this shape; nil: nothing.
	misfit func(l *model.Linear) *misfit
	// prepare sets what else the job needs; nil: nothing.
	prepare func(*training.Job)
	// adapter is the update apart, where updates are low-rank; nil: they are
	// not. Its base, origin and blocks are filled in.
	adapter func() *passes.Adapter
}

// misfit is a mistake about layers, whose names are put before the detail.
type misfit struct{ arg, summary, detail string }

// how says whether a layer's update stays inside its mask, and whether it stays
// a side path.
func (u *update) how(l *model.Linear) (masked, side bool) {
	merge := u.merge
	if merge == "" {
		merge = u.defaultMerge()
	}
	return merge == "masked" && l.Masked(), merge == "keep"
}

// defaultMerge looks at all layers: an adapter is either kept or merged.
func (u *update) defaultMerge() string {
	merge := "dense"
	for _, l := range u.model.Type.Linears {
		switch {
		case l.Format.Quantized() && u.side != nil:
			return "keep"
		case l.Masked():
			merge = "masked"
		}
	}
	return merge
}

func (u update) typeOf(node string) (passes.Result, diag.List) {
	out := &passes.Model{From: node}
	ds := u.run.Check(u.data.Type.SequenceLength)
	if u.model.Type == nil {
		return passes.Result{Model: out}, ds
	}
	ds = append(ds, u.target.Check(u.model.Type)...)
	ty := u.model.Type.Clone()
	var filled, packed, unfit, unmasked, unsided []*model.Linear
	apart := u.adapter != nil
	for _, l := range ty.Linears {
		if !u.target.Selects(l) {
			continue
		}
		masked, side := u.how(l)
		apart = apart && !masked
		switch {
		case u.misfit(l) != nil:
			unfit = append(unfit, l)
			continue
		case side && u.side == nil:
			unsided = append(unsided, l)
			continue
		case u.merge == "masked" && !l.Masked():
			unmasked = append(unmasked, l)
		case !masked && !side && l.Masked():
			filled = append(filled, l)
		case !side && l.Format.Quantized():
			packed = append(packed, l)
		}
		if side {
			l.Sides = append(l.Sides, u.side(l))
			l.SideBits, l.SidedBy = 32, node
		} else {
			l.StoredBits = prune.DenseBits
		}
	}
	if len(filled) > 0 {
		ds.Errorf("merge", "Merging would fill zeros", "%s are pruned to %s by %s; merge = \"dense\" adds a full update and fills the zeros. Use merge = \"masked\", which trains and merges only where the mask keeps%s.",
			blockwise.Paths(filled), filled[0].Mask, filled[0].MaskedBy, map[bool]string{true: ", or \"keep\" for a side path"}[u.side != nil])
		ds.Since(filled[0].MaskedBy)
	}
	if len(packed) > 0 {
		ds.Errorf("merge", "Merging into codes", "%s are %s; an update cannot be merged without quantising again. %setrain before quantising.",
			blockwise.Paths(packed), packed[0].Format, map[bool]string{true: "Use merge = \"keep\", or r", false: "R"}[u.side != nil])
		ds.Since(packed[0].QuantizedBy)
	}
	if len(unsided) > 0 {
		ds.Errorf("merge", "No side path", "The update of %s is no product of two matrices, so it cannot stay beside the weights. Leave merge out.", blockwise.Paths(unsided))
	}
	if len(unfit) > 0 {
		m := u.misfit(unfit[0])
		ds.Errorf(m.arg, m.summary, "%s %s", blockwise.Paths(unfit), m.detail)
	}
	if len(unmasked) > 0 && len(unmasked) == len(ty.Linears) {
		ds.Errorf("merge", "No mask to keep", "%s is not pruned, so there is no mask; leave merge out, or prune first.", u.model.From)
		ds.Since(u.model.From)
	}
	out.Type = ty
	res := passes.Result{Model: out}
	if apart {
		res.Adapter = u.adapter()
		res.Adapter.Base, res.Adapter.From, res.Adapter.Ranks = u.model, node, map[string]int{}
		for _, l := range ty.Linears {
			if u.target.Selects(l) {
				res.Adapter.Ranks[l.Path] = u.side(l)
			}
		}
	}
	return res, ds
}

func (u update) lower(c *passes.Call, g *action.Graph, r passes.Result) passes.Result {
	j := training.Job{Node: c.Node, Model: u.model, Data: u.data, Spec: training.NewSpec(u.model.Type.Config)}
	u.run.Apply(&j, u.rate, c.Seed)
	j.Spec.Init, j.Spec.Norms = u.init, u.norms
	side := false
	for _, l := range u.model.Type.Linears {
		if !u.target.Selects(l) {
			continue
		}
		masked, s := u.how(l)
		side = side || s
		j.Spec.Linears[l.Block] = append(j.Spec.Linears[l.Block], u.of(l, masked))
	}
	if u.prepare != nil {
		u.prepare(&j)
	}
	next := *u.model
	next.Type, next.From = r.Model.Type, c.Node
	state, logs := j.Chunks(g)
	res := passes.Result{Model: &next}
	if side {
		taken := j.Adapters(g, state, true, r.Adapter != nil && r.Adapter.Alpha == 0)
		next.Blocks, res.Layers, res.Logs = taken.Blocks, taken.Layers, logs
	} else {
		res.Layers, res.Logs = j.Merge(g, &next)
	}
	if ad := r.Adapter; ad != nil {
		filled := *ad
		filled.Blocks = j.Adapters(g, state, side, ad.Alpha == 0).Adapters
		res.Adapter = &filled
	}
	return res
}
