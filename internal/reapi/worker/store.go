package worker

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/compressc/compressc/internal/reapi"
)

// Store is where inputs come from and outputs go.
type Store interface {
	// Read returns a small blob's bytes.
	Read(ctx context.Context, d reapi.Digest) ([]byte, error)
	// Place makes the blobs available as read-only files that can be executed,
	// at the paths they are mapped to.
	Place(ctx context.Context, files map[string]reapi.Digest) error
	// Upload stores blobs that the server may lack.
	Upload(ctx context.Context, blobs []reapi.Blob) error
}

// Remote is a Store on a server, with a folder that keeps what was read lately.
// Several processes should not share the folder.
type Remote struct {
	client *reapi.Client
	dir    string
	limit  int64

	mu      sync.Mutex
	loading map[reapi.Digest]chan struct{}
}

// NewRemote returns a store that keeps at most about limit bytes in dir, which
// it makes.
func NewRemote(c *reapi.Client, dir string, limit int64) (*Remote, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	return &Remote{client: c, dir: dir, limit: limit, loading: map[reapi.Digest]chan struct{}{}}, nil
}

// Read implements Store.
func (r *Remote) Read(ctx context.Context, d reapi.Digest) ([]byte, error) {
	if d.Size == 0 {
		return nil, nil
	}
	return r.client.Read(ctx, d)
}

// Upload implements Store.
func (r *Remote) Upload(ctx context.Context, blobs []reapi.Blob) error {
	var ds []reapi.Digest
	for _, b := range blobs {
		ds = append(ds, b.Digest)
	}
	missing, err := r.client.Missing(ctx, ds)
	if err != nil {
		return err
	}
	return r.client.Upload(ctx, slices.DeleteFunc(blobs, func(b reapi.Blob) bool { return !slices.Contains(missing, b.Digest) }))
}

func (r *Remote) path(d reapi.Digest) string { return filepath.Join(r.dir, d.Hash) }

// Place implements Store.
func (r *Remote) Place(ctx context.Context, files map[string]reapi.Digest) error {
	paths := map[reapi.Digest][]string{}
	for path, d := range files {
		paths[d] = append(paths[d], path)
	}
	var small []reapi.Digest
	for d := range paths {
		release, err := r.claim(ctx, d)
		if err != nil {
			return err
		}
		if release == nil {
			continue // it is there
		}
		if r.client.Batchable(d) && d.Size > 0 {
			defer release()
			small = append(small, d)
			continue
		}
		err = r.create(d, func(f *os.File) error {
			if d.Size == 0 {
				return nil
			}
			return r.client.ReadTo(ctx, d, f)
		})
		release()
		if err != nil {
			return err
		}
	}
	if err := r.client.ReadBatch(ctx, small, func(d reapi.Digest, data []byte) error {
		return r.create(d, func(f *os.File) error { _, err := f.Write(data); return err })
	}); err != nil {
		return err
	}
	now := time.Now()
	for d, to := range paths {
		from := r.path(d)
		if err := os.Chtimes(from, now, now); err != nil {
			return fmt.Errorf("blob %v: %w: %w", d, err, reapi.ErrNotFound)
		}
		for _, path := range to {
			if err := link(from, path); err != nil {
				return err
			}
		}
	}
	return r.trim()
}

// claim returns nil if the blob is there, else a claim on loading it.
func (r *Remote) claim(ctx context.Context, d reapi.Digest) (release func(), err error) {
	for {
		if info, err := os.Stat(r.path(d)); err == nil && info.Size() == d.Size {
			return nil, nil
		}
		r.mu.Lock()
		wait := r.loading[d]
		if wait == nil {
			done := make(chan struct{})
			r.loading[d] = done
			r.mu.Unlock()
			return sync.OnceFunc(func() {
				r.mu.Lock()
				delete(r.loading, d)
				r.mu.Unlock()
				close(done)
			}), nil
		}
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-wait:
		}
	}
}

func (r *Remote) create(d reapi.Digest, fill func(*os.File) error) error {
	f, err := os.CreateTemp(r.dir, ".new-*")
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Chmod(0o555)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), r.path(d))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// link gives a file a second name, or copies it where that is impossible.
func link(from, to string) error {
	if err := os.Link(from, to); err == nil || os.IsExist(err) {
		return err
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o555)
}

// trim removes what was used longest ago. A file that a command uses lives on
// under its other name.
func (r *Remote) trim() error {
	names, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	var all []fs.FileInfo
	var size int64
	for _, n := range names {
		if info, err := n.Info(); err == nil && n.Name()[0] != '.' {
			all = append(all, info)
			size += info.Size()
		}
	}
	slices.SortFunc(all, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	for _, info := range all {
		if size <= r.limit {
			break
		}
		if err := os.Remove(filepath.Join(r.dir, info.Name())); err != nil {
			return err
		}
		size -= info.Size()
	}
	return nil
}
