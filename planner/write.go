package planner

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/record"
)

// exportKey is what an export's bytes are made from.
type exportKey struct {
	Kernel string                     `json:"kernel"`
	Impl   int                        `json:"impl"`
	Params any                        `json:"params"`
	Inputs map[string]artifact.Digest `json:"inputs"`
	Files  int                        `json:"files"`
}

// written is what the index remembers of an export: each file in the order of
// passes.Export.Files.
type written struct {
	Files []writtenFile `json:"files"`
}

type writtenFile struct {
	Digest string `json:"digest"`
	Bytes  int64  `json:"bytes"`
}

// ExportProgress is how far the files of an export have come.
type ExportProgress struct {
	Step  *Step
	Bytes int64
	// Done tells that nothing more is written, whether the files are whole or not.
	Done bool
}

// exportStep is after how many bytes an export's progress is told.
const exportStep = 1 << 20

// write writes an export's files, each under a temporary name first. Files that
// already hold the right bytes are left alone.
func (r *execution) write(ctx context.Context, s *Step) ([]record.File, error) {
	e := s.Export
	key, err := s.exportKey(r.digest)
	if err != nil {
		return nil, err
	}
	store := r.o.Executor.Store
	if files := r.unchanged(store, key, e.Files); files != nil {
		return files, nil
	}
	start := time.Now()
	out := &fileSet{dir: r.Pipeline.Dir, files: map[string]*record.File{}}
	if tell := r.o.Exporting; tell != nil {
		out.tell = func(bytes int64) { tell(ExportProgress{Step: s, Bytes: bytes}) }
		out.tell(0)
		defer func() { tell(ExportProgress{Step: s, Bytes: out.bytes, Done: true}) }()
	}
	defer out.abort()
	err = e.Write(ctx, func(input string) (*artifact.Value, func(), error) {
		for _, in := range e.Inputs {
			if in.Name == input {
				return r.ex.Value(ctx, in.Ref)
			}
		}
		return nil, nil, fmt.Errorf("%s has no input %q", s.Node.Addr(), input)
	}, out.create)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Node.Addr(), err)
	}
	var files []record.File
	var w written
	for _, name := range e.Files {
		f := out.files[name]
		if f == nil {
			return nil, fmt.Errorf("%s: its writer left out %s", s.Node.Addr(), name)
		}
		files = append(files, *f)
		w.Files = append(w.Files, writtenFile{f.Digest, f.Bytes})
	}
	if err := out.publish(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Node.Addr(), err)
	}
	metrics, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	err = store.PutEntry(&cache.Entry{Action: key, Kernel: e.Kernel, Metrics: metrics, Seconds: time.Since(start).Seconds(), Producer: r.o.Version, Created: time.Now().UTC()})
	var conflict *cache.Conflict
	if err != nil && !errors.As(err, &conflict) {
		return nil, err
	}
	return files, nil
}

// exportKey identifies what the step's export writes; of knows the digests of
// its inputs.
func (s *Step) exportKey(of func(action.Ref) (artifact.Digest, bool)) (cache.Digest, error) {
	e := s.Export
	k := exportKey{Kernel: e.Kernel, Impl: e.Impl, Params: e.Params, Inputs: map[string]artifact.Digest{}, Files: len(e.Files)}
	for _, in := range e.Inputs {
		d, ok := of(in.Ref)
		if !ok {
			return "", fmt.Errorf("%s: its input %s is not there", s.Node.Addr(), in.Name)
		}
		k.Inputs[in.Name] = d
	}
	raw, err := json.Marshal(k)
	if err != nil {
		return "", fmt.Errorf("%s: its parameters do not encode: %w", s.Node.Addr(), err)
	}
	return cache.Sum(raw), nil
}

// Written reports whether the files of an export are there already with the
// bytes that a run would write.
func (p *Plan) Written(s *Step, pr *Prediction) bool {
	if s.Export == nil {
		return false
	}
	key, err := s.exportKey(pr.digest)
	return err == nil && p.unchanged(pr.store, key, s.Export.Files) != nil
}

