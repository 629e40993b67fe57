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

// Write lays a leaf with its bytes into dir, which holds the folders of leaves,
// and returns where the bytes are.
func Write(dir string, e artifact.Entry, data []byte) (path string, err error) {
	at := filepath.Join(dir, folder(e.Name))
	if err := os.Mkdir(at, 0o777); err != nil {
		return "", err
	}
	path = filepath.Join(at, dataFile)
	return path, errors.Join(os.WriteFile(filepath.Join(at, metaFile), meta(e), 0o666), os.WriteFile(path, data, 0o666))
}

// Files maps leaves' bytes when they are first asked for, and hashes them. It is
// safe for concurrent use.
type Files struct {
	mu   sync.Mutex
	open map[string]*mmap.File
}

// Release ends the validity of all bytes that were loaded.
func (f *Files) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.open {
		m.Close()
	}
	clear(f.open)
}

// Load returns the bytes of leaf e, which lie at path.
func (f *Files) Load(path string, e artifact.Entry) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.open[path]
	if m == nil {
		var err error
		if m, err = mmap.Open(path); err != nil {
			return nil, err
		}
		if f.open == nil {
			f.open = map[string]*mmap.File{}
		}
		if got := artifact.Sum(m.Bytes()); got != e.Digest {
			return nil, errors.Join(fmt.Errorf("leaf %q: its bytes have digest %s, not %s", e.Name, got.Short(), e.Digest.Short()), m.Close())
		}
		f.open[path] = m
	}
	return m.Bytes(), nil
}

// Read returns the value whose leaves lie in dir.
func (f *Files) Read(dir string) (*artifact.Value, error) {
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var entries []artifact.Entry
	at := map[string]string{}
	for _, n := range names {
		raw, err := os.ReadFile(filepath.Join(dir, n.Name(), metaFile))
		if err != nil {
			return nil, err
		}
		var e artifact.Entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, n.Name(), metaFile), err)
		}
		entries = append(entries, e)
		at[e.Name] = filepath.Join(dir, n.Name(), dataFile)
	}
	slices.SortFunc(entries, func(a, b artifact.Entry) int { return strings.Compare(a.Name, b.Name) })
	// Decoding checks entries that came from elsewhere.
	t, err := artifact.DecodeTree((&artifact.Tree{Entries: entries}).Encode())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return &artifact.Value{Tree: t, Load: func(e artifact.Entry) ([]byte, error) { return f.Load(at[e.Name], e) }}, nil
}
