package planner

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/checkpoint"
	"github.com/compressc/compressc/internal/origin"
	"github.com/compressc/compressc/lang/lock"
	"github.com/compressc/compressc/passes"
)

// sourceText spells a source for messages.
func sourceText(source, revision string) string {
	if revision == "" {
		return source
	}
	return source + " at " + revision
}

// skeleton is a model as its entry describes it.
func skeleton(e *lock.Model) (*checkpoint.Checkpoint, error) {
	list := make([]checkpoint.Tensor, len(e.Tensors))
	for i, t := range e.Tensors {
		list[i] = checkpoint.Tensor{Name: t.Name, Meta: t.Meta, Length: t.Bytes}
	}
	return checkpoint.Skeleton(e.Source, e.Config, list, e.Quantized)
}

// changed says in what a model's headers differ from its entry, "" if in
// nothing: weights are looked at when they are hashed.
func changed(e *lock.Model, o *openedModel) string {
	was, err := skeleton(e)
	if err != nil {
		return err.Error()
	}
	now := o.cp
	is, err := now.Config.JSON()
	if err != nil {
		return err.Error()
	}
	had, err := was.Config.JSON()
	switch {
	case err != nil:
		return err.Error()
	case !sameJSON(is, had):
		return "its configuration differs"
	case o.tok != e.Tokenizer:
		return "its tokenizer differs"
	}
	for _, t := range now.Tensors {
		old, ok := was.Lookup(t.Name)
		if !ok {
			return fmt.Sprintf("tensor %s is new", t.Name)
		}
		if old.Meta.String() != t.Meta.String() || old.Length != t.Length {
			return fmt.Sprintf("tensor %s is %v, and was %v", t.Name, t.Meta, old.Meta)
		}
	}
	if len(now.Tensors) != len(was.Tensors) {
		return fmt.Sprintf("it has %d tensors, and had %d", len(now.Tensors), len(was.Tensors))
	}
	return ""
}

// sameJSON reports whether two documents say the same: a lock file spells numbers
// in its own way, 0 where a config.json has 0.0.
func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

// Locking is what Lock found.
type Locking struct {
	File *lock.File
	// Added, Changed and Removed sources, by the pipeline's spelling.
	Added, Changed, Removed []string
}

// Lock makes the lock file of an expansion: it keeps old's entries, adds those
// that are missing, and, unless others is set, drops those that nothing in this
// pipeline names: others says that the folder holds more pipelines. Sources of which no
// entry is kept must be on this machine. The resolver must be that of the
// expansion; which of the entries it knew are taken over anew, its Lock says.
func Lock(e *Expansion, r *Resolver, store *cache.Store, old *lock.File, others bool) (*Locking, error) {
	l := &Locking{File: &lock.File{}}
	g := action.NewGraph()
	for _, n := range e.Nodes {
		switch {
		case n.ModelArgs != nil && n.Result.Model != nil:
			a := n.ModelArgs
			if l.File.Model(a.Source, a.Revision) != nil {
				continue
			}
			if kept := r.Lock.Model(a.Source, a.Revision); kept != nil {
				// What may just have been fetched must be what the entry says.
				if origin.Remote(a.Source) && r.models[n.Result.Model] != nil {
					if err := r.LowerModel(g, store, n.Result.Model); err != nil {
						return nil, err
					}
				}
				l.File.Models = append(l.File.Models, *kept)
				continue
			}
			entry, err := r.lockModel(g, store, n.Result.Model, a.Source, a.Revision)
			if err != nil {
				return nil, err
			}
			l.note(sourceText(a.Source, a.Revision), old.Model(a.Source, a.Revision) != nil)
			l.File.Models = append(l.File.Models, *entry)
		case n.DataArgs != nil && n.Data != nil:
			a := n.DataArgs
			if l.File.Text(a.Source) != nil {
				continue
			}
			if kept := r.Lock.Text(a.Source); kept != nil {
				if s, ok := r.texts[n.Data]; ok && origin.Remote(a.Source) {
					if _, err := r.textDigest(store, s, n.Data.From); err != nil {
						return nil, err
					}
				}
				l.File.Data = append(l.File.Data, *kept)
				continue
			}
			s, ok := r.texts[n.Data]
			if !ok {
				return nil, fmt.Errorf("%s: the text is not on this machine", n.Addr())
			}
			sum, err := r.textDigest(store, s, n.Data.From)
			if err != nil {
				return nil, err
			}
			l.note(a.Source, old.Text(a.Source) != nil)
			l.File.Data = append(l.File.Data, lock.Data{Source: a.Source, Digest: string(sum), Bytes: s.size})
		}
	}
	// Adapters come last: those of models that have just been lowered.
	for _, n := range e.Nodes {
		if n.AdapterArgs == nil {
			continue
		}
		source, revision := n.AdapterArgs.Source, n.AdapterArgs.Revision
		if l.File.Adapter(source, revision) != nil {
			continue
		}
		if kept := r.Lock.Adapter(source, revision); kept != nil {
			if a := n.Result.Adapter; origin.Remote(source) && r.adapters[a] != nil && a.Base.Type != nil {
				if err := r.LowerAdapter(g, store, a); err != nil {
					return nil, err
				}
			}
			l.File.Adapters = append(l.File.Adapters, *kept)
			continue
		}
		entry, err := r.lockAdapter(g, store, n.Result.Adapter, source, revision)
		if err != nil {
			return nil, err
		}
		l.note(sourceText(source, revision), old.Adapter(source, revision) != nil)
		l.File.Adapters = append(l.File.Adapters, *entry)
	}
	if old != nil {
		f := l.File
		f.Adapters = carry(l, f.Adapters, old.Adapters, others, func(a lock.Adapter) (bool, string) {
			return f.Adapter(a.Source, a.Revision) != nil, sourceText(a.Source, a.Revision)
		})
		f.Models = carry(l, f.Models, old.Models, others, func(m lock.Model) (bool, string) {
			return f.Model(m.Source, m.Revision) != nil, sourceText(m.Source, m.Revision)
		})
		f.Data = carry(l, f.Data, old.Data, others, func(d lock.Data) (bool, string) { return f.Text(d.Source) != nil, d.Source })
	}
	return l, nil
}

