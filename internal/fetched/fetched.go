// Package fetched looks after a folder of fetched things, a folder each: modules
// by their commits, sources by their addresses. When one was used last is the
// modification time of its folder.
package fetched

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Folder is that of one fetched thing.
type Folder struct {
	Name string
	// Files and Bytes count its files and their lengths.
	Files int
	Bytes int64
	// Used is when it was last used, to the day.
	Used time.Time
}

// List lists the folders in dir whose names are ours, sorted by name. A dir that
// is not there is empty.
func List(dir string, ours func(name string) bool) ([]Folder, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []Folder
	for _, e := range entries {
		if !e.IsDir() || !ours(e.Name()) {
			continue
		}
		f := Folder{Name: e.Name()}
		if info, err := e.Info(); err == nil {
			f.Used = info.ModTime()
		}
		err := filepath.WalkDir(filepath.Join(dir, e.Name()), func(_ string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // taken by another process
			}
			if err != nil || d.IsDir() {
				return err
			}
			if info, err := d.Info(); err == nil {
				f.Files++
				f.Bytes += info.Size()
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

// Trim removes the folders of list, in dir, that are to go, and returns them; with
// dry it only returns them.
func Trim(dir string, list []Folder, goes func(Folder) bool, dry bool) (gone []Folder, err error) {
	for _, f := range list {
		if !goes(f) {
			continue
		}
		if !dry {
			if err := os.RemoveAll(filepath.Join(dir, f.Name)); err != nil {
				return gone, err
			}
		}
		gone = append(gone, f)
	}
	return gone, nil
}

// usePrecision is how much later than at its time a use may be noted: a write
// at every command would be one too many.
const usePrecision = 24 * time.Hour

// Use notes that the folder at path is used. Where that cannot be written down, it
// is only fetched again sooner.
func Use(path string) {
	now := time.Now()
	if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()) > usePrecision {
		_ = os.Chtimes(path, now, now)
	}
}
