package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/model"
	"github.com/compressc/compressc/internal/origin"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/lang/lock"
	"github.com/compressc/compressc/passes"
	"github.com/compressc/compressc/passes/adapter"
)

// adapterSource is an adapter that lies on this machine.
type adapterSource struct {
	cp     *checkpoint.Adapter
	locked *lock.Adapter // nil without an entry
	// leaves are the stored factors of each block, once the adapter is lowered.
	leaves []action.Ref
}

// Adapter types an adapter block against its model, from headers alone.
func (r *Resolver) Adapter(addr string, a *lang.AdapterArgs) (*passes.Adapter, diag.List) {
	out := &passes.Adapter{From: addr, Base: a.Model}
	var ds diag.List
	entry := r.Lock.Adapter(a.Source, a.Revision)
	if entry == nil && r.Strict {
		ds.Errorf("source", "Source is not locked", "%s has no entry for %s. compressc lock writes it; commit the file.", lock.Name, sourceText(a.Source, a.Revision))
		return out, ds
	}
	unusedToken(a.Source, a.Token, &ds)
	at := located{Source: origin.Source{Kind: origin.Adapter, Address: a.Source, Revision: a.Revision}, addr: addr, token: a.Token, locked: entry != nil}
	if entry != nil {
		at.Commit = entry.Commit
	}
	path, found := r.locate(at, &ds)
	if !found {
		r.missing(out, a.Source)
	}
	if ds.HasErrors() || !found && entry == nil {
		return out, ds
	}
	var layers []lock.AdapterLayer
	alpha := 0.0
	var cp *checkpoint.Adapter
	if !found {
		layers, alpha = entry.Layers, entry.Alpha
	} else {
		var err error
		if cp, err = checkpoint.OpenAdapter(path); err != nil {
			r.refuse(a.Source)
			ds.Errorf("source", "Adapter cannot be read", "%s", sentence(err, path))
			return out, ds
		}
		layers, alpha = lockLayers(cp), commonAlpha(cp)
		if entry != nil && (entry.Alpha != alpha || !slices.Equal(entry.Layers, layers)) {
			r.refuse(a.Source)
			ds.Errorf("source", "Source has changed", "%s has other layers, ranks or another alpha than %s says. If that is meant, compressc lock -upgrade %s takes it over.", a.Source, lock.Name, addr)
			return out, ds
		}
	}
	out.Alpha, out.Ranks = alpha, map[string]int{}
	for _, l := range layers {
		out.Ranks[l.Path] = l.Rank
	}
	out.Rank = adapter.UsualRank(out)
	if a.Model.Type != nil {
		ds = append(ds, fitAdapter(a, layers)...)
	}
	if cp != nil && !ds.HasErrors() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.adapters == nil {
			r.adapters = map[*passes.Adapter]*adapterSource{}
		}
		r.adapters[out] = &adapterSource{cp: cp, locked: entry}
	}
	return out, ds
}

// fitAdapter reports the first layer that the model lacks or has in another shape.
func fitAdapter(a *lang.AdapterArgs, layers []lock.AdapterLayer) (ds diag.List) {
	have := map[string]*model.Linear{}
	var paths []string
	for _, l := range a.Model.Type.Linears {
		have[l.Path] = l
		paths = append(paths, l.Path)
	}
	for _, l := range layers {
		switch m := have[l.Path]; {
		case m == nil:
			ds.Errorf("model", "Adapter does not fit", "%s updates %s, and %s has no such linear layer.%s An adapter belongs to the model it was trained on, or to one of the same shape.",
				a.Source, l.Path, a.Model.From, didyoumean.Hint(l.Path, paths))
		case m.Out != l.Out || m.In != l.In:
			ds.Errorf("model", "Adapter does not fit", "%s updates %s of [%d, %d], and in %s it is [%d, %d]. An adapter belongs to the model it was trained on, or to one of the same shape.",
				a.Source, l.Path, l.Out, l.In, a.Model.From, m.Out, m.In)
		default:
			continue
		}
		ds.Since(a.Model.From)
		return ds
	}
	return ds
}

// lockLayers are an adapter's layers as the lock file has them.
func lockLayers(cp *checkpoint.Adapter) []lock.AdapterLayer {
	var list []lock.AdapterLayer
	for _, l := range cp.Layers {
		list = append(list, lock.AdapterLayer{Path: l.Path, Rank: l.Rank, Out: l.B.Meta.Shape[0], In: l.A.Meta.Shape[1], Scale: l.Scale})
	}
	return list
}

