package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2/maybe"
)

// FileName is the name of the figures' file in the cache's folder.
const FileName = "bench.json"

// Save replaces the figures kept in dir.
func (f *Figures) Save(dir string) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return maybe.WriteFile(filepath.Join(dir, FileName), append(b, '\n'), 0o666)
}

// Load returns the figures kept in dir, or nil where there are none or they are
// of another machine, as in a cache that several share. An error says that the
// file cannot be read: it may be deleted.
func Load(dir string) (*Figures, error) {
	path := filepath.Join(dir, FileName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var f Figures
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("%s: %w; delete it, or measure again with compressc bench", path, err)
	}
	if f.Machine != ThisMachine() {
		return nil, nil
	}
	return &f, nil
}
