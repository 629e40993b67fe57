// Package git runs the git command: it finds commits, writes the files of a
// commit into a folder, and fetches a commit of a repository that is elsewhere.
//
// Repositories that are fetched from are not trusted: their settings, hooks and
// attributes have no say in what is written, and no file that is written leads
// out of its folder.
package git

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// Run runs git in a folder and returns what it prints. What git says of its own
// accord becomes the error.
func Run(dir string, args ...string) ([]byte, error) {
	cmd := command(dir, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var exited *exec.ExitError
	switch {
	case errors.As(err, &exited):
		return nil, fmt.Errorf("git %s: %s", args[0], strings.TrimSpace(errs.String()))
	case err != nil:
		return nil, fmt.Errorf("this needs the program git: %w", err)
	}
	return out, nil
}

// local are the variables that tie git to one repository. A hook is run with
// them, so that a check before a commit would look into, or write to, the
// repository that it is called from.
var local = []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
	"GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX", "GIT_QUARANTINE_PATH", "GIT_CONFIG", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"}

func command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); !slices.Contains(local, name) {
			cmd.Env = append(cmd.Env, e)
		}
	}
	// A question that nobody sees would be a program that hangs.
	cmd.Env = append(cmd.Env, "GIT_TERMINAL_PROMPT=0")
	return cmd
}

// Commit is the identity of a revision's commit, "" where there is no such
// revision in the repository that dir is part of.
func Commit(dir, revision string) string {
	out, err := Run(dir, "rev-parse", "--verify", "--quiet", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