// commonAlpha is the numerator of the scale that all layers share, 0 where their
// scales are not of one form: then they are multiplied into the factors.
func commonAlpha(cp *checkpoint.Adapter) float64 {
	for _, l := range cp.Layers {
		if l.Alpha == 0 || l.Alpha != cp.Layers[0].Alpha {
			return 0
		}
	}
	return cp.Layers[0].Alpha
}

// LowerAdapter hashes an adapter's factors and adds their decoding to the graph.
func (r *Resolver) LowerAdapter(g *action.Graph, store *cache.Store, a *passes.Adapter) error {
	s := r.adapters[a]
	if s == nil {
		return r.notHere(a, a.From, "the adapter's files")
	}
	cfg := a.Base.Type.Config
	var tensors []checkpoint.Tensor
	for _, l := range s.cp.Layers {
		tensors = append(tensors, l.A, l.B)
	}
	entries, err := r.hash(store, tensors)
	if err != nil {
		return err
	}
	byPath := map[string]checkpoint.AdapterLayer{}
	for _, l := range s.cp.Layers {
		byPath[l.Path] = l
	}
	trees, numbers, layers := make([]artifact.Tree, cfg.Layers), make([]int64, cfg.Layers), make([][]adapter.Layer, cfg.Layers)
	for _, lin := range a.Base.Type.Linears {
		l, ok := byPath[lin.Path]
		if !ok {
			continue
		}
		for which, t := range map[string]checkpoint.Tensor{"A": l.A, "B": l.B} {
			e := entries[t.Name]
			if e.Name = adapter.Factor(lin.Name, which); which == "B" && l.Rotary {
				e.Meta.RotaryHeadDim = cfg.At(lin.Block).HeadDim
			}
			trees[lin.Block].Entries = append(trees[lin.Block].Entries, e)
		}
		scale := 1.0
		if a.Alpha == 0 {
			scale = l.Scale
		}
		layers[lin.Block] = append(layers[lin.Block], adapter.Layer{Name: lin.Name, Scale: scale})
		numbers[lin.Block] += int64(l.Rank) * int64(lin.Out+lin.In)
	}
	a.Blocks, s.leaves = make([]action.Ref, cfg.Layers), make([]action.Ref, cfg.Layers)
	for b := range trees {
		t := &trees[b]
		slices.SortFunc(t.Entries, func(x, y artifact.Entry) int { return strings.Compare(x.Name, y.Name) })
		if err := putTree(store, t); err != nil {
			return err
		}
		s.leaves[b] = g.AddLeaf(a.From, t)
		a.Blocks[b] = adapter.Lower(g, a.From, b, s.leaves[b], numbers[b], layers[b])
	}
	if got := leavesDigest(s.leaves); s.locked != nil && string(got) != s.locked.Digest {
		r.refuse(s.locked.Source)
		return fmt.Errorf("%s: the factors of %s are not those that were locked: their digest is %s, and was %s (%s). If that is meant, compressc lock -upgrade %s takes them over", a.From, s.cp.Path, got, s.locked.Digest, lock.Name, a.From)
	}
	return nil
}

func leavesDigest(refs []action.Ref) artifact.Digest {
	return refsDigest(refs, func(r action.Ref) (artifact.Digest, bool) { return r.Action.Leaf[r.Output].Digest(), true })
}

// lockAdapter makes the entry of an adapter that lies on this machine. Its model
// is lowered too, unless its own entry is to be kept.
func (r *Resolver) lockAdapter(g *action.Graph, store *cache.Store, a *passes.Adapter, source, revision string) (*lock.Adapter, error) {
	s := r.adapters[a]
	if s == nil || a.Base.Type == nil {
		return nil, fmt.Errorf("%s: %s or its model is not on this machine, so that it cannot be locked here; where they are, compressc lock writes the entry", a.From, sourceText(source, revision))
	}
	if err := r.LowerAdapter(g, store, a); err != nil {
		return nil, err
	}
	entry := &lock.Adapter{Source: source, Revision: revision, Digest: string(leavesDigest(s.leaves)), Alpha: a.Alpha, Layers: lockLayers(s.cp)}
	entry.Commit = r.commits[[2]string{source, revision}]
	return entry, nil
}
