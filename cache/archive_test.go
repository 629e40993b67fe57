package cache

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// exported makes a store of one run and returns its archive: two results, one of
// which keeps a tensor of a source file, and a checkpoint that is gone.
func exported(t testing.TB) (archive []byte, run string) {
	t.Helper()
	s := openStore(t, t.TempDir(), Options{})
	source := filepath.Join(t.TempDir(), "model")
	kept := blob("kept", 3000)
	if err := os.WriteFile(source, kept, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := s.AddExternal(Sum(kept), External{source, 0, int64(len(kept))}); err != nil {
		t.Fatal(err)
	}
	a := publish(t, s, "a", 2, blob("a", 5000))
	b := entryOf("b", output("model", Durable, kept, blob("b", 10)), output("h", Transient, blob("h", 10)), output("c", Checkpoint, blob("c", 10)))
	for _, l := range [][]byte{blob("b", 10), blob("c", 10), b.Outputs[0].Tree, b.Outputs[2].Tree} {
		mustPut(t, s, l)
	}
	b.KeyRecord = mustPut(t, s, []byte("what b is made from"))
	if err := s.PutEntry(b); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(Sum(blob("c", 10))); err != nil {
		t.Fatal(err)
	}
	if err := s.PutDef(key("definition of b"), b.Action); err != nil {
		t.Fatal(err)
	}
	publish(t, s, "of no run", 1, blob("other", 10))
	run, err := s.AppendRun([]byte(`{"pipeline":"p","time":"2024-01-02T03:04:05Z","roots":["` + string(a.Action) + `","` + string(b.Action) + `"]}`))
	if err != nil {
		t.Fatal(err)
	}
	var w bytes.Buffer
	r, err := s.Export(t.Context(), &w, run)
	if err != nil {
		t.Fatal(err)
	}
	if r.Runs != 1 || r.Entries.Files != 2 || r.Blobs.Files != 6 {
		t.Errorf("exported %+v", r)
	}
	return w.Bytes(), run
}

func TestArchive(t *testing.T) {
	archive, run := exported(t)
	s := openStore(t, t.TempDir(), Options{})
	r, err := s.Import(t.Context(), bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	if r.Runs != 1 || r.Entries.Files != 2 || r.Blobs.Files != 6 || r.Kept != 0 {
		t.Errorf("imported %+v", r)
	}
	wantHit(t, s, key("a"), true)
	wantHit(t, s, key("b"), true)
	wantHit(t, s, key("of no run"), false)
	if d, ok := s.GetDef(key("definition of b")); !ok || d != key("b") {
		t.Errorf("definition leads to %q", d)
	}
	// The tensor of the source came along.
	if got, err := read(s, Sum(blob("kept", 3000))); err != nil || !bytes.Equal(got, blob("kept", 3000)) {
		t.Errorf("source's tensor: %d bytes, %v", len(got), err)
	}
	if got, _, err := s.LatestRun("p"); err != nil || got.ID != run {
		t.Errorf("run %+v, %v", got, err)
	}
	wantClean(t, s)

	// Taking it in again changes nothing.
	r, err = s.Import(t.Context(), bytes.NewReader(archive))
	if err != nil || r.Runs != 0 || r.Entries.Files != 0 || r.Blobs.Files != 0 || r.Kept != 2 {
		t.Errorf("again: %+v, %v", r, err)
	}
	wantClean(t, s)
}

// To export a run is no use of what has no part in it.
func TestExportLeavesOthersAlone(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	a := publish(t, s, "a", 1, blob("a", 10))
	for _, name := range []string{"a", "other"} {
		if err := s.PutDef(key("definition of "+name), key(name)); err != nil {
			t.Fatal(err)
		}
	}
	run, err := s.AppendRun([]byte(`{"pipeline":"p","time":"2024-01-02T03:04:05Z","roots":["` + string(a.Action) + `"]}`))
	if err != nil {
		t.Fatal(err)
	}
	path := s.shard(dirDef, key("definition of other"))
	age(t, path, 48*time.Hour)
	if _, err := s.Export(t.Context(), io.Discard, run); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || time.Since(info.ModTime()) < 47*time.Hour {
		t.Errorf("the other definition was used at %v, %v", info.ModTime(), err)
	}
}

func TestArchiveOfAllRunsAndOfNone(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	var w bytes.Buffer
	if r, err := s.Export(t.Context(), &w); err != nil || r.Runs != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := s.Export(t.Context(), &w, "20240102T030405"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown run: %v", err)
	}
}

// What is here stays, and is not mistrusted because of an archive.
func TestArchiveConflict(t *testing.T) {
	archive, _ := exported(t)
	s := openStore(t, t.TempDir(), Options{})
	publish(t, s, "a", 2, blob("another result", 100))
	r, err := s.Import(t.Context(), bytes.NewReader(archive))
	if err == nil || !strings.Contains(err.Error(), "kernel test/a has other outputs here") {
		t.Errorf("error %v", err)
	}
	if r.Entries.Files != 1 || r.Runs != 1 {
		t.Errorf("imported %+v", r)
	}
	e, ok, err := s.GetEntry(key("a"))
	if err != nil || !ok || e.Outputs[0].Digest != output("model", Durable, blob("another result", 100)).Digest {
		t.Errorf("entry %+v, %v, %v", e, ok, err)
	}
	wantHit(t, s, key("b"), true)
	wantClean(t, s)
}

// Whatever was done to an archive, what it leaves behind is sound.
func TestDamagedArchive(t *testing.T) {
	archive, _ := exported(t)
	dir := t.TempDir()
	s := openStore(t, dir, Options{})
	for cut := 0; cut < len(archive); cut += 97 {
		if _, err := s.Import(t.Context(), bytes.NewReader(archive[:cut])); err == nil {
			t.Fatalf("the first %d of %d bytes are accepted", cut, len(archive))
		}
	}
	for at := 0; at < len(archive); at += 41 {
		bad := bytes.Clone(archive)
		bad[at] ^= 0x10
		s.Import(t.Context(), bytes.NewReader(bad)) // an error, or a bit that says nothing
	}
	wantClean(t, s)
	if r, err := s.Check(t.Context(), CheckOptions{Full: true}); err != nil || !r.Clean() {
		t.Errorf("%+v, %v", r, err)
	}
}

// What is made of bytes is a tar file: that the compressed stream is intact its own
// library checks.
func FuzzImport(f *testing.F) {
	archive, _ := exported(f)
	z, err := zstd.NewReader(nil)
	if err != nil {
		f.Fatal(err)
	}
	defer z.Close()
	plain, err := z.DecodeAll(archive, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	f.Add([]byte(nil))
	w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		f.Fatal(err)
	}
	s := openStore(f, f.TempDir(), Options{Logf: func(string, ...any) {}})
	f.Fuzz(func(t *testing.T, data []byte) {
		s.Import(t.Context(), bytes.NewReader(w.EncodeAll(data, nil))) // must not panic
		for e, err := range s.Entries() {
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Validate(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
