// Package modules finds the folders of modules that come from git.
//
// A checkout is the folder with all files of one commit, in the cache under the
// commit's name; modules of one repository share it. A pin is the entry of a
// lock file that says which commit a source means, and the digest of the
// checkout's text. Checking and running use pins and checkouts that are there,
// and never the network; only a Finder that may fetch changes either.
package modules

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/fetched"
	"github.com/compressc/compressc/internal/git"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/lang/lock"
)

// Fetching says what a Finder gets from repositories.
type Fetching int

// What may be fetched.
const (
	// Never uses what is there.
	Never Fetching = iota
	// Pinned fetches the commits of pins.
	Pinned
	// All fetches those and finds out what a source without a pin means.
	All
)

// Finder finds the modules of one pipeline. It is not safe for concurrent use.
type Finder struct {
	// Dir holds the checkouts. It need not exist.
	Dir string
	// Pins are those of the lock file, which may be nil.
	Pins *lock.File
	// Strict refuses a source without a pin even where it names a commit.
	Strict bool
	Fetch  Fetching
	// Upgrade lists the addresses of calls whose sources are resolved anew though
	// they have a pin; "all" means every call.
	Upgrade []string
	// Say, where set, is told of what is fetched.
	Say func(url, revision string)

	used     map[string]lock.Module
	upgraded map[string]bool
	addrs    []string
	digests  map[string]string
}

// Used are the pins of the sources that were found, those that were made on the
// way included, sorted by source.
func (f *Finder) Used() []lock.Module {
	var list []lock.Module
	for _, m := range f.used {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b lock.Module) int { return cmp.Compare(a.Source, b.Source) })
	return list
}

// Addrs are the addresses of the calls that were asked for, without the keys of
// the calls themselves, in the order of the text.
func (f *Finder) Addrs() []string { return slices.Clone(f.addrs) }

// Find finds the folder of a call's module; it is a lang.Options.Modules.
func (f *Finder) Find(call lang.ModuleCall) (at lang.ModuleFolder, ds diag.List) {
	addr := call.Addr
	if i := strings.LastIndex(addr, "["); i > 0 && strings.HasSuffix(addr, "]") {
		addr = addr[:i]
	}
	if !slices.Contains(f.addrs, addr) {
		f.addrs = append(f.addrs, addr)
	}
	pin, ok := f.pin(call, addr, &ds)
	if !ok {
		return at, ds
	}
	at.Checkout = filepath.Join(f.Dir, pin.Commit)
	at.Dir = filepath.Join(at.Checkout, filepath.FromSlash(call.Source.Folder))
	if info, err := os.Stat(at.Dir); err != nil || !info.IsDir() {
		ds.Errorf("source", "Module cannot be read", "Commit %.12s of %s has no folder %s.%s", pin.Commit, call.Source.URL, call.Source.Folder, f.near(at.Dir))
		return at, ds
	}
	if f.used == nil {
		f.used = map[string]lock.Module{}
	}
	f.used[call.Text] = pin
	fetched.Use(at.Checkout)
	return at, ds
}

// near suggests a folder beside one that is not there.
func (f *Finder) near(dir string) string {
	var names []string
	entries, _ := os.ReadDir(filepath.Dir(dir))
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return didyoumean.Hint(filepath.Base(dir), names)
}

