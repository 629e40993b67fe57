package fetch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/compressc/compressc/internal/origin"
)

// unpack is the annotation of a layer that is a packed folder.
const unpack = "io.deis.oras.content.unpack"

func (f *Fetcher) fetchArtifact(ctx context.Context, s origin.Source) error {
	a, err := s.Artifact()
	if err != nil {
		return failure(err, "%s: %v.", s.Address, err)
	}
	repo, err := f.repository(a)
	if err != nil {
		return failure(err, "%s: %v.", s.Address, err)
	}
	ref := cmp.Or(s.Commit, a.Digest, a.Tag)
	desc, raw, err := oras.FetchBytes(ctx, repo, ref, oras.DefaultFetchBytesOptions)
	if err != nil {
		return f.registryFailure(s.Address, err)
	}
	digest := desc.Digest.String()
	if !origin.IsDigest(digest) {
		return failure(nil, "%s: the registry names the manifest %s; expected a digest by SHA-256.", s.Address, digest)
	}
	files, err := layers(s.Address, desc.MediaType, raw)
	if err != nil {
		return err
	}
	folder := f.Places.Folder(s, digest)
	if _, err := os.Stat(folder); err != nil { // what a digest names never changes
		part := origin.Part(folder)
		c := &copying{part: part, files: map[string]bool{}}
		for _, l := range files {
			if err := f.layer(ctx, repo, s.Address, l, filepath.Join(part, filepath.FromSlash(name(l)))); err != nil {
				return err
			}
			c.files[name(l)] = true
		}
		if err := c.tidy(); err != nil {
			return onDisk(part, err)
		}
		if err := publish(part, folder); err != nil {
			return err
		}
	}
	if s.Commit != "" || a.Digest != "" {
		return nil
	}
	at := f.Places.Tag(s)
	if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
		return onDisk(at, err)
	}
	return small(at, []byte(digest))
}

// repository is a client of an artifact's repository, with the credentials that
// docker login and its like have stored.
func (f *Fetcher) repository(a origin.Artifact) (*remote.Repository, error) {
	repo, err := remote.NewRepository(a.Registry + "/" + a.Repository)
	if err != nil {
		return nil, err
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, fmt.Errorf("reading the registries' credentials from Docker's configuration: %w", err)
	}
	repo.PlainHTTP = origin.Loopback(a.Registry)
	repo.Client = &auth.Client{Client: f.client(), Cache: auth.NewCache(), Credential: credentials.Credential(store), Header: http.Header{"User-Agent": {userAgent}}}
	return repo, nil
}

// layers are those of a manifest that have a file's name, which stays in the
// folder.
func layers(address, mediaType string, raw []byte) ([]ocispec.Descriptor, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, failure(err, "%s: its manifest cannot be read: %v.", address, err)
	}
	if mediaType == ocispec.MediaTypeImageIndex || strings.HasSuffix(mediaType, "manifest.list.v2+json") {
		return nil, failure(nil, "%s: it is a list of several artifacts. Name one of them by its digest, oci://registry/name@sha256:….", address)
	}
	var list []ocispec.Descriptor
	seen := map[string]bool{}
	for _, l := range m.Layers {
		n := name(l)
		switch key := strings.ToLower(n); { // on some systems they are one file
		case n == "":
			continue
		case !origin.Inside(n):
			return nil, failure(nil, "%s: its manifest names a file %q, which leads out of its folder. Nothing of it was written.", address, n)
		case seen[key]:
			return nil, failure(nil, "%s: its manifest names the file %q twice.", address, n)
		case l.Annotations[unpack] == "true":
			return nil, failure(nil, "%s: its layer %q is a packed folder. Push the files themselves: oras push registry/name:tag config.json model.safetensors ….", address, n)
		case !origin.IsDigest(l.Digest.String()):
			return nil, failure(nil, "%s: its layer %q has the digest %q; expected one by SHA-256.", address, n, l.Digest)
		default:
			seen[key] = true
			list = append(list, l)
		}
	}
	if len(list) == 0 {
		return nil, failure(nil, "%s: none of its %d layers has a file's name (the annotation %s), so that it holds no model. oras push writes such artifacts.", address, len(m.Layers), ocispec.AnnotationTitle)
	}
	return list, nil
}

func name(l ocispec.Descriptor) string { return l.Annotations[ocispec.AnnotationTitle] }