// carry returns entries and, where others says so, those of old that are not
// among them; otherwise these are noted as removed. of says whether an entry is
// among entries, and how it is called.
func carry[E any](l *Locking, entries, old []E, others bool, of func(E) (among bool, name string)) []E {
	for _, e := range old {
		switch among, name := of(e); {
		case among:
		case others:
			entries = append(entries, e)
		default:
			l.Removed = append(l.Removed, name)
		}
	}
	return entries
}

func (l *Locking) note(source string, was bool) {
	if was {
		l.Changed = append(l.Changed, source)
	} else {
		l.Added = append(l.Added, source)
	}
}

func (r *Resolver) lockModel(g *action.Graph, store *cache.Store, m *passes.Model, source, revision string) (*lock.Model, error) {
	cp := r.models[m]
	if cp == nil {
		return nil, fmt.Errorf("%s: %s is not on this machine, so that it cannot be locked here; where it is, compressc lock writes the entry", m.From, sourceText(source, revision))
	}
	if err := r.LowerModel(g, store, m); err != nil {
		return nil, err
	}
	entry := &lock.Model{Source: source, Revision: revision, Digest: string(SourceDigest(m)), Tokenizer: m.Type.Tokenizer, Config: cp.ConfigJSON, Quantized: cp.Quantized}
	entry.Commit = r.commits[[2]string{source, revision}]
	for _, t := range cp.Tensors {
		entry.Tensors = append(entry.Tensors, lock.Tensor{Name: t.Name, Meta: t.Meta, Bytes: t.Length})
	}
	return entry, nil
}

// Stale is a kernel whose results are made again because it changed.
type Stale struct {
	Kernel string
	// Was is the locked implementation, Is the program's.
	Was, Is int
	// Blocks of the pipeline that have actions of it.
	Blocks  []string
	Actions int
}

// StaleKernels compares the implementations that were locked with those of the
// plan's actions.
func (p *Plan) StaleKernels(f *lock.File) []Stale {
	if f == nil {
		return nil
	}
	at := map[string]int{}
	var out []Stale
	for _, s := range p.Steps {
		for _, a := range s.Actions {
			k := a.Kernel
			was, known := f.Kernels[k.Name]
			if !known || was == k.Impl {
				continue
			}
			i, seen := at[k.Name]
			if !seen {
				i = len(out)
				at[k.Name] = i
				out = append(out, Stale{Kernel: k.Name, Was: was, Is: k.Impl})
			}
			out[i].Actions++
			if b := s.Node.Block.Addr(); !slices.Contains(out[i].Blocks, b) {
				out[i].Blocks = append(out[i].Blocks, b)
			}
		}
	}
	slices.SortFunc(out, func(a, b Stale) int { return strings.Compare(a.Kernel, b.Kernel) })
	return out
}

// Kernels are the implementations that the plan's actions have.
func (p *Plan) Kernels() map[string]int {
	out := map[string]int{}
	for _, a := range p.Graph.Actions {
		if a.Computes() {
			out[a.Kernel.Name] = a.Kernel.Impl
		}
	}
	return out
}
