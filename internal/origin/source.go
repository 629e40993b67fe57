package origin

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Kind is what a source is to be read as.
type Kind int

// The kinds of sources.
const (
	Model Kind = iota
	Adapter
	Text
)

func (k Kind) String() string { return [...]string{"model", "adapter", "text"}[k] }

// marker is the file that a folder of the kind has.
func (k Kind) marker() string {
	if k == Adapter {
		return "adapter_config.json"
	}
	return "config.json"
}

// Source is a source as a pipeline names it.
type Source struct {
	Kind Kind
	// Address is what stands in the pipeline, Revision the argument beside it.
	Address, Revision string
	// Commit is what the lock file says of it, "" without an entry.
	Commit string
	// AnyName is set where the text's format is given, so that the name of its file
	// need not say it.
	AnyName bool
}

// Remote reports whether an address is that of something elsewhere, well formed
// or not.
func Remote(address string) bool { return strings.Contains(address, "://") }

// Problem is a mistake in what a pipeline says of a source.
type Problem struct {
	// Argument it is about.
	Argument string
	// Summary is a short sentence without a full stop, Detail says what was
	// expected.
	Summary, Detail string
}

func (p *Problem) Error() string { return p.Summary + ": " + p.Detail }

const cannot = "Source cannot be fetched"

func problem(summary, format string, a ...any) *Problem {
	return &Problem{"source", summary, fmt.Sprintf(format, a...)}
}

var (
	hubName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*/[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	// As the distribution specification of OCI has them.
	repository = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tag        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digest     = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// IsDigest reports whether a commit is the digest of a manifest.
func IsDigest(commit string) bool { return digest.MatchString(commit) }

// Check says what is wrong with an address, nil if nothing is: what passes may be
// looked for, and fetched.
func (s Source) Check() *Problem {
	scheme, rest, _ := strings.Cut(s.Address, "://")
	if scheme != "hf" && s.Revision != "" {
		return &Problem{"revision", "Nothing to take a revision of", fmt.Sprintf("%s is a fixed address; a revision is that of a source on a hub, such as hf://owner/name. Leave the argument out.", s.Address)}
	}
	switch scheme {
	case "hf":
		return s.checkHub(rest)
	case "https", "http":
		return s.checkFile()
	case "oci":
		return s.checkArtifact()
	}
	return problem(cannot, "%s: expected a path on this machine, https://…%s.", s.Address, map[bool]string{false: ", hf://owner/name or oci://registry/name:tag"}[s.Kind == Text])
}

func (s Source) checkHub(name string) *Problem {
	switch {
	case s.Kind == Text:
		return problem(cannot, "%s: a text is one file. Name its address, such as https://huggingface.co/datasets/owner/name/resolve/main/test.parquet.", s.Address)
	case !hubName.MatchString(name) || strings.Contains(name, ".."):
		return problem("Not a hub address", "hf://%s: expected hf://owner/name.", name)
	case s.Revision != "" && !local(s.Revision):
		return &Problem{"revision", "Not a revision", fmt.Sprintf("%q: expected a commit, a tag or a branch.", s.Revision)}
	case s.Commit != "" && (!local(s.Commit) || strings.Contains(s.Commit, "/")):
		return problem("Lock entry cannot be read", "%q is no commit. compressc lock -upgrade writes the entry again.", s.Commit)
	}
	return nil
}

func (s Source) checkFile() *Problem {
	u, err := url.Parse(s.Address)
	switch {
	case err != nil || u.Hostname() == "":
		return problem("Not an address", "%s: expected https://host/path/file.", s.Address)
	case u.User != nil:
		return problem("Credential in an address", "The address of a source is written into the lock file and into records. Give the address without a name and password, and a token to the argument token, as a sensitive variable.")
	case u.Scheme == "http" && !Loopback(u.Host):
		return problem(cannot, "%s: over http anybody on the way can change the bytes. Use https://; http:// is for this machine alone.", s.Address)
	}
	name := FileName(s.Address)
	if !local(name) || strings.Contains(name, "/") {
		return problem(cannot, "%s: expected the address of a file, such as https://host/path/%s.", s.Address, s.example())
	}
	endings := map[Kind][]string{Model: {".safetensors", ".gguf"}, Adapter: {"adapter_model.safetensors", ".gguf"}, Text: {".txt", ".jsonl", ".ndjson", ".parquet"}}[s.Kind]
	if s.Kind == Text && s.AnyName || slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(name, e) }) {
		return nil
	}
	hint := map[Kind]string{Adapter: " Of a PEFT adapter name the file of its weights; adapter_config.json is taken from beside it.", Text: " Or say with format what the file holds."}[s.Kind]
	return problem(cannot, "%s: expected a file whose name ends in %s or %s.%s", s.Address, strings.Join(endings[:len(endings)-1], ", "), endings[len(endings)-1], hint)
}

