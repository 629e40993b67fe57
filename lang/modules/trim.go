package modules

import (
	"strings"
	"time"

	"github.com/compressc/compressc/internal/fetched"
	"github.com/compressc/compressc/internal/git"
)

// fetchTime is longer than any fetch takes.
const fetchTime = 24 * time.Hour

// unfinished reports whether a fetch that is over for certain has left this
// behind.
func unfinished(c fetched.Folder, now time.Time) bool {
	return !git.IsCommit(c.Name) && now.Sub(c.Used) > fetchTime
}

// Checkouts lists what is in a Finder's folder, sorted by name: commits, and
// fetches that did not come to their end. One that is not there is empty.
func Checkouts(dir string) ([]fetched.Folder, error) {
	return fetched.List(dir, func(name string) bool { return git.IsCommit(name) || strings.HasPrefix(name, git.FetchPrefix) })
}

// Trim removes checkouts that no pipeline has used since before, and what
// fetches that did not come to their end have left; with dry it only says which
// they are. A pipeline that needs one of them again says so, and that
// compressc lock fetches it.
func Trim(dir string, before time.Time, dry bool) ([]fetched.Folder, error) {
	list, err := Checkouts(dir)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return fetched.Trim(dir, list, func(c fetched.Folder) bool { return c.Used.Before(before) || unfinished(c, now) }, dry)
}
