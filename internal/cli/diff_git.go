package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/git"
	"github.com/compressc/compressc/lang/modules"
	"github.com/compressc/compressc/planner"
)

// revisions takes two revisions of a pipeline, or one and the working tree.
func (a *app) revisions(args []string, in *inputs, store *cache.Store, asJSON bool) (from, to *snapshot, err error) {
	path := "."
	revs := args
	if len(args) == 3 {
		path, revs = args[2], args[:2]
	}
	// Of two arguments the second may be the pipeline.
	tree := false
	if len(args) == 2 {
		if _, err := os.Stat(args[1]); err == nil {
			path, revs, tree = args[1], args[:1], true
		}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, nil, err
	}
	dir := abs
	for { // a path of the other revision may not be here any more
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			break
		}
		dir = filepath.Dir(dir)
	}
	out, err := git.Run(dir, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, nil, fmt.Errorf("%w; what is compared are two files, two runs, or revisions of a pipeline under git", err)
	}
	// Git resolves links, so that both ends must be.
	top := filepath.FromSlash(strings.TrimSpace(string(out)))
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		abs = filepath.Join(real, strings.TrimPrefix(abs, dir))
	}
	rel, err := filepath.Rel(top, abs)
	if err != nil || !filepath.IsLocal(rel) {
		return nil, nil, fmt.Errorf("%s is not in the repository at %s", path, top)
	}
	var sides []*snapshot
	for _, rev := range revs {
		id := git.Commit(top, rev)
		if id == "" {
			return nil, nil, fmt.Errorf("there is no run, no file and no revision %q", rev)
		}
		s, err := a.revision(top, rel, rev, id, in, store, asJSON)
		if err != nil {
			return nil, nil, err
		}
		sides = append(sides, s)
	}
	if tree {
		s, err := a.snapshotOf(path, path, in, store, asJSON, nil)
		if err != nil {
			return nil, nil, err
		}
		s.name = path
		sides = append(sides, s)
	}
	return sides[0], sides[1], nil
}

// revision takes a revision of a pipeline: its files are put into a folder of
// their own, and sources that it has not are looked for in the working tree.
func (a *app) revision(top, rel, rev, id string, in *inputs, store *cache.Store, asJSON bool) (*snapshot, error) {
	dir, err := os.MkdirTemp("", "compressc-diff-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := git.Checkout(top, id, dir); err != nil {
		return nil, fmt.Errorf("revision %s: %w", rev, err)
	}
	path := filepath.Join(dir, rel)
	here := filepath.Join(top, rel)
	if strings.HasSuffix(rel, ".hcl") || strings.HasSuffix(rel, ".json") {
		here = filepath.Dir(here)
	}
	name := fmt.Sprintf("%s (%.10s)", rev, id)
	// An older revision has pinned other commits of its modules, which nothing but
	// this looks at.
	in.fetch = modules.Pinned
	defer func() { in.fetch = modules.Never }()
	s, err := a.snapshotOf(path, name, in, store, asJSON, func(l *loaded) {
		l.resolver.Fallback = here
	}, rename{dir + string(filepath.Separator), rev + ":"})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// rename replaces the beginning of file names in messages.
type rename struct{ from, to string }

// snapshotOf plans a pipeline. Where it cannot be planned for lack of a source,
// blocks are compared all the same.
func (a *app) snapshotOf(path, name string, in *inputs, store *cache.Store, asJSON bool, prepare func(*loaded), names ...rename) (*snapshot, error) {
	in.prepare = prepare
	l, err := a.load(path, in, true)
	in.prepare = nil
	if err != nil {
		return nil, err
	}
	if l.diags.HasErrors() {
		files := map[string]*hcl.File{}
		for n, f := range l.files() {
			files[renamed(n, names)] = f
		}
		for _, d := range l.diags {
			if d.Subject != nil {
				d.Subject.Filename = renamed(d.Subject.Filename, names)
			}
			for _, r := range names {
				d.Detail = strings.ReplaceAll(d.Detail, r.from, r.to)
			}
		}
		return nil, a.failed(l.diags, files, asJSON)
	}
	plan, err := planner.Build(l.expansion, l.resolver, store)
	if err != nil {
		s := planSnapshot(name, expansionReport(l.expansion))
		s.cost = nil
		s.notes = append(s.notes, fmt.Sprintf("%s: what it costs is not known: %v", name, err))
		return s, nil
	}
	s := planSnapshot(name, newPlanReport(plan, store, name))
	if d := l.expansion.Deferred(); len(d) > 0 {
		s.notes = append(s.notes, fmt.Sprintf("%s: %s could not be checked in full", name, d[0].Addr()))
	}
	return s, nil
}

func renamed(name string, names []rename) string {
	for _, r := range names {
		if rest, ok := strings.CutPrefix(name, r.from); ok {
			return r.to + filepath.ToSlash(rest)
		}
	}
	return name
}
