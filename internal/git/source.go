package git

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Source is a folder of a repository as a text names it:
// git::https://host/organisation/repository.git//folder?ref=v1.2.
type Source struct {
	// URL is the repository's, as git takes it.
	URL string
	// Folder is the one in the repository, with slashes, "." for its root.
	Folder string
	// Ref is a branch, a tag or a commit, "" for the repository's own choice.
	Ref string
}

// Forced is what a source from git begins with.
const Forced = "git::"

// schemes are the ways to a repository. Others that git knows run commands
// (ext) or have no host to speak of.
var schemes = []string{"https", "http", "ssh", "git", "file"}

// ParseSource reads a source that begins with git::. The error says what to
// write instead.
func ParseSource(text string) (Source, error) {
	rest, ok := strings.CutPrefix(text, Forced)
	if !ok {
		return Source{}, fmt.Errorf("a source from git begins with %s", Forced)
	}
	if ssh, ok := scp(rest); ok {
		return Source{}, fmt.Errorf("write the address as a URL: %q", ssh)
	}
	scheme, after, ok := strings.Cut(rest, "://")
	if !ok || !slices.Contains(schemes, scheme) {
		return Source{}, fmt.Errorf("behind %s comes a URL that begins with https://, ssh:// or file://, such as %shttps://example.com/recipes.git//folder?ref=v1.2", Forced, Forced)
	}
	after, query, asked := strings.Cut(after, "?")
	if strings.ContainsAny(rest, "# \t\r\n") {
		return Source{}, fmt.Errorf("there is no # and no space in it; a branch, tag or commit is named by ?ref=")
	}
	s := Source{Folder: "."}
	// The folder begins at the two slashes behind the host; of file:// the host
	// is empty.
	at := strings.Index(after, "/")
	if at < 0 {
		return Source{}, fmt.Errorf("it names a host and no repository; expected %s%s://%s/repository.git", Forced, scheme, after)
	}
	repository := after
	if i := strings.Index(after[at+1:], "//"); i >= 0 {
		i += at + 1
		repository, s.Folder = after[:i], strings.Trim(after[i+2:], "/")
		if s.Folder == "" {
			s.Folder = "."
		}
	}
	if c := path.Clean(s.Folder); c != s.Folder || c == ".." || strings.HasPrefix(c, "../") || strings.Contains(c, `\`) {
		return Source{}, fmt.Errorf("the folder %q behind // must be one in the repository, and its path has no . or .. in it", s.Folder)
	}
	s.URL = scheme + "://" + repository
	u, err := url.Parse(s.URL)
	if err != nil {
		return Source{}, fmt.Errorf("%q is no URL: %w", s.URL, err)
	}
	switch _, secret := u.User.Password(); {
	case secret, u.User != nil && (scheme == "https" || scheme == "http"):
		return Source{}, fmt.Errorf("a name or password in it would be on record in every lock file; leave it out and let git's credential helper answer")
	case scheme == "file" && u.Host != "":
		return Source{}, fmt.Errorf("a file URL has three slashes and a path: file:///folder/repository.git")
	case scheme != "file" && (u.Host == "" || strings.HasPrefix(u.Host, "-")):
		return Source{}, fmt.Errorf("it names no host; expected %s%s://host/repository.git", Forced, scheme)
	case strings.Trim(u.Path, "/") == "":
		return Source{}, fmt.Errorf("it names a host and no repository; expected %s%s://%s/repository.git", Forced, scheme, u.Host)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return Source{}, fmt.Errorf("what follows ? cannot be read: %w", err)
	}
	for name, list := range values {
		if name != "ref" || len(list) != 1 {
			return Source{}, fmt.Errorf("behind ? stands one ref and nothing else: ?ref=v1.2")
		}
	}
	s.Ref = values.Get("ref")
	if asked && !validRef(s.Ref) {
		return Source{}, fmt.Errorf("?ref= names a branch, a tag or a commit, and not %q", s.Ref)
	}
	return s, nil
}

// validRef keeps out what git would take for an option, a range or a refspec.
func validRef(ref string) bool {
	return ref != "" && !strings.HasPrefix(ref, "-") && !strings.Contains(ref, "..") && !strings.ContainsAny(ref, " \t\r\n\x00\x7f~^:?*[\\@{")
}

// scp turns git@host:path into a URL.
func scp(s string) (string, bool) {
	if strings.Contains(s, "://") {
		return "", false
	}
	host, rest, ok := strings.Cut(s, ":")
	if !ok || !strings.Contains(host, "@") || strings.Contains(host, "/") {
		return "", false
	}
	return Forced + "ssh://" + host + "/" + strings.TrimPrefix(rest, "/"), true
}

// hosts serve git repositories under HOST/OWNER/NAME.
var hosts = []string{"github.com", "gitlab.com", "bitbucket.org"}

// Suggest spells a source that was meant to come from git, in a form that
// Terraform understands without git::, the way ParseSource reads it; "" where
// it does not look like one.
func Suggest(text string) string {
	if s, ok := scp(text); ok {
		return checked(s)
	}
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		before, _, _ := strings.Cut(rest, "?")
		if strings.HasSuffix(before, ".git") || strings.Contains(before, ".git//") || scheme == "ssh" || scheme == "git" || isHost(before) {
			return checked(Forced + text)
		}
		return ""
	}
	if !isHost(text) {
		return ""
	}
	before, query, asked := strings.Cut(text, "?")
	parts := strings.SplitN(before, "/", 4)
	if len(parts) < 3 || parts[2] == "" {
		return ""
	}
	s := Forced + "https://" + strings.Join(parts[:2], "/") + "/" + strings.TrimSuffix(parts[2], ".git") + ".git"
	if len(parts) == 4 {
		s += "//" + strings.TrimLeft(parts[3], "/")
	}
	if asked {
		s += "?" + query
	}
	return checked(s)
}

func isHost(s string) bool {
	host, _, ok := strings.Cut(s, "/")
	return ok && slices.Contains(hosts, host)
}

// checked is s if it is a source.
func checked(s string) string {
	if _, err := ParseSource(s); err != nil {
		return ""
	}
	return s
}
