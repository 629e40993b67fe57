package cli

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/planner"
)

// git runs git in a folder. What git says of its own accord becomes the error.
func git(dir string, args ...string) ([]byte, error) {
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var exited *exec.ExitError
	switch {
	case errors.As(err, &exited):
		return nil, fmt.Errorf("git %s: %s", args[0], strings.TrimSpace(errs.String()))
	case err != nil:
		return nil, fmt.Errorf("comparing revisions needs git: %w", err)
	}
	return out, nil
}

// commit is a revision's commit, "" where there is no such revision.
func commit(top, revision string) string {
	out, err := git(top, "rev-parse", "--verify", "--quiet", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

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
	out, err := git(dir, "rev-parse", "--show-toplevel")
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
		id := commit(top, rev)
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
	if err := checkout(top, id, dir); err != nil {
		return nil, fmt.Errorf("revision %s: %w", rev, err)
	}
	path := filepath.Join(dir, rel)
	here := filepath.Join(top, rel)
	if strings.HasSuffix(rel, ".hcl") || strings.HasSuffix(rel, ".json") {
		here = filepath.Dir(here)
	}
	name := fmt.Sprintf("%s (%.10s)", rev, id)
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

// checkout writes the files of a commit.
func checkout(top, id, dir string) error {
	cmd := exec.Command("git", "-C", top, "archive", "--format=tar", id)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = untar(pipe, dir)
	_, _ = io.Copy(io.Discard, pipe) // so that git ends
	if werr := cmd.Wait(); werr != nil && err == nil {
		err = fmt.Errorf("git archive: %s", strings.TrimSpace(errs.String()))
	}
	return err
}

func untar(in io.Reader, dir string) error {
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.FromSlash(h.Name)
		if !filepath.IsLocal(name) {
			continue
		}
		path := filepath.Join(dir, name)
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o777); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeSymlink:
			// A link out of the repository would be read as if it were part of it.
			if !filepath.IsLocal(filepath.Join(filepath.Dir(name), h.Linkname)) {
				continue
			}
			if err := os.Symlink(h.Linkname, path); err != nil {
				return err
			}
		case tar.TypeReg:
			f, err := os.Create(path)
			if err != nil {
				return err
			}
			_, err = io.Copy(f, r)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
		}
	}
}

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
