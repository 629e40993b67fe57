package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"

	"github.com/compressc/compressc/internal/origin"
)

// registry serves what is in a store of oras, as far as pulling goes.
type registry struct {
	*httptest.Server
	store *memory.Store
	// cut breaks the first answer for a blob off behind so many bytes, spoil gives
	// other bytes.
	cut, spoil map[digest.Digest]int
	ranges     []string
	login      bool
}

func newRegistry(t *testing.T) *registry {
	r := &registry{store: memory.New(), cut: map[digest.Digest]int{}, spoil: map[digest.Digest]int{}}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	return r
}

func (r *registry) host() string { return strings.TrimPrefix(r.URL, "http://") }

func (r *registry) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	if user, password, _ := q.BasicAuth(); r.login && (user != "me" || password != "s3cret") {
		w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
		http.Error(w, `{"errors": [{"code": "UNAUTHORIZED"}]}`, http.StatusUnauthorized)
		return
	}
	rest := strings.TrimPrefix(q.URL.Path, "/v2/me/m/")
	kind, ref, _ := strings.Cut(rest, "/")
	var desc ocispec.Descriptor
	var err error
	if kind == "manifests" {
		desc, err = r.store.Resolve(q.Context(), ref)
	} else {
		desc = r.blob(q.Context(), digest.Digest(ref))
	}
	raw, ferr := content.FetchAll(q.Context(), r.store, desc)
	if err != nil || ferr != nil {
		http.Error(w, `{"errors": [{"code": "NOT_FOUND"}]}`, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", desc.MediaType)
	w.Header().Set("Docker-Content-Digest", desc.Digest.String())
	if n, ok := r.cut[desc.Digest]; ok {
		delete(r.cut, desc.Digest)
		w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
		w.Header().Set("Accept-Ranges", "bytes")
		_, _ = w.Write(raw[:n])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	if n, ok := r.spoil[desc.Digest]; ok {
		raw = bytes.Clone(raw)
		raw[n] ^= 1
	}
	if v := q.Header.Get("Range"); v != "" {
		r.ranges = append(r.ranges, v)
	}
	http.ServeContent(w, q, "", time.Time{}, bytes.NewReader(raw))
}

// blob finds a blob by its digest alone.
func (r *registry) blob(ctx context.Context, want digest.Digest) (at ocispec.Descriptor) {
	for _, tag := range []string{"v1", "v2"} {
		desc, err := r.store.Resolve(ctx, tag)
		if err != nil {
			continue
		}
		raw, err := content.FetchAll(ctx, r.store, desc)
		if err != nil {
			continue
		}
		var m ocispec.Manifest
		_ = json.Unmarshal(raw, &m)
		for _, l := range m.Layers {
			if l.Digest == want {
				return l
			}
		}
	}
	return at
}

// push makes an artifact under a tag; names end in ! where they are packed folders.
func (r *registry) push(t *testing.T, tag string, files ...[2]string) string {
	t.Helper()
	var list []ocispec.Descriptor
	for _, f := range files {
		d := content.NewDescriptorFromBytes("application/octet-stream", []byte(f[1]))
		if ok, _ := r.store.Exists(t.Context(), d); !ok {
			if err := r.store.Push(t.Context(), d, strings.NewReader(f[1])); err != nil {
				t.Fatal(err)
			}
		}
		if f[0] != "" {
			d.Annotations = map[string]string{ocispec.AnnotationTitle: strings.TrimSuffix(f[0], "!")}
		}
		if strings.HasSuffix(f[0], "!") {
			d.Annotations[unpack] = "true"
		}
		list = append(list, d)
	}
	m, err := oras.PackManifest(t.Context(), r.store, oras.PackManifestVersion1_1, "application/vnd.test", oras.PackManifestOptions{Layers: list})
	if err == nil {
		err = r.store.Tag(t.Context(), m, tag)
	}
	if err == nil {
		err = r.store.Tag(t.Context(), m, m.Digest.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	return m.Digest.String()
}

// The files of an artifact lie in a folder of its manifest; a tag that moves leaves
// what the manifest is.
func TestArtifact(t *testing.T) {
	r := newRegistry(t)
	f := fetcher(t)
	was := r.push(t, "v1", [2]string{"config.json", "{}"}, [2]string{"model.safetensors", long}, [2]string{"", "nameless"})
	s := origin.Source{Address: "oci://" + r.host() + "/me/m:v1"}
	absent(t, f, s)
	fetch := func(s origin.Source) {
		t.Helper()
		if err := f.Fetch(t.Context(), s, ""); err != nil {
			t.Fatal(err)
		}
	}
	fetch(s)
	dir := found(t, f, s)
	holds(t, dir, map[string]string{"config.json": "{}", "model.safetensors": long})
	if at, _, _ := f.Places.Find(s); at.Commit != was {
		t.Errorf("the commit is %s, want %s", at.Commit, was)
	}
	now := r.push(t, "v1", [2]string{"config.json", "{}"}, [2]string{"model.safetensors", "other"})
	pinned := origin.Source{Address: s.Address, Commit: was}
	exact := origin.Source{Address: "oci://" + r.host() + "/me/m@" + now}
	fetch(pinned)
	if got := found(t, f, pinned); got != dir {
		t.Errorf("%s, want %s", got, dir)
	}
	fetch(s)
	fetch(exact)
	holds(t, found(t, f, s), map[string]string{"config.json": "{}", "model.safetensors": "other"})
	if found(t, f, exact) != found(t, f, s) || found(t, f, pinned) != dir {
		t.Error("a manifest has two folders, or another")
	}
	// One file is the model by itself.
	r.push(t, "v2", [2]string{"x.gguf", "gguf"})
	one := origin.Source{Address: "oci://" + r.host() + "/me/m:v2"}
	fetch(one)
	if got := found(t, f, one); filepath.Base(got) != "x.gguf" {
		t.Errorf("found at %s", got)
	}
}

// A layer that breaks off is gone on with.
func TestArtifactResume(t *testing.T) {
	r := newRegistry(t)
	f := fetcher(t)
	r.push(t, "v1", [2]string{"config.json", "{}"}, [2]string{"model.safetensors", long})
	r.cut[digest.FromString(long)] = 1000
	s := origin.Source{Address: "oci://" + r.host() + "/me/m:v1"}
	stop, cancel := context.WithCancel(t.Context())
	f.Wait = func(context.Context, int) error { cancel(); return stop.Err() }
	fails(t, f.Fetch(stop, s, ""), "interrupted")
	absent(t, f, s)
	if err := f.Fetch(t.Context(), s, ""); err != nil {
		t.Fatal(err)
	}
	holds(t, found(t, f, s), map[string]string{"config.json": "{}", "model.safetensors": long})
	if !slices.ContainsFunc(r.ranges, func(s string) bool { return strings.HasPrefix(s, "bytes=1000-") }) {
		t.Errorf("the ranges %q were asked for", r.ranges)
	}
}

func TestArtifactFailures(t *testing.T) {
	file := [2]string{"config.json", "{}"}
	for name, c := range map[string]struct {
		files  [][2]string
		tag    string
		change func(*registry)
		want   []string
	}{
		"tag":      {[][2]string{file}, "v9", nil, []string{"/me/m:v9", "404", "Check the address"}},
		"out":      {[][2]string{file, {"../x", "1"}}, "v1", nil, []string{`"../x"`, "leads out of its folder"}},
		"absolute": {[][2]string{file, {"/etc/x", "1"}}, "v1", nil, []string{"leads out of its folder"}},
		"windows":  {[][2]string{file, {`..\x`, "1"}}, "v1", nil, []string{"leads out of its folder"}},
		"twice":    {[][2]string{file, {"Config.json", "1"}}, "v1", nil, []string{"twice"}},
		"packed":   {[][2]string{file, {"model!", "1"}}, "v1", nil, []string{"packed folder"}},
		"nameless": {[][2]string{{"", "1"}}, "v1", nil, []string{"none of its 1 layers has a file's name"}},
		"login":    {[][2]string{file}, "v1", func(r *registry) { r.login = true }, []string{"wants a credential", "docker login"}},
		"spoilt":   {[][2]string{file, {"model.safetensors", long}}, "v1", func(r *registry) { r.spoil[digest.FromString(long)] = 7 }, []string{"model.safetensors", "not those which its manifest announced"}},
		"closed":   {[][2]string{file}, "v1", func(r *registry) { r.Close() }, []string{"does not answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t)
			r.push(t, "v1", c.files...)
			if c.change != nil {
				c.change(r)
			}
			f := fetcher(t)
			s := origin.Source{Address: "oci://" + r.host() + "/me/m:" + c.tag}
			fails(t, f.Fetch(t.Context(), s, ""), c.want...)
			absent(t, f, s)
			if _, err := os.Stat(filepath.Join(f.Places.Dir, "x")); err == nil {
				t.Error("a file lies outside its folder")
			}
		})
	}
}

// The credentials are those of Docker's configuration.
func TestArtifactLogin(t *testing.T) {
	r := newRegistry(t)
	r.login = true
	r.push(t, "v1", [2]string{"x.gguf", "gguf"})
	config := fmt.Sprintf(`{"auths": {%q: {"auth": "bWU6czNjcmV0"}}}`, r.host())
	if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	f := fetcher(t)
	s := origin.Source{Address: "oci://" + r.host() + "/me/m:v1"}
	if err := f.Fetch(t.Context(), s, ""); err != nil {
		t.Fatal(err)
	}
	found(t, f, s)
}
