package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2/maybe"

	"github.com/compressc/compressc/internal/origin"
)

// File is a file whose bytes are about to come.
type File struct {
	// Source is the address that it is part of, Name its name there.
	Source, Name string
	// Bytes of it in all, -1 where the server does not say, and those that are here
	// from before.
	Bytes, Have int64
}

// Fetcher fetches sources. It may be used by many goroutines.
type Fetcher struct {
	Places origin.Places
	// Hub is where the hub is, "" for HuggingFace. HubToken is what it is presented
	// with where a block has no token, which HF_TOKEN holds.
	Hub, HubToken string
	// Offline leaves the hub alone.
	Offline bool
	// Say, where set, is told of every file that is fetched.
	Say func(File)
	// Moving, where set, is told of the bytes of a file as they come, many times a
	// second.
	Moving func(File)
	// Client, where set, is used in place of one that trusts what the system does.
	Client *http.Client
	// Wait passes the time before another attempt, the first being 1; nil waits
	// some seconds.
	Wait func(ctx context.Context, attempt int) error
	// Stall is how long a server may say nothing; 0 takes a minute.
	Stall time.Duration
}

// HuggingFace is the hub's address.
const HuggingFace = "https://huggingface.co"

// New returns a fetcher with the settings that the Hugging Face tools read from
// the environment.
func New(places origin.Places) *Fetcher {
	offline, _ := strconv.ParseBool(os.Getenv("HF_HUB_OFFLINE"))
	return &Fetcher{Places: places, Hub: os.Getenv("HF_ENDPOINT"), HubToken: os.Getenv("HF_TOKEN"), Offline: offline, Client: newClient()}
}

// Fetch makes the copy of a source that has no problem, in place of one that is
// there. Where the source has a commit, it is that commit's. The token is what
// the source's block gives, or "".
func (f *Fetcher) Fetch(ctx context.Context, s origin.Source, token string) error {
	if wrong := s.Check(); wrong != nil {
		return wrong
	}
	done, err := f.alone(ctx, s)
	if err != nil {
		return err
	}
	defer done()
	switch {
	case strings.HasPrefix(s.Address, "hf://"):
		return f.fetchHub(ctx, s, token)
	case strings.HasPrefix(s.Address, "oci://"):
		return f.fetchArtifact(ctx, s)
	}
	return f.fetchFile(ctx, s, token)
}

// alone waits until no other process fetches the same source.
func (f *Fetcher) alone(ctx context.Context, s origin.Source) (func(), error) {
	dir := filepath.Join(f.Places.Dir, "locks")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, onDisk(dir, err)
	}
	l := flock.New(filepath.Join(dir, filepath.Base(f.Places.Folder(s, ""))))
	if ok, err := l.TryLockContext(ctx, 200*time.Millisecond); err != nil || !ok {
		return nil, failure(err, "%s: waiting for another process that fetches it: %v.", s.Address, err)
	}
	return func() { _ = l.Close() }, nil
}

func (f *Fetcher) hub() string { return strings.TrimSuffix(cmp.Or(f.Hub, HuggingFace), "/") }

func (f *Fetcher) client() *http.Client {
	if f.Client != nil {
		return f.Client
	}
	return newClient()
}

// moving returns what counts the bytes of a file on their way.
func (f *Fetcher) moving(file File) func(n int) {
	return func(n int) {
		if file.Have += int64(n); f.Moving != nil {
			f.Moving(file)
		}
	}
}

func (f *Fetcher) say(file File) {
	if f.Say != nil {
		f.Say(file)
	}
}

func (f *Fetcher) wait(ctx context.Context, attempt int) error {
	if f.Wait != nil {
		return f.Wait(ctx, attempt)
	}
	t := time.NewTimer(time.Duration(attempt*attempt) * time.Second)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// publish gives a whole folder the name under which it is looked for.
func publish(part, folder string) error {
	old := part + ".old"
	err := errors.Join(os.RemoveAll(old), rename(folder, old))
	if err == nil {
		err = os.Rename(part, folder)
	}
	if err != nil {
		return onDisk(folder, fmt.Errorf("putting the copy into its place: %w", err))
	}
	_ = os.RemoveAll(old) // what stays is removed by the next cache gc
	return nil
}

// rename renames what may not be there.
func rename(from, to string) error {
	if err := os.Rename(from, to); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// small writes a small file in one step.
func small(path string, data []byte) error {
	if err := maybe.WriteFile(path, data, 0o644); err != nil {
		return onDisk(path, err)
	}
	return nil
}
