package cache

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Adopt copies into the store the bytes that lie in the source files at or
// below path, as far as the store knows of them, and pins them under name, so
// that runs read them here and gc leaves them alone. Files that have changed
// since are an error, after the rest was copied.
func (s *Store) Adopt(ctx context.Context, name, path string) (Count, error) {
	var n Count
	root, err := filepath.Abs(path)
	if err != nil {
		return n, fmt.Errorf("cache: adopt %s: %w", path, err)
	}
	var adopted []Digest
	var failed []error
	for f, err := range s.files(dirExt) {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return n, fmt.Errorf("cache: adopt %s: %w", path, err)
		}
		d := Digest(f.name)
		if !d.Valid() || !s.liesBelow(d, root) {
			continue
		}
		size, err := s.copyIn(d)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		adopted = append(adopted, d)
		n.add(size)
	}
	if len(adopted) > 0 {
		failed = append(failed, s.Pin(Pin{Name: name, What: root, Roots: adopted}))
	}
	return n, errors.Join(failed...)
}

func (s *Store) liesBelow(d Digest, root string) bool {
	for _, l := range s.locations(d) {
		if rel, err := filepath.Rel(root, l.Path); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

// copyIn stores an external blob's bytes and returns how many.
func (s *Store) copyIn(d Digest) (int64, error) {
	b, err := s.Open(d)
	if err != nil {
		return 0, err
	}
	defer b.Release()
	got, err := s.Put(b.Bytes())
	if err == nil {
		err = s.Sync(got)
	}
	if err == nil && got != d {
		err = fmt.Errorf("cache: blob %s: its bytes have digest %s: %w", d, got, ErrChanged)
	}
	return int64(len(b.Bytes())), err
}
