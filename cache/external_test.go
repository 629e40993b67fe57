package cache

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/compressc/compressc/cache/fault"
)

// source writes a file and makes it look settled. The change time cannot be
// set, so the store's clock is moved instead.
func source(t testing.TB, s *Store, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	later(s, time.Minute)
	return path
}

// later makes a store's clock run ahead.
func later(s *Store, by time.Duration) {
	s.now = func() time.Time { return time.Now().Add(by) }
}

func TestExternal(t *testing.T) {
	for _, mode := range []VerifyMode{VerifyFirst, VerifyNone, VerifyFull} {
		t.Run(string(mode), func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir, Options{Verify: mode})
			file := blob("file", 300_000)
			path := source(t, s, file)
			ranges := []Range{{0, 8}, {8, 100_000}, {70_000, 65_536}, {300_000, 0}, {8, 100_000}}
			digests, err := s.HashFile(path, ranges)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range ranges {
				want := file[r.Offset : r.Offset+r.Length]
				if digests[i] != Sum(want) {
					t.Fatalf("range %v: digest %s, want %s", r, digests[i], Sum(want))
				}
				if err := s.AddExternal(digests[i], External{path, r.Offset, r.Length}); err != nil {
					t.Fatal(err)
				}
				wantBlob(t, s, digests[i], want)
				if n, err := s.Size(digests[i]); err != nil || n != r.Length {
					t.Errorf("Size = %d, %v", n, err)
				}
			}
			u, err := s.Usage()
			if err != nil || u.Externals.Files != 4 || u.ExternalBytes != 8+100_000+65_536 || u.Blobs.Files != 0 {
				t.Errorf("Usage = %+v, %v", u, err)
			}
			// Another process sees them too, and the same bytes stored win.
			s2 := openStore(t, dir, Options{Verify: mode})
			wantBlob(t, s2, digests[2], file[70_000:135_536])
			mustPut(t, s2, file[70_000:135_536])
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			wantBlob(t, s2, digests[2], file[70_000:135_536])
			if _, err := s2.Open(digests[1]); !errors.Is(err, ErrChanged) {
				t.Errorf("source removed: %v", err)
			}
			if s2.Has(digests[1]) {
				t.Error("Has, though the source is gone")
			}
		})
	}
}

