// Package lock reads and writes compressc.lock.hcl: what the sources of a
// pipeline, and the modules that it takes from git, were when they were last
// looked at. An entry holds a digest, so that
// a source that has changed is found, a model's type (configuration, tensors,
// tokenizer), so that a pipeline is checked in full where the weights are not (in
// CI, say), and a module's commit.
//
// The file is written by the program alone and reviewed by people: entries are
// sorted, tensors of equal shape in all decoder blocks are one line, and
// writing what was read gives the same bytes.
package lock

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2/maybe"

	"github.com/compressc/compressc/internal/format/compressedtensors"
	"github.com/compressc/compressc/internal/tensor"
)

// Name of the file in a pipeline's folder.
const Name = "compressc.lock.hcl"

// File is a lock file.
type File struct {
	// Version of the program that wrote it, and of its numeric contract.
	Version, Numerics string
	// Kernels are the implementation versions of all kernels by name: a result
	// is made again when that of its kernel changes.
	Kernels  map[string]int
	Models   []Model
	Data     []Data
	Adapters []Adapter
	Modules  []Module
}

// Model is the entry of a model's source.
type Model struct {
	// Source and Revision are as the pipeline names them.
	Source, Revision string
	// Commit is what a hub's revision was resolved to, "" for files.
	Commit string
	// Digest of the tensors, configuration and tokenizer, as runs record it.
	Digest string
	// Tokenizer is the digest of the tokenizer, "" without one.
	Tokenizer string
	// Config is the config.json.
	Config []byte
	// Tensors sorted by name.
	Tensors []Tensor
	// Quantized says how layers are stored as codes, by the layer's path.
	Quantized map[string]compressedtensors.Stored
}

// Tensor is a tensor's name, type and bytes.
type Tensor struct {
	Name  string
	Meta  tensor.Meta
	Bytes int64
}

// Data is the entry of a text.
type Data struct {
	Source string
	Digest string
	Bytes  int64
}

// Adapter is the entry of an adapter.
type Adapter struct {
	// Source and Revision are as the pipeline names them.
	Source, Revision string
	// Commit is what a hub's revision was resolved to, "" for files.
	Commit string
	// Digest of the stored factors.
	Digest string
	// Alpha is the numerator of the scale that all layers share, 0 where each has a
	// scale of its own.
	Alpha float64
	// Layers sorted by path.
	Layers []AdapterLayer
}

// AdapterLayer is a layer that an adapter updates by Scale·B·A.
type AdapterLayer struct {
	Path          string
	Rank, Out, In int
	Scale         float64
}

// Module is the entry of a module from git.
type Module struct {
	// Source is as a call names it, Commit what it was when it was locked.
	Source, Commit string
	// Digest of the commit's files in the language, as modules.Digest forms it.
	Digest string
}

// Module returns the entry of a module's source, or nil.
func (f *File) Module(source string) *Module {
	if f == nil {
		return nil
	}
	for i := range f.Modules {
		if f.Modules[i].Source == source {
			return &f.Modules[i]
		}
	}
	return nil
}

// Adapter returns the entry of an adapter, or nil.
func (f *File) Adapter(source, revision string) *Adapter {
	if f == nil {
		return nil
	}
	for i := range f.Adapters {
		if f.Adapters[i].Source == source && f.Adapters[i].Revision == revision {
			return &f.Adapters[i]
		}
	}
	return nil
}

// Model returns the entry of a source, or nil.
func (f *File) Model(source, revision string) *Model {
	if f == nil {
		return nil
	}
	for i := range f.Models {
		if f.Models[i].Source == source && f.Models[i].Revision == revision {
			return &f.Models[i]
		}
	}
	return nil
}

// Text returns the entry of a text, or nil.
func (f *File) Text(source string) *Data {
	if f == nil {
		return nil
	}
	for i := range f.Data {
		if f.Data[i].Source == source {
			return &f.Data[i]
		}
	}
	return nil
}

// Read reads the lock file of a folder; it is nil where there is none.
func Read(dir string) (*File, error) {
	path := filepath.Join(dir, Name)
	src, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := Parse(src, path)
	if err != nil {
		return nil, fmt.Errorf("%w. The file is written by compressc lock; delete it and run that again, or take the last good version", err)
	}
	return f, nil
}

// Write replaces the lock file of a folder.
func (f *File) Write(dir string) error {
	return maybe.WriteFile(filepath.Join(dir, Name), f.Format(), 0o644)
}

// sort puts the entries into the order of the file.
func (f *File) sort() {
	slices.SortFunc(f.Models, func(a, b Model) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Revision, b.Revision))
	})
	slices.SortFunc(f.Adapters, func(a, b Adapter) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.Revision, b.Revision))
	})
	slices.SortFunc(f.Modules, func(a, b Module) int { return strings.Compare(a.Source, b.Source) })
	slices.SortFunc(f.Data, func(a, b Data) int { return strings.Compare(a.Source, b.Source) })
}
