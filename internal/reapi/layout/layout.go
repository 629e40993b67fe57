// Package layout spells trees the way the Remote Execution API, and a file
// system, can hold them: a leaf is a folder of its own with meta.json, which is
// the leaf's entry in the tree, and data, its bytes. Folders bear the leaves'
// names, escaped where file systems would take offence.
package layout

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/mmap"
	"github.com/compressc/compressc/internal/reapi"
)

const (
	metaFile = "meta.json"
	dataFile = "data"
)

// folder is the name of a leaf's folder. Two leaves never share one.
func folder(leaf string) string {
	s := url.PathEscape(leaf)
	if strings.HasPrefix(s, ".") {
		s = "%2E" + s[1:]
	}
	if s == "" {
		s = "%"
	}
	return s
}

// Digest is a leaf's as REAPI spells it.
func Digest(e artifact.Entry) reapi.Digest {
	return reapi.Digest{Hash: string(e.Digest), Size: e.Size}
}

func meta(e artifact.Entry) []byte {
	b, err := json.Marshal(e)
	if err != nil {
		panic(fmt.Sprintf("layout: an entry does not encode: %v", err))
	}
	return b
}

// Tree returns t as the message that output folders are stored under, and the
// documents, besides the leaves' bytes, that it names.
func Tree(t *artifact.Tree) (*repb.Tree, []reapi.Blob) {
	out := &repb.Tree{Root: &repb.Directory{}}
	var docs []reapi.Blob
	for _, e := range t.Entries {
		m := reapi.Bytes(meta(e))
		dir := &repb.Directory{Files: []*repb.FileNode{
			{Name: dataFile, Digest: Digest(e).Proto()},
			{Name: metaFile, Digest: m.Proto()}}}
		raw, d := reapi.Marshal(dir)
		docs = append(docs, m, reapi.Bytes(raw))
		out.Root.Directories = append(out.Root.Directories, &repb.DirectoryNode{Name: folder(e.Name), Digest: d.Proto()})
		// Each is another, since meta.json holds the name.
		out.Children = append(out.Children, dir)
	}
	slices.SortFunc(out.Root.Directories, func(a, b *repb.DirectoryNode) int { return strings.Compare(a.Name, b.Name) })
	return out, docs
}

// Directory returns the digest of t's folder as an input, and the documents,
// besides the leaves' bytes, that it is made of.
func Directory(t *artifact.Tree) (reapi.Digest, []reapi.Blob) {
	tree, docs := Tree(t)
	raw, d := reapi.Marshal(tree.Root)
	return d, append(docs, reapi.Bytes(raw))
}

// Write lays a leaf with its bytes into dir, which holds the folders of leaves.
func Write(dir string, e artifact.Entry, data []byte) error {
	at := filepath.Join(dir, folder(e.Name))
	if err := os.Mkdir(at, 0o777); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(at, metaFile), meta(e), 0o666),
		os.WriteFile(filepath.Join(at, dataFile), data, 0o666))
}

// Read returns the value whose leaves lie in dir. Bytes are mapped and hashed
// when they are first asked for, and valid until release. Load is safe for
// concurrent use.
func Read(dir string) (v *artifact.Value, release func(), err error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, err
	}
	t := &artifact.Tree{}
	at := map[string]string{}
	for _, n := range names {
		raw, err := os.ReadFile(filepath.Join(dir, n.Name(), metaFile))
		if err != nil {
			return nil, nil, err
		}
		var e artifact.Entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", filepath.Join(dir, n.Name(), metaFile), err)
		}
		t.Entries = append(t.Entries, e)
		at[e.Name] = filepath.Join(dir, n.Name(), dataFile)
	}
	slices.SortFunc(t.Entries, func(a, b artifact.Entry) int { return strings.Compare(a.Name, b.Name) })
	m := &mapped{open: map[string]*mmap.File{}}
	load := func(e artifact.Entry) ([]byte, error) { return m.load(at[e.Name], e) }
	return &artifact.Value{Tree: t, Load: load}, m.release, nil
}

// mapped are the leaves of a value that have been asked for.
type mapped struct {
	mu   sync.Mutex
	open map[string]*mmap.File
}

func (m *mapped) load(path string, e artifact.Entry) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.open[path]
	if f == nil {
		var err error
		if f, err = mmap.Open(path); err != nil {
			return nil, err
		}
		m.open[path] = f
		if got := artifact.Sum(f.Bytes()); got != e.Digest {
			return nil, fmt.Errorf("leaf %q: its bytes have digest %s, not %s", e.Name, got.Short(), e.Digest.Short())
		}
	}
	return f.Bytes(), nil
}

func (m *mapped) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.open {
		f.Close()
	}
	clear(m.open)
}
