package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/origin"
)

// stateName is the file in a copy that holds the servers' words for the versions
// of its files, by name: with them a broken download is gone on with, and a copy
// that is looked at again is not fetched again where nothing has changed.
const stateName = ".fetched.json"

// copying is a copy of a file and of those beside it, on the way.
type copying struct {
	f          *Fetcher
	s          origin.Source
	cred       credential
	part       string
	validators map[string]string
	// files that belong to the copy.
	files map[string]bool
}

func (f *Fetcher) fetchFile(ctx context.Context, s origin.Source, token string) error {
	folder := f.Places.Folder(s, "")
	c := &copying{f: f, s: s, cred: credential{token, "the block"}, part: origin.Part(folder), validators: map[string]string{}, files: map[string]bool{stateName: true}}
	if u, err := url.Parse(f.hub()); token == "" && err == nil && strings.HasPrefix(s.Address, u.Scheme+"://"+u.Host+"/") {
		c.cred = credential{f.HubToken, "HF_TOKEN"}
	}
	if err := os.MkdirAll(c.part, 0o777); err != nil {
		return onDisk(c.part, err)
	}
	if err := c.begin(folder); err != nil {
		return err
	}
	name := origin.FileName(s.Address)
	var err error
	switch {
	case s.Kind == origin.Text || strings.HasSuffix(name, ".gguf"):
		err = c.get(ctx, name, false)
	case s.Kind == origin.Adapter:
		err = c.all(ctx, []string{"adapter_config.json", name}, nil)
	default:
		err = c.model(ctx, name)
	}
	if err != nil {
		_ = os.Remove(c.part) // if nothing came
		return err
	}
	if err := c.tidy(); err != nil {
		return onDisk(c.part, err)
	}
	return publish(c.part, folder)
}

// Withdraw takes back the copy of a file which is not the one that was wanted: it
// is as if it had been fetched in part, so that nobody takes it for the source,
// and nothing of it comes again where the server has it still.
func (f *Fetcher) Withdraw(s origin.Source) error {
	if strings.HasPrefix(s.Address, "hf://") || strings.HasPrefix(s.Address, "oci://") {
		return nil // there it is a commit that names the bytes
	}
	folder := f.Places.Folder(s, "")
	part := origin.Part(folder)
	if err := errors.Join(os.RemoveAll(part), rename(folder, part)); err != nil {
		return onDisk(folder, err)
	}
	return nil
}

// model fetches a file of weights and what a reader looks for beside it; the
// small files come first, since without them the others are of no use.
func (c *copying) model(ctx context.Context, name string) error {
	weights := []string{name}
	// A model in one file of the usual name has no index, or none that is read.
	if name != "model.safetensors" {
		switch err := c.get(ctx, origin.IndexName, true); {
		case err == nil:
			raw, err := os.ReadFile(filepath.Join(c.part, origin.IndexName))
			if err != nil {
				return onDisk(c.part, err)
			}
			parts, err := origin.Parts(raw)
			if err != nil {
				return failure(err, "%s: %v.", c.s.Address, err)
			}
			if slices.Contains(parts, name) {
				weights = parts
			} else {
				delete(c.files, origin.IndexName) // of another model beside it
			}
		case !errors.Is(err, errAbsent):
			return err
		}
	}
	return c.all(ctx, append([]string{"config.json"}, weights...), []string{"tokenizer.json", "tokenizer_config.json", "generation_config.json"})
}

// all fetches files, first those that may not be there.
func (c *copying) all(ctx context.Context, needed, optional []string) error {
	for _, name := range optional {
		if err := c.get(ctx, name, true); err != nil && !errors.Is(err, errAbsent) {
			return err
		}
	}
	for _, name := range needed {
		if err := c.get(ctx, name, false); err != nil {
			return err
		}
	}
	return nil
}

// get fetches a file from the folder of the address.
func (c *copying) get(ctx context.Context, name string, optional bool) error {
	address := c.s.Address
	if name != origin.FileName(address) {
		u, err := url.Parse(address)
		if err != nil {
			return failure(err, "%s is no address.", address)
		}
		beside := *u
		beside.Path, beside.RawPath = path.Join(path.Dir(u.Path), name), ""
		address = beside.String()
	}
	to := filepath.Join(c.part, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return onDisk(to, err)
	}
	t := &transfer{file: File{Source: c.s.Address, Name: name, Bytes: -1}, what: address, url: address, cred: c.cred, to: to, optional: optional,
		hint:      " A token goes into the block's argument token, as a sensitive variable.",
		validator: c.validators[name], keep: func(v string) error { c.validators[name] = v; return c.save() }}
	err := c.f.get(ctx, t)
	if err == nil {
		c.files[name] = true
	}
	return err
}

// begin goes on with what is there in part, or with the copy that is to be
// replaced, whose files need not come again where the server says that they are
// the same.
func (c *copying) begin(folder string) error {
	if _, err := os.Stat(filepath.Join(c.part, stateName)); err != nil {
		if err := link(folder, c.part); err != nil {
			return onDisk(c.part, err)
		}
	}
	raw, err := os.ReadFile(filepath.Join(c.part, stateName))
	if err == nil {
		err = json.Unmarshal(raw, &c.validators)
	}
	if err != nil || c.validators == nil {
		c.validators = map[string]string{} // everything comes again
	}
	return nil
}

func (c *copying) save() error {
	raw, err := json.Marshal(c.validators)
	if err != nil {
		return fmt.Errorf("writing down what a server said: %w", err)
	}
	return small(filepath.Join(c.part, stateName), raw)
}

// tidy removes what does not belong to the copy.
func (c *copying) tidy() error {
	return filepath.WalkDir(c.part, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(c.part, path)
		if err == nil && !c.files[filepath.ToSlash(rel)] {
			err = os.Remove(path)
		}
		return err
	})
}

// link makes the files of a folder those of another too, as far as that works: it
// saves fetching them again. They are replaced, never written to.
func link(from, to string) error {
	return filepath.WalkDir(from, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		there := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(there), 0o777); err != nil {
			return err
		}
		_ = os.Link(path, there) // no links there: it comes again
		return nil
	})
}
