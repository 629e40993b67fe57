package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// The file names of a checkpoint folder.
const (
	SingleName = "model.safetensors"
	IndexName  = "model.safetensors.index.json"
)

// Checkpoint is an open model folder: one file, or shards with their index.
// It is safe for concurrent use, except for Close.
type Checkpoint struct {
	Dir string
	// Files are the open files by name.
	Files []*File
	// Unlisted are tensors found in a shard that the index does not place
	// there, as "file: tensor". They are not part of the checkpoint.
	Unlisted []string

	tensors []*Tensor // by name
	byName  map[string]*Tensor
}

// OpenModel opens the checkpoint in dir. As in the reference loader,
// model.safetensors wins over an index beside it. The error is an *Error, or
// that of the operating system.
func OpenModel(dir string) (*Checkpoint, error) {
	single := filepath.Join(dir, SingleName)
	f, err := Open(single)
	if err == nil {
		c := &Checkpoint{Dir: dir, Files: []*File{f}, byName: f.byName, tensors: slices.Clone(f.tensors)}
		c.sort()
		return c, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	index, err := os.ReadFile(filepath.Join(dir, IndexName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notACheckpoint(dir)
	}
	if err != nil {
		return nil, err
	}
	return openShards(dir, index)
}

func notACheckpoint(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	detail := fmt.Sprintf("holds neither %s nor %s", SingleName, IndexName)
	for _, e := range entries {
		switch ext := filepath.Ext(e.Name()); ext {
		case ".gguf":
			return &Error{Path: dir, Detail: detail + "; it holds " + e.Name() + ", which can be opened by naming the file itself"}
		case ".bin", ".pt", ".pth":
			return &Error{Path: dir, Detail: detail + "; it holds " + e.Name() + ", a pickle file: save the model as safetensors first"}
		case ".safetensors":
			return &Error{Path: dir, Detail: detail + "; it holds " + e.Name() + ", which must be renamed or listed in an index"}
		}
	}
	return &Error{Path: dir, Detail: detail}
}

func openShards(dir string, index []byte) (c *Checkpoint, err error) {
	indexPath := filepath.Join(dir, IndexName)
	placed, err := parseIndex(index)
	if err != nil {
		return nil, &Error{Path: indexPath, Detail: err.Error()}
	}
	c = &Checkpoint{Dir: dir, byName: make(map[string]*Tensor, len(placed))}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()

	names := make([]string, 0, len(placed))
	shards := map[string]*File{}
	for name := range placed {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		shard := placed[name]
		f, open := shards[shard]
		if !open {
			// An index comes with a download; it must not reach out of its folder.
			if shard != filepath.Base(shard) || !filepath.IsLocal(shard) || strings.ContainsAny(shard, `/\`) {
				return c, &Error{Path: indexPath, Tensor: name, Detail: fmt.Sprintf("is placed in %q, expected the name of a file in the same folder", shard)}
			}
			f, err = Open(filepath.Join(dir, shard))
			if errors.Is(err, fs.ErrNotExist) {
				return c, &Error{Path: indexPath, Tensor: name, Detail: "is placed in " + shard + ", which is not in the folder", Err: fs.ErrNotExist}
			}
			if err != nil {
				return c, err
			}
			shards[shard] = f
			c.Files = append(c.Files, f)
		}
		t, ok := f.Tensor(name)
		if !ok {
			return c, &Error{Path: indexPath, Tensor: name, Detail: "is placed in " + shard + ", which has no such tensor"}
		}
		c.tensors = append(c.tensors, t)
		c.byName[name] = t
	}
	slices.SortFunc(c.Files, func(a, b *File) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range c.Files {
		for _, t := range f.tensors {
			if c.byName[t.Name] != t {
				c.Unlisted = append(c.Unlisted, filepath.Base(f.Path)+": "+t.Name)
			}
		}
	}
	return c, nil
}

// parseIndex returns the weight_map: tensor name to file name.
func parseIndex(index []byte) (map[string]string, error) {
	if !utf8.Valid(index) {
		return nil, errors.New("not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(index))
	var placed map[string]string
	err := object(d, "index", func(key string) error {
		if key != "weight_map" {
			var skip json.RawMessage
			return d.Decode(&skip)
		}
		if placed != nil {
			return errors.New("weight_map occurs twice")
		}
		placed = map[string]string{}
		return object(d, key, func(name string) error {
			if _, dup := placed[name]; dup {
				return fmt.Errorf("weight_map: tensor %q occurs twice", name)
			}
			file, err := text(d, "weight_map: "+name)
			placed[name] = file
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("text after the closing brace")
	}
	if len(placed) == 0 {
		return nil, errors.New("weight_map is missing or empty")
	}
	return placed, nil
}

func (c *Checkpoint) sort() {
	slices.SortFunc(c.tensors, func(a, b *Tensor) int { return strings.Compare(a.Name, b.Name) })
}

// Tensors returns the checkpoint's tensors sorted by name. The slice must not
// be changed.
func (c *Checkpoint) Tensors() []*Tensor { return c.tensors }

// Tensor returns the tensor of that name.
func (c *Checkpoint) Tensor(name string) (*Tensor, bool) {
	t, ok := c.byName[name]
	return t, ok
}

// Close closes all files.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.Files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
