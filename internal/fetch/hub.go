package fetch

import (
	"context"
	"crypto/sha1" // names blobs in git
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compressc/compressc/internal/origin"
)

// hubRepository is what the hub says of a revision.
type hubRepository struct {
	SHA      string    `json:"sha"`
	Siblings []hubFile `json:"siblings"`
}

// hubFile is a file of a revision: a blob in git, or one of git's large files,
// which is known by its SHA-256.
type hubFile struct {
	Name   string `json:"rfilename"`
	Size   int64  `json:"size"`
	BlobID string `json:"blobId"`
	LFS    *struct {
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"lfs"`
}

// maxDocument bounds what a hub says of a revision: the list of a repository's
// files.
const maxDocument = 64 << 20

var (
	hubCommit = regexp.MustCompile(`^[0-9a-f]{40}$`)
	hubBlob   = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
)

func (f *Fetcher) fetchHub(ctx context.Context, s origin.Source, token string) error {
	h := &hubCopy{f: f, s: s, cred: credential{token, "the block"}, name: strings.TrimPrefix(s.Address, "hf://")}
	if token == "" {
		h.cred = credential{f.HubToken, "HF_TOKEN"}
	}
	if f.Offline {
		return failure(nil, "%s: HF_HUB_OFFLINE is set, so that the hub is not asked. Unset it, or put the files into the local Hugging Face cache by other means.", s.Address)
	}
	u, err := url.Parse(f.hub())
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !origin.Loopback(u.Host)) {
		return failure(err, "HF_ENDPOINT: expected an address such as %s, with https and without credentials.", HuggingFace)
	}
	if h.dir, err = f.Places.HubRepository(s); err != nil {
		return failure(err, "%s: %v. Set HF_HOME.", s.Address, err)
	}
	return h.fetch(ctx)
}

// hubCopy is a snapshot on its way.
type hubCopy struct {
	f    *Fetcher
	s    origin.Source
	cred credential
	// name of the repository, dir its folder in the local Hugging Face cache.
	name, dir string
	commit    string
}

func (h *hubCopy) fetch(ctx context.Context) error {
	revision := origin.HubRevision(h.s)
	if h.s.Commit != "" {
		revision = h.s.Commit
	}
	repo, err := h.look(ctx, revision)
	if err != nil {
		return err
	}
	switch {
	case !hubCommit.MatchString(repo.SHA):
		return failure(nil, "%s: %s did not say which commit %s is. Check HF_ENDPOINT.", h.s.Address, h.f.hub(), revision)
	case h.s.Commit != "" && repo.SHA != h.s.Commit:
		return failure(nil, "%s: commit %s was asked for, and %s was given.", h.s.Address, h.s.Commit, repo.SHA)
	}
	h.commit = repo.SHA
	files := map[string]hubFile{}
	for _, file := range repo.Siblings {
		files[file.Name] = file
	}
	few, weights, marker, err := h.wanted(files)
	if err != nil {
		return err
	}
	for _, name := range append(few, marker) {
		if err := h.blob(ctx, files[name]); err != nil {
			return err
		}
	}
	if slices.Contains(few, origin.IndexName) {
		if weights, err = h.parts(files[origin.IndexName], files); err != nil {
			return err
		}
	}
	for _, name := range weights {
		if err := h.blob(ctx, files[name]); err != nil {
			return err
		}
	}
	// The marker comes last: by it a snapshot is recognised.
	for _, name := range append(slices.Concat(few, weights), marker) {
		if err := h.place(files[name]); err != nil {
			return err
		}
	}
	if revision == repo.SHA {
		return nil
	}
	ref := filepath.Join(h.dir, "refs", filepath.FromSlash(revision))
	if err := os.MkdirAll(filepath.Dir(ref), 0o777); err != nil {
		return onDisk(ref, err)
	}
	return small(ref, []byte(repo.SHA))
}

// wanted says which files a reader needs; an index, which is among the small
// ones, says of others.
func (h *hubCopy) wanted(files map[string]hubFile) (small, weights []string, marker string, err error) {
	has := func(name string) bool { _, ok := files[name]; return ok }
	lacks := func(format string, a ...any) error {
		return failure(nil, "%s: the repository has no %s.%s", h.s.Address, fmt.Sprintf(format, a...), h.instead(files))
	}
	marker, file := "config.json", "model.safetensors"
	if h.s.Kind == origin.Adapter {
		marker, file = "adapter_config.json", "adapter_model.safetensors"
	}
	if !has(marker) {
		return nil, nil, "", lacks("%s", marker)
	}
	if h.s.Kind == origin.Model {
		for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "generation_config.json"} {
			if has(name) {
				small = append(small, name)
			}
		}
		if !has(file) && has(origin.IndexName) {
			return append(small, origin.IndexName), nil, marker, nil
		}
	}
	if !has(file) {
		return nil, nil, "", lacks("%s", file)
	}
	return small, []string{file}, marker, nil
}

// instead is what may be meant by a repository that lacks a file.
func (h *hubCopy) instead(files map[string]hubFile) string {
	for _, name := range []string{"adapter_config.json", "config.json"} {
		if _, ok := files[name]; ok && name != map[origin.Kind]string{origin.Model: "config.json", origin.Adapter: "adapter_config.json"}[h.s.Kind] {
			return fmt.Sprintf(" It has %s: it is %s.", name, map[string]string{"config.json": "a model, which a model block names", "adapter_config.json": "an adapter, which an adapter block names"}[name])
		}
	}
	var gguf []string
	for name := range files {
		if strings.HasSuffix(name, ".gguf") && origin.Inside(name) {
			gguf = append(gguf, name)
		}
	}
	if slices.Sort(gguf); len(gguf) > 0 {
		return fmt.Sprintf(" Of a repository of GGUF files name the file: %s/%s/resolve/%s/%s.", h.f.hub(), h.name, origin.HubRevision(h.s), gguf[0])
	}
	return " Weights are read from safetensors; another form has to be converted first."
}

// parts are the files that an index lists.
func (h *hubCopy) parts(index hubFile, files map[string]hubFile) ([]string, error) {
	path := h.at(index)
	if length(path) < 0 { // on a system without links
		path = h.snapshot(index.Name)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, onDisk(path, err)
	}
	list, err := origin.Parts(raw)
	if err != nil {
		return nil, failure(err, "%s: %v.", h.s.Address, err)
	}
	for _, name := range list {
		if _, ok := files[name]; !ok {
			return nil, failure(nil, "%s: its %s names %s, and the repository has no such file.", h.s.Address, origin.IndexName, name)
		}
	}
	return list, nil
}

// look asks the hub what a revision is.
func (h *hubCopy) look(ctx context.Context, revision string) (*hubRepository, error) {
	address := h.f.hub() + "/api/models/" + h.name + "/revision/" + url.PathEscape(revision) + "?blobs=true"
	what := h.s.Address + " at " + revision
	for attempt := 1; ; attempt++ {
		repo, again, err := h.ask(ctx, what, address)
		if err == nil || !again || attempt >= attempts {
			return repo, err
		}
		if err := h.f.wait(ctx, attempt); err != nil {
			return nil, unanswered(what, err)
		}
	}
}

func (h *hubCopy) ask(ctx context.Context, what, address string) (repo *hubRepository, again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, false, failure(err, "%s is no address.", address)
	}
	h.cred.header(r.Header)
	r.Header.Set("User-Agent", userAgent)
	resp, err := h.f.client().Do(r)
	if err != nil {
		return nil, ctx.Err() == nil && !lasting(err), unanswered(h.f.hub(), err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500, h.refused(what, resp)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	if err != nil {
		return nil, ctx.Err() == nil, unanswered(h.f.hub(), err)
	}
	repo = &hubRepository{}
	if err := json.Unmarshal(raw, repo); err != nil {
		return nil, false, failure(err, "%s: %s gave an answer that is none of a hub (%v). Check HF_ENDPOINT.", what, h.f.hub(), err)
	}
	return repo, false, nil
}

// refused says what the hub means by a status: of a repository that it does not
// show to everybody it says 401, just as of one that is not there.
func (h *hubCopy) refused(what string, resp *http.Response) error {
	page := h.f.hub() + "/" + h.name
	switch code := resp.Header.Get("X-Error-Code"); {
	case code == "GatedRepo":
		return refused(what, resp.StatusCode, h.cred, " Its terms must be accepted first, at "+page+"; the token of whoever accepted them goes into HF_TOKEN or the block's argument token.")
	case code == "RevisionNotFound":
		return failure(nil, "%s: the repository has no such revision. Expected a commit, a tag or a branch of %s.", what, page)
	case code == "RepoNotFound" && h.cred.token != "":
		return failure(nil, "%s: the hub has no such repository, or none that the owner of the token of %s may read. Check the name and the token.", what, h.cred.name)
	case code == "RepoNotFound":
		return failure(nil, "%s: the hub has no such repository for everybody. Check the name; a private one wants a token in HF_TOKEN or the block's argument token.", what)
	}
	return refused(what, resp.StatusCode, h.cred, " A token goes into HF_TOKEN or the block's argument token.")
}

// id is the name of a file's blob. Where the hub does not say its digest, it is
// that of what the file is called, which the hub's own tools never look for.
func (h *hubCopy) id(file hubFile) (name string, digest func(string) error) {
	sum, size := file.BlobID, file.Size
	if file.LFS != nil {
		sum, size = file.LFS.SHA256, file.LFS.Size
	}
	if !hubBlob.MatchString(sum) {
		key := sha256.Sum256([]byte(h.commit + "\n" + file.Name))
		return "compressc-" + hex.EncodeToString(key[:]), nil
	}
	return sum, func(path string) error {
		got, err := hubDigest(path, size, len(sum))
		if err == nil && got != sum {
			err = failure(nil, "%s: the bytes of %s that came are not those which the hub announced: their digest is %s, and should be %s. Try again; if that does not help, something on the way changes them.", h.s.Address, file.Name, got, sum)
		}
		return err
	}
}

func (h *hubCopy) at(file hubFile) string {
	name, _ := h.id(file)
	return filepath.Join(h.dir, "blobs", name)
}

// blob fetches the bytes of a file, unless they are here.
func (h *hubCopy) blob(ctx context.Context, file hubFile) error {
	if !origin.Inside(file.Name) {
		return failure(nil, "%s: the hub names a file %q, which leads out of its folder.", h.s.Address, file.Name)
	}
	to := h.at(file)
	if length(to) >= 0 || length(h.snapshot(file.Name)) >= 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return onDisk(to, err)
	}
	escaped := (&url.URL{Path: file.Name}).EscapedPath()
	t := &transfer{file: File{Source: h.s.Address, Name: file.Name, Bytes: -1}, what: h.s.Address + "/" + file.Name, url: h.f.hub() + "/" + h.name + "/resolve/" + h.commit + "/" + escaped,
		cred: h.cred, hint: " A token goes into HF_TOKEN or the block's argument token; the terms of a gated repository must be accepted first, at " + h.f.hub() + "/" + h.name + ".", to: to}
	if _, t.digest = h.id(file); t.digest != nil {
		if t.file.Bytes = file.Size; file.LFS != nil {
			t.file.Bytes = file.LFS.Size
		}
	}
	return h.f.get(ctx, t)
}

func (h *hubCopy) snapshot(name string) string {
	return filepath.Join(h.dir, "snapshots", h.commit, filepath.FromSlash(name))
}

// place puts a file into the snapshot: a link to its blob, or, on a system without
// links, the file itself, as the hub's own tools do.
func (h *hubCopy) place(file hubFile) error {
	to := h.snapshot(file.Name)
	if length(to) >= 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return onDisk(to, err)
	}
	blob := h.at(file)
	target, err := filepath.Rel(filepath.Dir(to), blob)
	if err != nil {
		return onDisk(to, err)
	}
	_ = os.Remove(to) // a link to a blob that is gone
	if err := os.Symlink(target, to); err == nil || length(to) >= 0 {
		return nil
	}
	if err := os.Rename(blob, to); err != nil {
		return onDisk(to, err)
	}
	return nil
}

// hubDigest is the digest of a file, SHA-256 or, of 40 digits, that of git.
func hubDigest(path string, size int64, digits int) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", onDisk(path, err)
	}
	defer f.Close()
	var h hash.Hash
	if digits == 2*sha256.Size {
		h = sha256.New()
	} else {
		h = sha1.New()
		fmt.Fprintf(h, "blob %d\x00", size)
	}
	if _, err := io.Copy(h, f); err != nil {
		return "", failure(err, "Reading %s failed: %v.", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
