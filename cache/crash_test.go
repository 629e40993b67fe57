//go:build unix

package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compressc/compressc/cache/fault"
)

func scenarioLeaves(i int) [][]byte {
	return [][]byte{blob(fmt.Sprint("leaf ", i), 3000), blob("shared", 2000)}
}

// scenario does what a run does, in small: it asks for three actions, makes
// those that are missing or damaged, leaves a run's record, and collects
// garbage. It fails if it is ever served wrong bytes.
func scenario(dir string, opts Options) error {
	s, err := Open(dir, opts)
	if err != nil {
		return err
	}
	if err := errors.Join(scenarioRun(s), s.Close()); err != nil {
		return err
	}
	// A process of its own for gc, as the first one's lease covers all.
	if s, err = Open(dir, opts); err != nil {
		return err
	}
	_, err = s.GC(context.Background(), GCOptions{MinAge: -1, KeepRuns: 1})
	if err == nil {
		_, err = s.GC(context.Background(), GCOptions{MinAge: -1, KeepRuns: 1, Now: true})
	}
	return errors.Join(err, s.Close())
}

func scenarioRun(s *Store) error {
	if _, err := s.Put([]byte("garbage")); err != nil {
		return err
	}
	run, err := s.BeginRun("p")
	if err != nil {
		return err
	}
	var roots []string
	for i := range 3 {
		action := key(fmt.Sprint("step ", i))
		if err := scenarioAction(s, i, action); err != nil {
			return fmt.Errorf("action %d: %w", i, err)
		}
		if err := run.Root(action); err != nil {
			return err
		}
		roots = append(roots, `"`+string(action)+`"`)
	}
	return run.Finish(fmt.Appendf(nil, `{"pipeline":"p","time":%q,"roots":[%s]}`, s.now().Format(time.RFC3339), strings.Join(roots, ",")))
}

func scenarioAction(s *Store, i int, action Digest) error {
	unlock, err := s.LockAction(context.Background(), action, nil)
	if err != nil {
		return err
	}
	defer unlock()
	leaves := scenarioLeaves(i)
	e, ok, err := s.GetEntry(action)
	if err != nil {
		return err
	}
	if ok {
		ok, err = scenarioVerify(s, e, leaves)
		if ok || err != nil {
			return err
		}
	}
	w, err := s.Writer()
	if err != nil {
		return err
	}
	defer w.Abort()
	for _, part := range [][]byte{leaves[0][:1000], leaves[0][1000:]} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	if _, _, err := w.Commit(); err != nil {
		return err
	}
	state := blob(fmt.Sprint("state ", i), 500)
	e = entryOf(fmt.Sprint("step ", i), output("model", Durable, leaves...), output("state", Checkpoint, state))
	if e.KeyRecord, err = s.Put([]byte(fmt.Sprint("key record ", i))); err != nil {
		return err
	}
	for _, data := range [][]byte{leaves[1], state, e.Outputs[0].Tree, e.Outputs[1].Tree} {
		if _, err := s.Put(data); err != nil {
			return err
		}
	}
	if err := s.PutEntry(e); err != nil {
		return err
	}
	if err := s.PutDef(key(fmt.Sprint("def ", i)), action); err != nil {
		return err
	}
	if i > 0 {
		if _, err := s.Remove(Sum(blob(fmt.Sprint("state ", i-1), 500))); err != nil {
			return err
		}
	}
	return nil
}

// scenarioVerify reports whether the entry's durable blobs can be used, and
// fails if they can and are wrong.
func scenarioVerify(s *Store, e *Entry, leaves [][]byte) (bool, error) {
	for _, want := range append(leaves, tree(leaves...)) {
		got, err := read(s, Sum(want))
		if errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if !bytes.Equal(got, want) {
			return false, fmt.Errorf("WRONG BYTES served for blob %s", Sum(want).Short())
		}
	}
	if e.Outputs[0].Digest != Sum(tree(leaves...)) {
		return false, errors.New("WRONG ENTRY served")
	}
	return true, nil
}