// layer fetches the bytes of a layer, unless they are here.
func (f *Fetcher) layer(ctx context.Context, repo *remote.Repository, address string, l ocispec.Descriptor, to string) error {
	if length(to) == l.Size {
		return nil // it has that name once its bytes were right
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return onDisk(to, err)
	}
	partial, said := to+Incomplete, false
	for attempt := 0; ; {
		before := length(partial)
		more, err := f.blob(ctx, repo, address, l, partial, &said)
		if err == nil {
			break
		}
		if err := f.again(ctx, address, &attempt, length(partial) > before, more, err); err != nil {
			return err
		}
	}
	if err := os.Rename(partial, to); err != nil {
		return onDisk(to, err)
	}
	return nil
}

// blob brings what is missing of a layer, and checks the whole.
func (f *Fetcher) blob(ctx context.Context, repo *remote.Repository, address string, l ocispec.Descriptor, partial string, said *bool) (more bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := cmp.Or(f.Stall, usualStall)
	watch := time.AfterFunc(stall, func() { cancel(errStalled) })
	defer watch.Stop()
	body, err := repo.Blobs().Fetch(ctx, l)
	if err != nil {
		err = because(ctx, err)
		return !lasting(err) && !final(err), f.registryFailure(address, err)
	}
	defer body.Close()
	out, err := os.OpenFile(partial, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return false, onDisk(partial, err)
	}
	defer out.Close()
	h := sha256.New()
	have := resumed(out, h, body, l.Size)
	file := File{Source: address, Name: name(l), Bytes: l.Size, Have: have}
	if !*said {
		*said = true
		f.say(file)
	}
	in := &reader{from: io.LimitReader(body, l.Size-have+1), alive: func() { watch.Reset(stall) }, moved: f.moving(file)}
	n, err := io.Copy(io.MultiWriter(out, h), in)
	if in.err != nil {
		_ = out.Sync()
		return true, unanswered(address, because(ctx, in.err))
	}
	if err = errors.Join(err, out.Sync()); err != nil {
		return false, onDisk(partial, err)
	}
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); have+n < l.Size {
		return true, failure(nil, "%s: the registry sent %d bytes of %d of %s.", address, have+n, l.Size, name(l))
	} else if have+n > l.Size || got != l.Digest.String() {
		_ = out.Truncate(0)
		return have > 0, failure(nil, "%s: the bytes of %s that came are not those which its manifest announced: their digest is %s, and should be %s. Try again; if that does not help, something on the way changes them.", address, name(l), got, l.Digest)
	}
	return false, nil
}

// resumed goes on behind what is there of a layer, if the registry gives a part of
// it, and otherwise begins anew; it returns how much is there.
func resumed(out *os.File, h hash.Hash, body io.Reader, size int64) int64 {
	have := length(out.Name())
	if seeker, ok := body.(io.Seeker); ok && have > 0 && have <= size {
		if n, err := io.Copy(h, out); err == nil && n == have {
			if at, err := seeker.Seek(have, io.SeekStart); err == nil && at == have {
				return have
			}
		}
	}
	h.Reset()
	_ = out.Truncate(0)
	_, _ = out.Seek(0, io.SeekStart)
	return 0
}

// final reports whether a registry's answer will be the same again.
func final(err error) bool {
	var answer *errcode.ErrorResponse
	if errors.As(err, &answer) {
		return answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests
	}
	return errors.Is(err, errdef.ErrNotFound) || errors.Is(err, auth.ErrBasicCredentialNotFound)
}

// registryFailure says what a registry's answer means.
func (f *Fetcher) registryFailure(address string, err error) error {
	const hint = " Credentials are those of docker login (or oras login, podman login) for the registry."
	var answer *errcode.ErrorResponse
	switch {
	case errors.Is(err, errdef.ErrNotFound):
		return refused(address, http.StatusNotFound, credential{}, "")
	case errors.Is(err, auth.ErrBasicCredentialNotFound):
		return refused(address, http.StatusUnauthorized, credential{}, hint)
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return failure(nil, "%s: the registry gives no access (%d %s).%s", address, answer.StatusCode, http.StatusText(answer.StatusCode), hint)
	case errors.As(err, &answer):
		return refused(address, answer.StatusCode, credential{}, "")
	case strings.Contains(err.Error(), "mismatch"):
		return failure(err, "%s: the manifest that came is not the one that was asked for: %v.", address, err)
	}
	return unanswered(address, err)
}