func TestExternalServesAnEntry(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	file := blob("file", 1000)
	path := source(t, s, file)
	e := entryOf("src", output("model", Durable, file[100:900]))
	mustPut(t, s, e.Outputs[0].Tree)
	if err := s.PutEntry(e); !errors.Is(err, ErrNotFound) {
		t.Errorf("before AddExternal: %v", err)
	}
	if err := s.AddExternal(Sum(file[100:900]), External{path, 100, 800}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutEntry(e); err != nil {
		t.Fatal(err)
	}
	wantHit(t, s, e.Action, true)
	if err := os.Truncate(path, 500); err != nil {
		t.Fatal(err)
	}
	wantHit(t, s, e.Action, false)
}

func TestExternalChanges(t *testing.T) {
	file := blob("file", 10_000)
	setup := func(t *testing.T, mode VerifyMode) (*Store, Digest, string) {
		s := openStore(t, t.TempDir(), Options{Verify: mode})
		path := source(t, s, file)
		d := Sum(file[50:9_000])
		if err := s.AddExternal(d, External{path, 50, 8_950}); err != nil {
			t.Fatal(err)
		}
		return s, d, path
	}
	edit := func(t *testing.T, path string, at int64) {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{'!'}, at); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, mode := range []VerifyMode{VerifyFirst, VerifyNone} {
		t.Run("edited inside/"+string(mode), func(t *testing.T) {
			s, d, path := setup(t, mode)
			edit(t, path, 4_000)
			if _, err := s.Open(d); !errors.Is(err, ErrChanged) {
				t.Errorf("Open: %v", err)
			}
			if _, err := s.Open(d); !errors.Is(err, ErrNotFound) {
				t.Errorf("second Open: %v; the place should be forgotten", err)
			}
		})
		t.Run("edited outside/"+string(mode), func(t *testing.T) {
			s, d, path := setup(t, mode)
			edit(t, path, 10)
			wantBlob(t, s, d, file[50:9_000]) // the content decides, not the times
		})
	}
	t.Run("edited with times set back", func(t *testing.T) {
		s, d, path := setup(t, VerifyFirst)
		info, _ := os.Stat(path)
		wantBlob(t, s, d, file[50:9_000])
		edit(t, path, 4_000)
		if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(d); !errors.Is(err, ErrChanged) {
			t.Errorf("Open: %v; the change time tells", err)
		}
	})
	t.Run("truncated", func(t *testing.T) {
		s, d, path := setup(t, VerifyFirst)
		if err := os.Truncate(path, 8_999); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(d); !errors.Is(err, ErrChanged) {
			t.Errorf("Open: %v", err)
		}
	})
	t.Run("while open", func(t *testing.T) {
		s, d, path := setup(t, VerifyFirst)
		b, err := s.Open(d)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Release()
		if err := b.Check(); err != nil {
			t.Error(err)
		}
		edit(t, path, 4_000)
		if err := b.Check(); !errors.Is(err, ErrChanged) {
			t.Errorf("Check: %v", err)
		}
	})
	t.Run("second place", func(t *testing.T) {
		s, d, path := setup(t, VerifyFirst)
		other := filepath.Join(t.TempDir(), "copy")
		if err := os.WriteFile(other, file, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := s.AddExternal(d, External{other, 50, 8_950}); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(other); err != nil {
			t.Fatal(err)
		}
		wantBlob(t, s, d, file[50:9_000])
		edit(t, path, 4_000)
		if _, err := s.Open(d); !errors.Is(err, ErrChanged) {
			t.Errorf("Open: %v", err)
		}
		if err := os.WriteFile(other, file, 0o644); err != nil {
			t.Fatal(err)
		}
		wantBlob(t, s, d, file[50:9_000]) // away is not forgotten
	})
	t.Run("refused", func(t *testing.T) {
		s, d, path := setup(t, VerifyFirst)
		for _, ext := range []External{{path, -1, 5}, {path, 0, -1}, {path, 9_999, 2}, {path, 1 << 62, 1 << 62}, {path + "x", 0, 1}} {
			if err := s.AddExternal(d, ext); err == nil {
				t.Errorf("AddExternal(%v) succeeds", ext)
			}
		}
	})
}

func TestHashFileRemembers(t *testing.T) {
	dir := t.TempDir()
	set := &fault.Set{}
	s := openStore(t, dir, Options{Fault: set})
	file := blob("file", 3<<20)
	path := source(t, s, file)
	ranges := []Range{{0, 1 << 20}, {1 << 20, 2 << 20}}
	want, err := s.HashFile(path, ranges)
	if err != nil {
		t.Fatal(err)
	}
	// That the file is not read again shows when the record lies.
	info, _ := os.Stat(path)
	lie := statRecord{Stat: statOf(info), Ranges: []rangeHash{{0, 1 << 20, key("lie")}}}
	if err := s.writeStat(lie); err != nil {
		t.Fatal(err)
	}
	s2 := openStore(t, dir, Options{})
	later(s2, time.Minute)
	got, err := s2.HashFile(path, ranges)
	if err != nil || got[0] != key("lie") || got[1] != want[1] {
		t.Errorf("HashFile = %v, %v; want the remembered digest first", got, err)
	}
	// A file that has just changed is not looked up: now the truth counts.
	changed := time.Now()
	s2.now = func() time.Time { return changed.Add(time.Second) }
	if err := os.Chtimes(path, changed, changed); err != nil {
		t.Fatal(err)
	}
	info, _ = os.Stat(path)
	lie.Stat = statOf(info)
	if err := s2.writeStat(lie); err != nil {
		t.Fatal(err)
	}
	if got, err = s2.HashFile(path, ranges); err != nil || got[0] != want[0] {
		t.Errorf("a young file: %v, %v", got, err)
	}
	// Nor is one from the future.
	if err := os.Chtimes(path, time.Now().Add(time.Hour), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	later(s2, time.Minute)
	info, _ = os.Stat(path)
	lie.Stat = statOf(info)
	if err := s2.writeStat(lie); err != nil {
		t.Fatal(err)
	}
	if got, err = s2.HashFile(path, ranges); err != nil || got[0] != want[0] {
		t.Errorf("a file from the future: %v, %v", got, err)
	}
	// A damaged record is no record.
	later(s2, 2*time.Hour)
	flipFile(t, s2.statPath(lie.Stat), 1234)
	if got, err = s2.HashFile(path, ranges); err != nil || got[0] != want[0] {
		t.Errorf("damaged record: %v, %v", got, err)
	}
}

func TestHashFileRefusals(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	path := source(t, s, []byte("0123456789"))
	for _, r := range []Range{{-1, 1}, {0, 11}, {11, 0}, {5, -1}, {1, 1<<63 - 1}} {
		if _, err := s.HashFile(path, []Range{r}); err == nil {
			t.Errorf("range %v is accepted", r)
		}
	}
	if _, err := s.HashFile(path+"x", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := s.HashFile(filepath.Dir(path), nil); err == nil {
		t.Error("a folder is accepted")
	}
	if got, err := s.HashFile(path, nil); err != nil || len(got) != 0 {
		t.Errorf("no ranges: %v, %v", got, err)
	}
}

// changingReader is a file that ends early, as one does that is truncated
// while it is read.
type changingReader struct{ *bytes.Reader }

func TestHashRangesNoticesTheEnd(t *testing.T) {
	r := []rangeHash{{Offset: 2, Length: 20}}
	if err := hashRanges(changingReader{bytes.NewReader(make([]byte, 10))}, r); !errors.Is(err, ErrChanged) {
		t.Errorf("%v", err)
	}
}

// The ranges of a file are recorded together: those of equal content under one
// digest, at all their places, and none where one is not in the file.
func TestAddExternals(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	half := blob("half", 5_000)
	file := append(append(append([]byte{}, half...), half...), blob("rest", 700)...)
	path := source(t, s, file)
	ranges := []Range{{0, 5_000}, {5_000, 5_000}, {10_000, 700}}
	digests, err := s.HashFile(path, ranges)
	if err != nil {
		t.Fatal(err)
	}
	outside := append([]Range{}, ranges...)
	outside[2].Length++
	if err := s.AddExternals(path, digests, outside); err == nil || s.Has(digests[0]) {
		t.Errorf("a range outside the file: %v", err)
	}
	for range 2 {
		if err := s.AddExternals(path, digests, ranges); err != nil {
			t.Fatal(err)
		}
		if n := len(s.locations(digests[0])); n != 2 {
			t.Errorf("%d places of what lies there twice", n)
		}
		wantBlob(t, s, digests[0], half)
		wantBlob(t, s, digests[2], file[10_000:])
	}
	if err := s.AddExternals(path, nil, nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
}