// wantFinished checks the state in which an undisturbed scenario leaves a
// store.
func wantFinished(t *testing.T, dir string) {
	t.Helper()
	s := openStore(t, dir, Options{})
	for i := range 3 {
		e, ok, err := s.GetEntry(key(fmt.Sprint("step ", i)))
		if !ok || err != nil {
			t.Errorf("action %d: %v, %v", i, ok, err)
			continue
		}
		if ok, err := scenarioVerify(s, e, scenarioLeaves(i)); !ok || err != nil {
			t.Errorf("action %d: %v, %v", i, ok, err)
		}
	}
	if _, _, err := s.LatestRun("p"); err != nil {
		t.Error(err)
	}
	if s.Has(Sum([]byte("garbage"))) {
		t.Error("garbage was not collected")
	}
	wantClean(t, s)
}

// passes counts how often an undisturbed scenario comes by each point.
func passes(t *testing.T) *fault.Set {
	t.Helper()
	set := &fault.Set{}
	dir := t.TempDir()
	if err := scenario(dir, Options{Fault: set}); err != nil {
		t.Fatal(err)
	}
	wantFinished(t, dir)
	for _, p := range fault.Points() {
		if set.Hits(p) == 0 {
			t.Errorf("the scenario does not come by point %s", p)
		}
	}
	return set
}

// A process is killed at each point in turn. What it leaves must be sound,
// and the next process must finish the work.
func TestKilledAnywhere(t *testing.T) {
	set := passes(t)
	const most = 40 // of one point: the first, the last and some between
	for _, p := range fault.Points() {
		hits := set.Hits(p)
		for i := range min(hits, most) {
			n := 1 + i
			if hits > most {
				n = 1 + i*(hits-1)/(most-1)
			}
			t.Run(fmt.Sprintf("%s:%d", p, n), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				cmd := child(t, "scenario", dir, fmt.Sprintf("%s=%s:%d", fault.EnvVar, p, n))
				out, err := cmd.CombinedOutput()
				var exit *exec.ExitError
				if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("child was to be killed, got %v: %s", err, out)
				}
				s, err := Open(dir, Options{})
				if err != nil {
					t.Fatal(err)
				}
				wantClean(t, s)
				for e, err := range s.Entries() {
					if err != nil {
						t.Error(err)
					}
					wantHit(t, s, e.Action, true)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if err := scenario(dir, Options{}); err != nil {
					t.Error(err)
				}
				wantFinished(t, dir)
			})
		}
	}
}

// Every operation that can fail does, in turn; the failure is reported as one
// of the folder, and nothing half-written stays.
func TestFullAndReadOnlyDisk(t *testing.T) {
	set := passes(t)
	failed := 0
	for _, mode := range []fault.Mode{fault.ENOSPC, fault.ReadOnly} {
		for _, p := range fault.Points() {
			for n := 1; n <= set.Hits(p); n++ {
				spec := fmt.Sprintf("%s:%d:%s", p, n, mode)
				dir := t.TempDir()
				faults, err := fault.Parse(spec)
				if err != nil {
					t.Fatal(err)
				}
				err = scenario(dir, Options{Fault: faults})
				// A few failures are survived, such as dropping a bad record.
				if err != nil {
					failed++
					want := syscall.ENOSPC
					if mode == fault.ReadOnly {
						want = syscall.EROFS
					}
					var w *WriteError
					if p != fault.Remove && !errors.As(err, &w) || !errors.Is(err, want) {
						t.Errorf("%s: %v", spec, err)
					}
					if w != nil && (!strings.Contains(err.Error(), "--cache-dir") || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "free there")) {
						t.Errorf("%s: unhelpful message: %v", spec, err)
					}
				}
				s := openStore(t, dir, Options{})
				wantClean(t, s)
				if err := scenario(dir, Options{}); err != nil {
					t.Errorf("%s: afterwards: %v", spec, err)
				}
			}
		}
	}
	if failed < 50 {
		t.Errorf("only %d faults made the scenario fail", failed)
	}
}

