package cache

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestTrim(t *testing.T) {
	const kb = 1000
	all := []made{{name: "A", seconds: 10, bytes: 50 * kb, hours: 48}, {name: "B", seconds: 1, bytes: 50 * kb, hours: 48}}
	dir := t.TempDir()
	publishAll(t, dir, all)
	s := openStore(t, dir, Options{})
	put := func(name string, bytes int) {
		t.Helper()
		if _, err := s.Put(blob(name, bytes)); err != nil {
			t.Fatal(err)
		}
	}
	trim := func(limit int64, wantReport bool, want string) *GCReport {
		t.Helper()
		r, err := s.Trim(t.Context(), limit)
		if err != nil {
			t.Fatal(err)
		}
		if (r != nil) != wantReport {
			t.Fatalf("limit %d: report %+v", limit, r)
		}
		look := openStore(t, dir, Options{}) // and give up what looking leases
		got := bytesLeft(t, look, all)
		if err := look.Close(); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("limit %d: left are %q, want %q", limit, got, want)
		}
		return r
	}
	trim(60*kb, false, "A B") // nothing was written
	put("x", 1*kb)
	trim(500*kb, false, "A B")
	walked, err := os.Stat(filepath.Join(dir, fileRoom))
	if err != nil {
		t.Fatal(err)
	}
	// There is room by what is noted, so that nothing is looked at: a blob that
	// came in behind its back does not count.
	if err := os.WriteFile(filepath.Join(dir, dirBlobs, "stray"), make([]byte, 500*kb), 0o666); err != nil {
		t.Fatal(err)
	}
	put("y", 1*kb)
	trim(500*kb, false, "A B")
	if err := os.Remove(filepath.Join(dir, dirBlobs, "stray")); err != nil {
		t.Fatal(err)
	}
	if again, err := os.Stat(filepath.Join(dir, fileRoom)); err != nil || os.SameFile(walked, again) {
		t.Errorf("what was written is not noted: %v", err)
	}
	// Another limit: what is noted says nothing.
	put("z", 1*kb)
	if r := trim(60*kb, true, "A"); r.Over > 0 || r.Rebuild != 1 {
		t.Errorf("report %+v", r)
	}
	wantClean(t, s)
	// What is younger than a day stays, and is not walked over again at once.
	put("more", 100*kb)
	if r := trim(60*kb, true, ""); r.Over == 0 {
		t.Errorf("report %+v", r)
	}
	put("little", 1*kb)
	trim(60*kb, false, "")
	put("enough", 3*kb)
	trim(60*kb, true, "")
}

func TestDefaultLimit(t *testing.T) {
	s := openStore(t, t.TempDir(), Options{})
	if n, disk := s.DefaultLimit(), diskBytes(s.dir); disk > 0 && (n < leastLimit || n > max(disk/4, leastLimit)) || disk <= 0 && n != 0 {
		t.Errorf("%d bytes of a disk of %d", n, disk)
	}
}

// What lies beside a store does not make its folder somebody else's once the file
// that says so is gone.
func TestGuestsOfAFolder(t *testing.T) {
	dir := t.TempDir()
	o := Options{Guests: []string{"figures.json", "modules"}}
	s := openStore(t, dir, o)
	if _, err := s.Put(blob("x", 100)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Trim(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	if err := s.invalidate(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range o.Guests {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, fileVersion)); err != nil {
		t.Fatal(err)
	}
	openStore(t, dir, o)
	if err := errors.Join(os.Remove(filepath.Join(dir, fileVersion)), os.WriteFile(filepath.Join(dir, "letters"), nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, o); err == nil {
		t.Error("a folder with other things was taken for a cache")
	}
}
