package cache

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// everything takes out what nothing protects, however young.
var everything = GCOptions{KeepRuns: -1, MinAge: -1, Now: true}

func TestPin(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	publish(t, s, "a", 1, blob("a", 100))
	publish(t, s, "b", 1, blob("b", 100))
	lone := mustPut(t, s, blob("lone", 100))
	if err := s.Pin(Pin{Name: "release", What: "for the release", Roots: []Digest{key("a"), lone, lone}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // its lease would keep all
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{})
	if pins, err := s.Pins(); err != nil || len(pins) != 1 || len(pins[0].Roots) != 2 || pins[0].What != "for the release" {
		t.Errorf("pins %+v, %v", pins, err)
	}
	if _, err := s.GC(t.Context(), everything); err != nil {
		t.Fatal(err)
	}
	if e, _, err := s.readEntry(key("b")); e != nil || err != nil {
		t.Errorf("b is still there: %v", err)
	}
	if e, _, err := s.readEntry(key("a")); e == nil || err != nil {
		t.Errorf("a is gone: %v", err)
	}
	if _, err := s.statBlob(lone); err != nil {
		t.Errorf("the pinned blob is gone: %v", err)
	}
	wantClean(t, s)
	if err := s.Unpin("release"); err != nil {
		t.Fatal(err)
	}
	if err := s.Unpin("release"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a second time: %v", err)
	}
	if err := s.Pin(Pin{Name: "../x"}); err == nil {
		t.Error("a name that leaves its folder")
	}
	if _, err := s.GC(t.Context(), everything); err != nil {
		t.Fatal(err)
	}
	if e, _, err := s.readEntry(key("a")); e != nil || err != nil {
		t.Errorf("a is still there: %v", err)
	}
}

// A pin that cannot be read stops gc, and check mends it.
func TestDamagedPin(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	if err := s.Pin(Pin{Name: "p", Roots: []Digest{key("a")}}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.pinPath("p"), []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(t.Context(), everything); err == nil {
		t.Error("gc went on")
	}
	r, err := s.Check(t.Context(), CheckOptions{Repair: true})
	if err != nil || len(r.Problems) != 1 || !r.Problems[0].Repaired {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := s.GC(t.Context(), everything); err != nil {
		t.Error(err)
	}
}

func TestAdopt(t *testing.T) {
	dir, sources := t.TempDir(), t.TempDir()
	s := openStore(t, dir, Options{})
	var all []Digest
	for _, name := range []string{"in/a", "in/b", "beside"} {
		path := filepath.Join(sources, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, blob(name, 500), 0o666); err != nil {
			t.Fatal(err)
		}
		d := Sum(blob(name, 500))
		if err := s.AddExternal(d, External{path, 0, 500}); err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	n, err := s.Adopt(t.Context(), "model", filepath.Join(sources, "in"))
	if err != nil || n.Files != 2 || n.Bytes != 1000 {
		t.Errorf("adopted %+v, %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(sources); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, Options{})
	if _, err := s.GC(t.Context(), everything); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"in/a", "in/b"} {
		if got, err := read(s, all[i]); err != nil || !bytes.Equal(got, blob(name, 500)) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if _, err := read(s, all[2]); err == nil {
		t.Error("what was not adopted is there")
	}
}

// A file that has changed since is not taken for what it was.
func TestAdoptChanged(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	path := filepath.Join(t.TempDir(), "model")
	if err := os.WriteFile(path, blob("a", 500), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := s.AddExternal(Sum(blob("a", 500)), External{path, 0, 500}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, blob("b", 500), 0o666); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Adopt(t.Context(), "model", path); !errors.Is(err, ErrChanged) || n.Files != 0 {
		t.Errorf("adopted %+v, %v", n, err)
	}
}
