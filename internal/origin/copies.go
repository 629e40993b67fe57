package origin

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Copy is a folder in that of Places.
type Copy struct {
	// Name is the folder's; that of one which is not whole begins with Unfinished.
	Name string
	// Files and Bytes count its files and their lengths.
	Files int
	Bytes int64
	// Used is when a pipeline last used it, to the day.
	Used time.Time
}

// resumeTime is how long what was downloaded in part is kept, so that it is gone
// on with.
const resumeTime = 7 * 24 * time.Hour

var folderName = regexp.MustCompile(`^[0-9a-f]{64}(\.old)?$`)

// Copies lists what lies in the folder of Places, sorted by name. One that is not
// there is empty.
func Copies(dir string) ([]Copy, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []Copy
	for _, e := range entries {
		if !e.IsDir() || !folderName.MatchString(strings.TrimPrefix(e.Name(), Unfinished)) {
			continue // not ours
		}
		c := Copy{Name: e.Name()}
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

// Trim removes copies that no pipeline has used since before, and what was
// downloaded in part and left; with dry it only says which they are. A pipeline
// that needs one of them again says that compressc lock fetches it.
func Trim(dir string, before time.Time, dry bool) ([]Copy, error) {
	list, err := Copies(dir)
	if err != nil {
		return nil, err
	}
	var gone []Copy
	for _, c := range list {
		goes := c.Used.Before(before)
		if strings.HasPrefix(c.Name, Unfinished) {
			goes = time.Since(c.Used) > resumeTime // a younger one may be under way
		}
		if !goes {
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

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }
