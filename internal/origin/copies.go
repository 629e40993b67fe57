package origin

import (
	"regexp"
	"strings"
	"time"

	"github.com/compressc/compressc/internal/fetched"
)

// resumeTime is how long what was downloaded in part is kept, so that it is gone
// on with.
const resumeTime = 7 * 24 * time.Hour

var folderName = regexp.MustCompile(`^[0-9a-f]{64}(\.old)?$`)

// Copies lists what lies in the folder of Places, sorted by name; the name of what
// is not whole begins with Unfinished. One that is not there is empty.
func Copies(dir string) ([]fetched.Folder, error) {
	return fetched.List(dir, func(name string) bool { return folderName.MatchString(strings.TrimPrefix(name, Unfinished)) })
}

// Trim removes copies that no pipeline has used since before, and what was
// downloaded in part and left; with dry it only says which they are. A pipeline
// that needs one of them again says that compressc lock fetches it.
func Trim(dir string, before time.Time, dry bool) ([]fetched.Folder, error) {
	list, err := Copies(dir)
	if err != nil {
		return nil, err
	}
	return fetched.Trim(dir, list, func(c fetched.Folder) bool {
		if strings.HasPrefix(c.Name, Unfinished) {
			return time.Since(c.Used) > resumeTime // a younger one may be under way
		}
		return c.Used.Before(before)
	}, dry)
}
