package modules

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/compressc/compressc/internal/git"
)

// A Checkout is what one commit takes in a Finder's folder.
type Checkout struct {
	// Name is the commit, or that of a fetch which did not come to its end.
	Name string
	// Files and Bytes count its files and their lengths.
	Files int
	Bytes int64
	// Used is when a pipeline last used it, to the day.
	Used time.Time
}

// unfinished reports whether a fetch that is over for certain has left this
// behind.
func (c Checkout) unfinished(now time.Time) bool {
	return !git.IsCommit(c.Name) && now.Sub(c.Used) > fetchTime
}

const (
	// fetchTime is longer than any fetch takes.
	fetchTime = 24 * time.Hour
	// usePrecision is how much later than at its time a use may be noted: a write
	// at every command would be one too many.
	usePrecision = 24 * time.Hour
)

// Checkouts lists what is in the folder, sorted by name. One that is not there
// is empty.
func Checkouts(dir string) ([]Checkout, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []Checkout
	for _, e := range entries {
		if !e.IsDir() || !git.IsCommit(e.Name()) && !strings.HasPrefix(e.Name(), git.FetchPrefix) {
			continue // not ours
		}
		c := Checkout{Name: e.Name()}
		if info, err := e.Info(); err == nil {
			c.Used = info.ModTime()
		}
		err := filepath.WalkDir(filepath.Join(dir, e.Name()), func(_ string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // taken by another process
			}
			if err != nil || d.IsDir() {
				return err
			}
			if info, err := d.Info(); err == nil {
				c.Files++
				c.Bytes += info.Size()
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// Trim removes checkouts that no pipeline has used since before, and what
// fetches that did not come to their end have left; with dry it only says which
// they are. A pipeline that needs one of them again says so, and that
// compressc lock fetches it.
func Trim(dir string, before time.Time, dry bool) ([]Checkout, error) {
	list, err := Checkouts(dir)
	if err != nil {
		return nil, err
	}
	var gone []Checkout
	for _, c := range list {
		if !c.Used.Before(before) && !c.unfinished(time.Now()) {
			continue
		}
		if !dry {
			if err := os.RemoveAll(filepath.Join(dir, c.Name)); err != nil {
				return gone, err
			}
		}
		gone = append(gone, c)
	}
	return gone, nil
}

// use notes that a checkout is used. Where that cannot be written down, it is
// only fetched again sooner.
func use(path string) {
	now := time.Now()
	if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()) > usePrecision {
		_ = os.Chtimes(path, now, now)
	}
}