// pin is what a source means, of which the checkout is there and as it was. The
// findings are about the argument source.
func (f *Finder) pin(call lang.ModuleCall, addr string, ds *diag.List) (lock.Module, bool) {
	upgrade := f.Fetch == All && !f.upgraded[call.Text] &&
		(slices.Contains(f.Upgrade, "all") || slices.Contains(f.Upgrade, addr) || slices.Contains(f.Upgrade, call.Addr))
	if m, ok := f.used[call.Text]; ok && !upgrade {
		return m, true
	}
	pin := lock.Module{Source: call.Text}
	switch known := f.Pins.Module(call.Text); {
	case known != nil && !upgrade:
		pin = *known
	case f.Fetch == All:
		return f.resolve(call, ds)
	case git.IsCommit(call.Source.Ref) && !f.Strict:
		pin.Commit = call.Source.Ref
	default:
		ds.Errorf("source", "Module is not locked", "%s has no entry for %s. compressc lock fetches it and writes the commit down; commit the file.", lock.Name, call.Text)
		return pin, false
	}
	digest, err := f.digest(pin.Commit)
	missing := errors.Is(err, fs.ErrNotExist)
	if f.Fetch != Never && (missing || err == nil && digest != pin.Digest && pin.Digest != "") {
		if !f.get(call, pin.Commit, ds) {
			return pin, false
		}
		digest, err = f.digest(pin.Commit)
	}
	switch {
	case missing && f.Fetch == Never:
		ds.Errorf("source", "Module is not fetched", "Commit %.12s of %s is not on this machine. compressc lock fetches it.", pin.Commit, call.Source.URL)
		return pin, false
	case err != nil:
		ds.Errorf("source", "Module cannot be read", "%s: %s. compressc lock fetches it again once that folder is gone.", call.Text, err)
		return pin, false
	case pin.Digest == "":
		pin.Digest = digest
	case pin.Digest != digest && f.Fetch == Never:
		ds.Errorf("source", "Module has changed", "Commit %.12s of %s, in %s, is not what %s says. compressc lock fetches it again.", pin.Commit, call.Source.URL, filepath.Join(f.Dir, pin.Commit), lock.Name)
		return pin, false
	case pin.Digest != digest:
		ds.Errorf("source", "Module has changed", "The files of commit %s of %s have the digest %.12s, and had %.12s when it was locked (%s). Find out who changed that entry; compressc lock -upgrade %s takes over what the source is now.", pin.Commit, call.Source.URL, digest, pin.Digest, lock.Name, addr)
		return pin, false
	}
	return pin, true
}

// resolve asks the repository what a source means now.
func (f *Finder) resolve(call lang.ModuleCall, ds *diag.List) (lock.Module, bool) {
	pin := lock.Module{Source: call.Text}
	f.say(call.Source.URL, call.Source.Ref)
	commit, err := git.Fetch(call.Source.URL, call.Source.Ref, f.Dir)
	if err != nil {
		f.failed(call, err, ds)
		return pin, false
	}
	pin.Commit = commit
	delete(f.digests, commit)
	if pin.Digest, err = f.digest(commit); err != nil {
		ds.Errorf("source", "Module cannot be read", "%s: %s.", call.Text, err)
		return pin, false
	}
	if f.upgraded == nil {
		f.upgraded = map[string]bool{}
	}
	f.upgraded[call.Text] = true
	return pin, true
}

// get fetches a commit in place of what is there under its name.
func (f *Finder) get(call lang.ModuleCall, commit string, ds *diag.List) bool {
	delete(f.digests, commit)
	f.say(call.Source.URL, commit)
	if _, err := git.Fetch(call.Source.URL, commit, f.Dir); err != nil {
		f.failed(call, err, ds)
		return false
	}
	return true
}

func (f *Finder) failed(call lang.ModuleCall, err error, ds *diag.List) {
	ds.Errorf("source", "Module cannot be fetched", "%s. Check the address and the ref; git fetch with both must work in a terminal, without asking for a password.", strings.TrimSuffix(err.Error(), "."))
}

func (f *Finder) say(url, revision string) {
	if f.Say != nil {
		f.Say(url, revision)
	}
}

// digest is Digest of a checkout, formed once.
func (f *Finder) digest(commit string) (string, error) {
	if d, ok := f.digests[commit]; ok {
		return d, nil
	}
	d, err := Digest(filepath.Join(f.Dir, commit))
	if err == nil {
		if f.digests == nil {
			f.digests = map[string]string{}
		}
		f.digests[commit] = d
	}
	return d, err
}

// Digest is the SHA-256 of the files in a folder, and in those below it, that
// are written in the language: in the order of their paths with slashes, for
// each the lengths of path and text in a line, then both. Where there is no
// folder the error is fs.ErrNotExist.
func Digest(dir string) (string, error) {
	type file struct{ path, name string }
	var files []file
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !lang.IsSourceFile(d.Name()) {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		files = append(files, file{path, filepath.ToSlash(rel)})
		return err
	})
	if err != nil {
		return "", err
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	h := sha256.New()
	for _, f := range files {
		text, err := os.ReadFile(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			text = nil // a link to what the commit does not hold
		} else if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%d %d\n%s%s", len(f.name), len(text), f.name, text)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
