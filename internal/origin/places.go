package origin

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/fetched"
)

// Unfinished begins the names of folders that are not whole yet.
const Unfinished = ".part-"

// Places are where copies lie. A value may be used by many goroutines.
type Places struct {
	// Dir is the folder of the copies of files and artifacts; "" has none. It need
	// not exist.
	Dir string
	// Hub is the folder of the local Hugging Face cache; "" takes the usual one.
	Hub string
}

// Found is a copy on this machine.
type Found struct {
	// Path is what a reader opens.
	Path string
	// Commit is that of what a hub or a registry gave, "" for files.
	Commit string
}

// Find looks for the copy of a source that has no problem; ok is false where
// there is none, or none that is whole. The copy of a thing of another kind is a
// problem.
func (p Places) Find(s Source) (at Found, ok bool, wrong *Problem) {
	switch {
	case strings.HasPrefix(s.Address, "hf://"):
		return p.findHub(s)
	case strings.HasPrefix(s.Address, "oci://"):
		return p.findArtifact(s)
	}
	dir := p.Folder(s, "")
	if p.Dir == "" || !isFolder(dir) {
		return at, false, nil
	}
	at.Path = p.File(s)
	switch {
	case s.Kind == Adapter && exists(filepath.Join(dir, s.Kind.marker())), s.Kind == Model && exists(filepath.Join(dir, IndexName)):
		at.Path = dir
	case !exists(at.Path):
		return Found{}, false, nil
	}
	fetched.Use(dir)
	return at, true, nil
}

// Folder is where the copy of a file lies, or of an artifact with the digest of
// its manifest.
func (p Places) Folder(s Source, digest string) string {
	address := s.Address
	if a, err := s.Artifact(); err == nil && strings.HasPrefix(address, "oci://") {
		address = "oci://" + a.Registry + "/" + a.Repository + "@" + digest
	} else if s.Kind == Adapter { // other files are beside it
		address += "\nadapter"
	}
	return filepath.Join(p.Dir, key(address))
}

// File is where the copy of a single file lies, or will.
func (p Places) File(s Source) string { return filepath.Join(p.Folder(s, ""), FileName(s.Address)) }

// Tag is the file that says which manifest a tag was when it was last looked up.
func (p Places) Tag(s Source) string { return filepath.Join(p.Dir, "tags", key(s.Address)) }

// Part is the folder in which a copy is made that is then renamed to folder.
func Part(folder string) string {
	return filepath.Join(filepath.Dir(folder), Unfinished+filepath.Base(folder))
}

func (p Places) findArtifact(s Source) (at Found, ok bool, wrong *Problem) {
	a, err := s.Artifact()
	if err != nil || p.Dir == "" {
		return at, false, nil
	}
	commit := cmp.Or(s.Commit, a.Digest)
	if commit == "" {
		text, err := os.ReadFile(p.Tag(s))
		if err != nil {
			return at, false, nil
		}
		if commit = strings.TrimSpace(string(text)); !IsDigest(commit) {
			return at, false, nil
		}
	}
	dir := p.Folder(s, commit)
	if !isFolder(dir) {
		return at, false, nil
	}
	fetched.Use(dir)
	if exists(filepath.Join(dir, s.Kind.marker())) {
		return Found{dir, commit}, true, nil
	}
	if wrong := otherKind(s, dir); wrong != nil {
		return at, false, wrong
	}
	for _, pattern := range []string{"*.gguf", "*.safetensors"} {
		if list, _ := filepath.Glob(filepath.Join(dir, pattern)); len(list) == 1 {
			return Found{list[0], commit}, true, nil
		}
	}
	return Found{dir, commit}, true, nil // the reader says what it misses
}

// HubFolder is the folder of the local Hugging Face cache, as its tools choose it.
func (p Places) HubFolder() (string, error) {
	if hub := cmp.Or(p.Hub, os.Getenv("HF_HUB_CACHE")); hub != "" {
		return hub, nil
	}
	home := os.Getenv("HF_HOME")
	if home == "" {
		base, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("the folder of the Hugging Face cache is not known: %w", err)
		}
		home = filepath.Join(base, ".cache", "huggingface")
	}
	return filepath.Join(home, "hub"), nil
}

// HubRepository is the folder of a repository in the local Hugging Face cache,
// where models and adapters are models: snapshots/COMMIT in it, with refs/BRANCH
// naming the commit and blobs holding the bytes.
func (p Places) HubRepository(s Source) (string, error) {
	hub, err := p.HubFolder()
	name := strings.TrimPrefix(s.Address, "hf://")
	return filepath.Join(hub, "models--"+strings.ReplaceAll(name, "/", "--")), err
}

// HubRevision is the revision that a source asks for.
func HubRevision(s Source) string { return cmp.Or(s.Revision, "main") }

func (p Places) findHub(s Source) (at Found, ok bool, wrong *Problem) {
	dir, err := p.HubRepository(s)
	if err != nil {
		return at, false, nil
	}
	revision := cmp.Or(s.Commit, HubRevision(s))
	if ref, err := os.ReadFile(filepath.Join(dir, "refs", filepath.FromSlash(revision))); err == nil {
		if text := strings.TrimSpace(string(ref)); local(text) {
			revision = text
		}
	}
	at = Found{filepath.Join(dir, "snapshots", filepath.FromSlash(revision)), filepath.Base(revision)}
	if exists(filepath.Join(at.Path, s.Kind.marker())) {
		return at, whole(at.Path), nil
	}
	// A whole snapshot of something else is a mistake; one that has not been
	// downloaded is not.
	return Found{}, false, otherKind(s, at.Path)
}

func otherKind(s Source, dir string) *Problem {
	other := map[Kind]Kind{Model: Adapter, Adapter: Model}[s.Kind]
	if !exists(filepath.Join(dir, other.marker())) {
		return nil
	}
	return problem("Not a "+s.Kind.String(), "%s has %s and no %s: it is %s.", s.Address, other.marker(), s.Kind.marker(),
		map[Kind]string{Model: "a model, which a model block names", Adapter: "an adapter, which an adapter block names"}[other])
}

// IndexName is the file that lists the parts of a model in several files.
const IndexName = "model.safetensors.index.json"

// whole reports whether a snapshot has weights, and all parts of them that its
// index lists: the hub's tools put files into a snapshot as they come, and
// whoever asked for the configuration alone has just that.
func whole(dir string) bool {
	raw, err := os.ReadFile(filepath.Join(dir, IndexName))
	if err != nil {
		for _, pattern := range []string{"*.safetensors", "*.gguf", "*.bin", "*.pt", "*.pth"} {
			if list, _ := filepath.Glob(filepath.Join(dir, pattern)); len(list) > 0 {
				return true // what it lacks, the reader says
			}
		}
		return false
	}
	parts, err := Parts(raw)
	if err != nil {
		return true
	}
	for _, p := range parts {
		if !exists(filepath.Join(dir, filepath.FromSlash(p))) {
			return false
		}
	}
	return true
}

// Parts lists the files that an index names, sorted. A name that leads out of
// the folder is an error.
func Parts(index []byte) ([]string, error) {
	var doc struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(index, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", IndexName, err)
	}
	if len(doc.WeightMap) == 0 {
		return nil, errors.New(IndexName + " lists no files: expected weight_map, which names one for each tensor")
	}
	seen := map[string]bool{}
	for _, name := range doc.WeightMap {
		if !local(name) {
			return nil, fmt.Errorf("%s names %q, which leads out of its folder", IndexName, name)
		}
		seen[name] = true
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
