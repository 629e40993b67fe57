package git

import (
	"strings"
	"testing"
)

func TestParseSource(t *testing.T) {
	for _, c := range []struct {
		text string
		want Source
	}{
		{"git::https://example.com/org/repo.git", Source{"https://example.com/org/repo.git", ".", ""}},
		{"git::https://example.com/org/repo.git//a/b?ref=v1.2", Source{"https://example.com/org/repo.git", "a/b", "v1.2"}},
		{"git::https://example.com/org/repo.git//?ref=feature/x", Source{"https://example.com/org/repo.git", ".", "feature/x"}},
		{"git::https://example.com:8443/repo?ref=0123abc", Source{"https://example.com:8443/repo", ".", "0123abc"}},
		{"git::ssh://git@example.com/org/repo.git//a/", Source{"ssh://git@example.com/org/repo.git", "a", ""}},
		{"git::file:///srv/repo//a", Source{"file:///srv/repo", "a", ""}},
		{"git::https://example.com/r?ref=a%2Fb", Source{"https://example.com/r", ".", "a/b"}},
	} {
		got, err := ParseSource(c.text)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.text, got, err, c.want)
		}
	}
	for text, want := range map[string]string{
		"https://example.com/r":                    "begins with git::",
		"git::example.com/r":                       "comes a URL",
		"git::ext::sh -c true":                     "comes a URL",
		"git::ext://x/y":                           "comes a URL",
		"git::git@example.com:org/r.git":           `"git::ssh://git@example.com/org/r.git"`,
		"git::https://example.com":                 "no repository",
		"git::https://example.com/":                "no repository",
		"git::https:///r":                          "no host",
		"git::ssh://-oProxyCommand=x/r":            "no host",
		"git::file://srv/r":                        "three slashes",
		"git::https://token@example.com/r":         "credential helper",
		"git::ssh://git:x@example.com/r":           "credential helper",
		"git::https://example.com/r//../x":         "one in the repository",
		"git::https://example.com/r//a/../../x":    "one in the repository",
		"git::https://example.com/r//a//b":         "one in the repository",
		"git::https://example.com/r?ref=":          "a branch, a tag or a commit",
		"git::https://example.com/r?ref=--upload":  "a branch, a tag or a commit",
		"git::https://example.com/r?ref=a:b":       "a branch, a tag or a commit",
		"git::https://example.com/r?ref=a&ref=b":   "one ref",
		"git::https://example.com/r?sshkey=abc":    "one ref",
		"git::https://example.com/r?ref=%zz":       "cannot be read",
		"git::https://example.com/r#v1":            "no #",
		"git::https://exa mple.com/r":              "no space",
		"git::https://example.com/r.git\n--depth1": "no space",
	} {
		if s, err := ParseSource(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, want %q", text, s, err, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	for text, want := range map[string]string{
		"github.com/org/repo":                      "git::https://github.com/org/repo.git",
		"github.com/org/repo//a?ref=v1":            "git::https://github.com/org/repo.git//a?ref=v1",
		"gitlab.com/org/repo.git":                  "git::https://gitlab.com/org/repo.git",
		"git@github.com:org/repo.git//a?ref=v1":    "git::ssh://git@github.com/org/repo.git//a?ref=v1",
		"https://example.com/repo.git//a":          "git::https://example.com/repo.git//a",
		"https://github.com/org/repo":              "git::https://github.com/org/repo",
		"ssh://git@example.com/repo":               "git::ssh://git@example.com/repo",
		"https://example.com/repo.zip":             "",
		"org/name/provider":                        "",
		"recipe":                                   "",
		"github.com/org":                           "",
		"https://user:secret@example.com/repo.git": "",
	} {
		if got := Suggest(text); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// Whatever is taken for a source leads into a repository, and to nothing that
// git would take for an option.
func FuzzParseSource(f *testing.F) {
	for _, s := range []string{"git::https://example.com/org/repo.git//a/b?ref=v1.2", "git::ssh://git@example.com/r", "git::file:///r//a", "github.com/a/b//c?ref=d", "git@h:p", "a/b/c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if s := Suggest(text); s != "" {
			if _, err := ParseSource(s); err != nil {
				t.Errorf("%q is suggested for %q: %v", s, text, err)
			}
		}
		s, err := ParseSource(text)
		if err != nil {
			return
		}
		if strings.HasPrefix(s.URL, "-") || strings.HasPrefix(s.Ref, "-") || !strings.Contains(s.URL, "://") || strings.ContainsAny(s.URL+s.Ref, " \n\r\t") {
			t.Errorf("%q: %+v", text, s)
		}
		for part := range strings.SplitSeq(s.Folder, "/") {
			if part == ".." || part == "" || part == "." && s.Folder != "." {
				t.Errorf("%q: folder %q", text, s.Folder)
			}
		}
	})
}