// unchanged returns the files if all of them are there with the bytes that this
// export is on record with.
func (p *Plan) unchanged(store *cache.Store, key cache.Digest, names []string) []record.File {
	e, ok, err := store.GetEntry(key)
	if err != nil || !ok {
		return nil
	}
	var w written
	if json.Unmarshal(e.Metrics, &w) != nil || len(w.Files) != len(names) {
		return nil
	}
	var files []record.File
	for i, name := range names {
		path := exportPath(p.Pipeline.Dir, name)
		info, err := os.Stat(path)
		if err != nil || info.Size() != w.Files[i].Bytes {
			return nil
		}
		sums, err := store.HashFile(path, []cache.Range{{Offset: 0, Length: info.Size()}})
		if err != nil || string(sums[0]) != w.Files[i].Digest {
			return nil
		}
		files = append(files, record.File{Path: path, Digest: w.Files[i].Digest, Bytes: w.Files[i].Bytes})
	}
	return files
}

func exportPath(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// fileSet are the files of one export under way: written under temporary names
// beside their places, and moved there together once all are whole.
type fileSet struct {
	dir     string
	files   map[string]*record.File
	pending []*pendingFile
	bytes   int64
	tell    func(bytes int64) // nil: nobody listens
}

// wrote counts bytes, and tells of them now and then.
func (s *fileSet) wrote(n int) {
	before := s.bytes
	s.bytes += int64(n)
	if s.tell != nil && before/exportStep != s.bytes/exportStep {
		s.tell(s.bytes)
	}
}

type pendingFile struct {
	*os.File
	set  *fileSet
	name string
	path string
	sum  hash.Hash
	n    int64
	open bool
}

func (s *fileSet) create(name string) (io.WriteCloser, error) {
	path := exportPath(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, fmt.Errorf("the folder for %s cannot be made: %w", name, err)
	}
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:8]+".tmp")
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be written: %w", name, err)
	}
	p := &pendingFile{File: f, set: s, name: name, path: path, sum: sha256.New(), open: true}
	s.pending = append(s.pending, p)
	return p, nil
}

// alone is how many bytes are not worth a second core.
const alone = 64 << 10

func (p *pendingFile) Write(b []byte) (int, error) {
	var hashing sync.WaitGroup
	if len(b) < alone {
		p.sum.Write(b)
	} else {
		hashing.Go(func() { p.sum.Write(b) })
	}
	n, err := p.File.Write(b) // all of b, or the file is of no use
	hashing.Wait()
	p.n += int64(n)
	p.set.wrote(n)
	if err != nil {
		err = fmt.Errorf("writing %s after %d bytes: %w", p.path, p.n, err)
	}
	return n, err
}

// Close makes the bytes durable; the file has its name once the set is
// published.
func (p *pendingFile) Close() error {
	if !p.open {
		return nil
	}
	p.open = false
	if err := errors.Join(p.Sync(), p.File.Close()); err != nil {
		return fmt.Errorf("finishing %s: %w", p.path, err)
	}
	p.set.files[p.name] = &record.File{Path: p.path, Digest: hex.EncodeToString(p.sum.Sum(nil)), Bytes: p.n, Written: true}
	return nil
}

// publish moves every file to its place.
func (s *fileSet) publish() error {
	for _, p := range s.pending {
		if err := os.Rename(p.Name(), p.path); err != nil {
			return fmt.Errorf("putting %s in its place: %w", p.name, err)
		}
	}
	s.pending = nil
	return nil
}

// abort removes what was not published. Errors add nothing: what went wrong has
// been said.
func (s *fileSet) abort() {
	for _, p := range s.pending {
		if p.open {
			_ = p.File.Close()
		}
		_ = os.Remove(p.Name())
	}
}
