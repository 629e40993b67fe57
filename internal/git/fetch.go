package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// commitName is a commit in full; abbreviated one that may be cut short.
var (
	commitName  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	abbreviated = regexp.MustCompile(`^[0-9a-f]{4,40}$`)
)

// FetchPrefix begins the names of what Fetch leaves behind in its folder when it
// is killed.
const FetchPrefix = ".fetch-"

// IsCommit reports whether a revision is a commit's name in full, so that it
// always means the same.
func IsCommit(revision string) bool { return commitName.MatchString(revision) }

// attributes keep a repository's own from changing what is written: a file has
// the bytes that its commit has, with every version of git and on every system.
const attributes = "* -text -ident -filter -export-ignore -export-subst\n"

// Fetch writes the files of a revision of the repository at url into
// folder/COMMIT and returns the commit. Of the history only that commit is
// fetched where the server allows it. The folder appears whole or not at all, and
// replaces one that is there, whatever became of that; any number of processes
// may do so at once.
func Fetch(url, revision, folder string) (commit string, err error) {
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(folder, FetchPrefix)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	repository, tree := filepath.Join(work, "repository"), filepath.Join(work, "tree")
	for _, dir := range []string{repository, tree} {
		if err := os.Mkdir(dir, 0o777); err != nil {
			return "", err
		}
	}
	// An empty template has no hooks.
	if _, err := Run(repository, "init", "--quiet", "--bare", "--template="); err != nil {
		return "", err
	}
	info := filepath.Join(repository, "info")
	if err := os.MkdirAll(info, 0o777); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(info, "attributes"), []byte(attributes), 0o666); err != nil {
		return "", err
	}
	want := revision
	if want == "" {
		want = "HEAD"
	}
	_, err = Run(repository, "fetch", "--quiet", "--no-tags", "--depth=1", "--", url, want)
	if err == nil {
		commit = Commit(repository, "FETCH_HEAD")
	} else if abbreviated.MatchString(want) {
		// Some servers give commits only as part of a branch, and none knows
		// abbreviations.
		if _, all := Run(repository, "fetch", "--quiet", "--no-tags", "--", url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"); all == nil {
			commit = Commit(repository, want)
		}
	}
	switch {
	case commit == "" && err != nil:
		return "", fmt.Errorf("%s: %w", url, err)
	case commit == "":
		return "", fmt.Errorf("%s: %s is no commit", url, want)
	case IsCommit(revision) && commit != revision:
		return "", fmt.Errorf("%s: commit %s was asked for and %s given", url, revision, commit)
	}
	if err := Checkout(repository, commit, tree); err != nil {
		return "", fmt.Errorf("%s: commit %s: %w", url, commit, err)
	}
	to := filepath.Join(folder, commit)
	for i := range 3 { // another process may put its own there between the two
		if err = os.Rename(to, filepath.Join(work, "old"+strconv.Itoa(i))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = os.Rename(tree, to); err == nil {
			return commit, nil
		}
	}
	return "", fmt.Errorf("keeping commit %s: %w", commit, err)
}