// Writes that lie: half of the bytes, or one bit wrong. No wrong byte may be
// served, by the process that wrote or by a later one.
func TestLyingDisk(t *testing.T) {
	set := passes(t)
	for _, mode := range []fault.Mode{fault.Short, fault.Flip} {
		for _, p := range []fault.Point{fault.Write, fault.Lease} {
			for n := 1; n <= set.Hits(p); n++ {
				spec := fmt.Sprintf("%s:%d:%s", p, n, mode)
				dir := t.TempDir()
				faults, err := fault.Parse(spec)
				if err != nil {
					t.Fatal(err)
				}
				if err := scenario(dir, Options{Fault: faults}); err != nil && strings.Contains(err.Error(), "WRONG") {
					t.Errorf("%s: %v", spec, err)
				}
				repair(t, dir, spec)
				if err := scenario(dir, Options{}); err != nil {
					t.Errorf("%s: afterwards: %v", spec, err)
					continue
				}
				wantFinished(t, dir)
			}
		}
	}
}

// repair checks a store and mends it; a damaged VERSION is beyond check's
// reach, since nothing can be opened then, and is written anew.
func repair(t *testing.T, dir, why string) {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil && strings.Contains(err.Error(), fileVersion) {
		if err := os.Remove(filepath.Join(dir, fileVersion)); err != nil {
			t.Fatal(err)
		}
		s, err = Open(dir, Options{})
	}
	if err != nil {
		t.Fatalf("%s: %v", why, err)
	}
	if _, err := s.Check(t.Context(), CheckOptions{Full: true, Repair: true}); err != nil {
		t.Errorf("%s: %v", why, err)
	}
	r, err := s.Check(t.Context(), CheckOptions{Full: true})
	if err != nil || !r.Clean() {
		t.Errorf("%s: after a repair: %v, %v", why, r.Problems, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// In any file of a finished store a bit flips, or the file is cut or emptied.
// Without any repair, the next run must be right; and check must mend it all.
func TestDamagedFiles(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	if err := scenario(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	damages := map[string]func(t *testing.T, path string){
		"flip":  func(t *testing.T, path string) { flipFile(t, path, rnd.IntN(1<<20)) },
		"cut":   func(t *testing.T, path string) { cut(t, path, 2) },
		"empty": func(t *testing.T, path string) { overwrite(t, path, nil) },
	}
	names := filesIn(t, dir)
	if len(names) < 15 {
		t.Fatalf("only %d files: %v", len(names), names)
	}
	for _, how := range []string{"flip", "cut", "empty"} {
		for _, name := range names {
			work := filepath.Join(t.TempDir(), "c")
			if err := os.CopyFS(work, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			damages[how](t, filepath.Join(work, name))
			if name == fileVersion {
				if _, err := Open(work, Options{}); err == nil {
					t.Errorf("%s %s: opened", how, name)
				}
				continue
			}
			if err := scenario(work, Options{}); err != nil {
				t.Errorf("%s %s: %v", how, name, err)
				continue
			}
			repair(t, work, how+" "+name)
			wantFinished(t, work)
		}
	}
}

// A check without repair names each damaged file and leaves it alone.
func TestCheckFindsDamage(t *testing.T) {
	dir := t.TempDir()
	if err := scenario(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range filesIn(t, dir) {
		if name == fileVersion || name == fileTag || name == fileGeneration || strings.HasPrefix(name, dirLeases) {
			continue
		}
		work := filepath.Join(t.TempDir(), "c")
		if err := os.CopyFS(work, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		flipFile(t, filepath.Join(work, name), 333)
		before, _ := os.ReadFile(filepath.Join(work, name))
		s := openStore(t, work, Options{})
		r, err := s.Check(t.Context(), CheckOptions{Full: true})
		if err != nil {
			t.Error(err)
		}
		if len(r.Problems) != 1 || r.Problems[0].Path != filepath.Join(work, name) || r.Problems[0].Repaired {
			t.Errorf("%s: %v", name, r.Problems)
		}
		if after, _ := os.ReadFile(filepath.Join(work, name)); !bytes.Equal(before, after) {
			t.Errorf("%s: check without repair changed the file", name)
		}
	}
}

func cut(t *testing.T, path string, part int) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, path, data[:len(data)/part])
}

// filesIn lists the files below dir that have bytes.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil && info.Size() > 0 {
			names = append(names, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
