package modules

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/compressc/compressc/internal/fetched"
)

// Trim takes what was not used since, and what killed fetches left, and nothing
// that is not its own.
func TestTrim(t *testing.T) {
	dir := t.TempDir()
	old, recent := time.Now().Add(-100*time.Hour), time.Now().Add(-time.Hour)
	other := "1" + commit[1:]
	for name, at := range map[string]time.Time{commit: old, other: recent, ".fetch-1": old, ".fetch-2": recent, "notes": old} {
		write(t, filepath.Join(dir, name, "a", "x.txt"), "12345")
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	list, err := Checkouts(dir)
	if err != nil || len(list) != 4 || list[0].Files != 1 || list[0].Bytes != 5 {
		t.Fatalf("%+v, %v", list, err)
	}
	names := func(list []fetched.Folder, err error) (s string) {
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			s += c.Name + " "
		}
		return s
	}
	if got, want := names(Trim(dir, time.Time{}, true)), ".fetch-1 "; got != want {
		t.Errorf("without an age %q would go, want %q", got, want)
	}
	fetched.Use(filepath.Join(dir, commit))
	if got, want := names(Trim(dir, time.Now().Add(-50*time.Hour), true)), ".fetch-1 "; got != want {
		t.Errorf("after a use %q would go, want %q", got, want)
	}
	if err := os.Chtimes(filepath.Join(dir, commit), old, old); err != nil {
		t.Fatal(err)
	}
	if got, want := names(Trim(dir, time.Now().Add(-50*time.Hour), false)), ".fetch-1 "+commit+" "; got != want {
		t.Errorf("%q went, want %q", got, want)
	}
	if got, want := names(Checkouts(dir)), ".fetch-2 "+other+" "; got != want {
		t.Errorf("%q is left, want %q", got, want)
	}
	if list, err := Trim(filepath.Join(dir, "none"), time.Now(), false); len(list) > 0 || err != nil {
		t.Errorf("%v, %v of a folder that is not there", list, err)
	}
}