func (s Source) example() string {
	return map[Kind]string{Model: "model.gguf", Adapter: "adapter_model.safetensors", Text: "test.txt"}[s.Kind]
}

func (s Source) checkArtifact() *Problem {
	a, err := s.Artifact()
	switch {
	case s.Kind == Text:
		return problem(cannot, "%s: a text is one file. Name a path or an https:// address.", s.Address)
	case err != nil:
		return problem("Not an artifact's address", "%s: %s. Expected oci://registry/name:tag or oci://registry/name@sha256:….", s.Address, err)
	case s.Commit != "" && !IsDigest(s.Commit):
		return problem("Lock entry cannot be read", "%q is no digest of a manifest. compressc lock -upgrade writes the entry again.", s.Commit)
	case s.Commit != "" && a.Digest != "" && s.Commit != a.Digest:
		return problem("Lock entry cannot be read", "The entry of %s says %s. compressc lock -upgrade writes it again.", s.Address, s.Commit)
	}
	return nil
}

// Artifact is the address of an artifact, taken apart.
type Artifact struct {
	Registry, Repository string
	// Tag or Digest is set, or both.
	Tag, Digest string
}

// Artifact takes the address of an oci:// source apart.
func (s Source) Artifact() (a Artifact, err error) {
	rest := strings.TrimPrefix(s.Address, "oci://")
	var ok bool
	if a.Registry, rest, ok = strings.Cut(rest, "/"); !ok || a.Registry == "" {
		return a, fmt.Errorf("there is no registry and name in it")
	}
	if u, err := url.Parse("https://" + a.Registry); err != nil || u.Host != a.Registry {
		return a, fmt.Errorf("%q is no registry's host", a.Registry)
	}
	rest, a.Digest, _ = strings.Cut(rest, "@")
	a.Repository, a.Tag, _ = strings.Cut(rest, ":")
	switch {
	case !repository.MatchString(a.Repository):
		return a, fmt.Errorf("%q is no name of a repository (lower case letters, digits, and . _ - / between them)", a.Repository)
	case a.Tag != "" && !tag.MatchString(a.Tag):
		return a, fmt.Errorf("%q is no tag", a.Tag)
	case a.Digest != "" && !digest.MatchString(a.Digest):
		return a, fmt.Errorf("%q is no digest", a.Digest)
	case a.Tag == "" && a.Digest == "":
		return a, fmt.Errorf("there is neither tag nor digest in it")
	}
	return a, nil
}

// FileName is the name of the file that an https:// address names.
func FileName(address string) string {
	u, err := url.Parse(address)
	if err != nil || strings.HasSuffix(u.Path, "/") || u.Path == "" {
		return ""
	}
	// An escaped slash is part of the name, which is refused for it.
	name, err := url.PathUnescape(path.Base(u.EscapedPath()))
	if err != nil {
		return ""
	}
	return name
}

// Loopback reports whether a host, with or without a port, is this machine, to
// which nobody can listen on the way.
func Loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Inside reports whether a name that a server gave, with slashes, stays in the
// folder that it is relative to, on every system.
func Inside(name string) bool { return local(name) }

func local(name string) bool {
	return name != "" && !strings.ContainsAny(name, "\\:\x00") && filepath.IsLocal(filepath.FromSlash(name)) && path.Clean(name) == name && name != "."
}

// key is the name of the folder of an address's copy.
func key(address string) string {
	sum := sha256.Sum256([]byte(address))
	return hex.EncodeToString(sum[:])
}
