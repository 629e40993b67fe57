package fetch

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/origin"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// hub is a site that answers as a hub does; files of 1,000 bytes and more are large
// files.
type hub struct {
	*site
	api *httptest.Server
	// code is the X-Error-Code of a refusal.
	code string
	// lies changes what is said of a file.
	lies func(map[string]any)
}

func newHub(t *testing.T, files map[string]string) *hub {
	h := &hub{site: newSite(t, map[string]string{})}
	for name, text := range files {
		h.files["/me/m/resolve/"+commit+"/"+name] = text
	}
	h.api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		revision, ok := strings.CutPrefix(r.URL.Path, "/api/models/me/m/revision/")
		if !ok {
			h.ServeHTTP(w, r)
			return
		}
		code := 0
		switch {
		case h.token != "" && r.Header.Get("Authorization") != "Bearer "+h.token:
			code = http.StatusUnauthorized
		case revision != "main" && revision != commit && revision != "refs/pr/1":
			code, h.code = http.StatusNotFound, "RevisionNotFound"
		}
		if code != 0 {
			w.Header().Set("X-Error-Code", h.code)
			http.Error(w, "no", code)
			return
		}
		var list []map[string]any
		for path, text := range h.files {
			file := map[string]any{"rfilename": strings.TrimPrefix(path, "/me/m/resolve/"+commit+"/"), "size": len(text), "blobId": hex.EncodeToString(sum1(text))}
			if len(text) >= 1000 {
				sum := sha256.Sum256([]byte(text))
				file["lfs"] = map[string]any{"sha256": hex.EncodeToString(sum[:]), "size": len(text), "pointerSize": 130}
			}
			if h.lies != nil {
				h.lies(file)
			}
			list = append(list, file)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": list})
	}))
	t.Cleanup(h.api.Close)
	return h
}

func sum1(text string) []byte {
	s := sha1.Sum([]byte(fmt.Sprintf("blob %d\x00%s", len(text), text)))
	return s[:]
}

var repository = map[string]string{"config.json": "{}", "tokenizer.json": "{1}", "model.safetensors": long, "pytorch_model.bin": long, "README.md": "x"}

func (h *hub) fetcher(t *testing.T) *Fetcher {
	f := fetcher(t)
	f.Hub = h.api.URL
	return f
}

// A snapshot has the layout of the hub's own tools: blobs by their digests, links
// to them, and the commit of the branch.
func TestHub(t *testing.T) {
	h := newHub(t, repository)
	f := h.fetcher(t)
	s := origin.Source{Address: "hf://me/m"}
	absent(t, f, s)
	if err := f.Fetch(t.Context(), s, ""); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(f.Places.Hub, "models--me--m")
	snapshot := filepath.Join(dir, "snapshots", commit)
	if got := found(t, f, s); got != snapshot {
		t.Errorf("found at %s", got)
	}
	holds(t, snapshot, map[string]string{"config.json": "{}", "tokenizer.json": "{1}", "model.safetensors": long})
	holds(t, filepath.Join(dir, "refs"), map[string]string{"main": commit})
	sum := sha256.Sum256([]byte(long))
	holds(t, filepath.Join(dir, "blobs"), map[string]string{hex.EncodeToString(sum1("{}")): "{}", hex.EncodeToString(sum1("{1}")): "{1}", hex.EncodeToString(sum[:]): long})
	if to, err := os.Readlink(filepath.Join(snapshot, "config.json")); err == nil && to != filepath.Join("..", "..", "blobs", hex.EncodeToString(sum1("{}"))) {
		t.Errorf("config.json leads to %s", to)
	}
	// Its commit needs no more bytes, and a revision with a slash is a file in a folder.
	sent := h.bytes("/me/m/resolve/" + commit + "/model.safetensors")
	for _, other := range []origin.Source{{Address: "hf://me/m", Commit: commit}, {Address: "hf://me/m", Revision: "refs/pr/1"}} {
		if err := f.Fetch(t.Context(), other, ""); err != nil {
			t.Fatal(err)
		}
		found(t, f, other)
	}
	if n := h.bytes("/me/m/resolve/" + commit + "/model.safetensors"); n != sent {
		t.Errorf("%d bytes were sent, want %d", n, sent)
	}
}

// A model in several files, and an adapter.
func TestHubFiles(t *testing.T) {
	shards := map[string]string{"config.json": "{}", origin.IndexName: `{"weight_map": {"a": "a.safetensors", "b": "sub/b.safetensors"}}`, "a.safetensors": long, "sub/b.safetensors": long + "b", "c.safetensors": long}
	adapter := map[string]string{"adapter_config.json": "{}", "adapter_model.safetensors": long, "tokenizer.json": "{}"}
	for name, c := range map[string]struct {
		kind  origin.Kind
		files map[string]string
		not   []string
	}{"shards": {origin.Model, shards, []string{"c.safetensors"}}, "adapter": {origin.Adapter, adapter, []string{"tokenizer.json"}}} {
		t.Run(name, func(t *testing.T) {
			f := newHub(t, c.files).fetcher(t)
			s := origin.Source{Kind: c.kind, Address: "hf://me/m"}
			if err := f.Fetch(t.Context(), s, ""); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for n, text := range c.files {
				want[n] = text
			}
			for _, n := range c.not {
				delete(want, n)
			}
			holds(t, found(t, f, s), want)
		})
	}
}

// A download that breaks off is gone on with, is no snapshot until it is whole, and
// what was damaged meanwhile comes again.
func TestHubResume(t *testing.T) {
	for _, damage := range []bool{false, true} {
		h := newHub(t, repository)
		f := h.fetcher(t)
		path := "/me/m/resolve/" + commit + "/model.safetensors"
		h.cut[path] = 1000
		stop, cancel := context.WithCancel(t.Context())
		f.Wait = func(context.Context, int) error { cancel(); return stop.Err() }
		s := origin.Source{Address: "hf://me/m"}
		fails(t, f.Fetch(stop, s, ""), "interrupted")
		absent(t, f, s)
		parts, _ := filepath.Glob(filepath.Join(f.Places.Hub, "models--me--m", "blobs", "*"+Incomplete))
		if len(parts) != 1 {
			t.Fatalf("left: %v", parts)
		}
		if damage {
			if err := os.WriteFile(parts[0], []byte(strings.Repeat("x", 1000)), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Fetch(t.Context(), s, ""); err != nil {
			t.Fatal(err)
		}
		holds(t, found(t, f, s), map[string]string{"config.json": "{}", "tokenizer.json": "{1}", "model.safetensors": long})
		want := len(long) - 1000
		if damage {
			want += len(long)
		}
		if n := h.bytes(path); n != want {
			t.Errorf("%d bytes came, want %d", n, want)
		}
	}
}

// A snapshot that another tool has begun is no copy, and is made whole.
func TestHubBegun(t *testing.T) {
	f := newHub(t, repository).fetcher(t)
	dir := filepath.Join(f.Places.Hub, "models--me--m")
	for path, text := range map[string]string{"refs/main": commit, "snapshots/" + commit + "/config.json": "{}"} {
		path = filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s := origin.Source{Address: "hf://me/m"}
	absent(t, f, s)
	if err := f.Fetch(t.Context(), s, ""); err != nil {
		t.Fatal(err)
	}
	holds(t, found(t, f, s), map[string]string{"config.json": "{}", "tokenizer.json": "{1}", "model.safetensors": long})
}

func TestHubFailures(t *testing.T) {
	for name, c := range map[string]struct {
		s           origin.Source
		token, env  string
		files       map[string]string
		wants, code string
		lies        func(map[string]any)
		want        []string
	}{
		"revision":     {s: origin.Source{Revision: "v9"}, want: []string{"hf://me/m at v9", "no such revision"}},
		"private":      {wants: "s3cret", code: "RepoNotFound", want: []string{"no such repository for everybody", "HF_TOKEN"}},
		"not yours":    {wants: "s3cret", code: "RepoNotFound", env: "s3cret-other", want: []string{"token of HF_TOKEN may read"}},
		"gated":        {wants: "s3cret", code: "GatedRepo", token: "s3cret-other", want: []string{"token of the block", "401", "terms must be accepted", "/me/m"}},
		"other commit": {s: origin.Source{Commit: "refs"}, want: []string{"no such revision"}},
		"no weights":   {files: map[string]string{"config.json": "{}", "pytorch_model.bin": long}, want: []string{"no model.safetensors", "converted"}},
		"gguf":         {files: map[string]string{"b.gguf": long, "a.gguf": long}, want: []string{"no config.json", "/me/m/resolve/main/a.gguf"}},
		"an adapter":   {files: map[string]string{"adapter_config.json": "{}"}, want: []string{"it is an adapter"}},
		"other bytes": {lies: func(f map[string]any) {
			if l, ok := f["lfs"].(map[string]any); ok {
				l["sha256"] = strings.Repeat("0", 64)
			}
		}, want: []string{"model.safetensors", "not those which the hub announced", strings.Repeat("0", 64)}},
		"digest": {lies: func(f map[string]any) { delete(f, "lfs"); f["blobId"] = strings.Repeat("0", 64) }, want: []string{"not those which the hub announced"}},
		"out":    {files: map[string]string{"config.json": "{}", origin.IndexName: `{"weight_map": {"a": "../../../x.safetensors"}}`, "../../../x.safetensors": long}, want: []string{"leads out of its folder"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.files == nil {
				c.files = repository
			}
			h := newHub(t, c.files)
			h.token, h.code, h.lies = c.wants, c.code, c.lies
			f := h.fetcher(t)
			f.HubToken = c.env
			c.s.Address = "hf://me/m"
			fails(t, f.Fetch(t.Context(), c.s, c.token), c.want...)
			absent(t, f, c.s)
			if _, err := os.Stat(filepath.Join(f.Places.Hub, "x.safetensors")); err == nil {
				t.Error("a file lies outside the repository's folder")
			}
		})
	}
	f := fetcher(t)
	f.Offline = true
	fails(t, f.Fetch(t.Context(), origin.Source{Address: "hf://me/m"}, ""), "HF_HUB_OFFLINE")
	f = fetcher(t)
	f.Hub = "http://example.com"
	fails(t, f.Fetch(t.Context(), origin.Source{Address: "hf://me/m"}, "s3cret"), "HF_ENDPOINT", "with https")
}

// The token of the environment and that of a block are presented, and kept nowhere.
func TestHubToken(t *testing.T) {
	for _, c := range []struct{ env, block string }{{"s3cret", ""}, {"other", "s3cret"}} {
		h := newHub(t, repository)
		h.token = "s3cret"
		f := h.fetcher(t)
		f.HubToken = c.env
		s := origin.Source{Address: "hf://me/m"}
		if err := f.Fetch(t.Context(), s, c.block); err != nil {
			t.Fatal(err)
		}
		holds(t, found(t, f, s), map[string]string{"config.json": "{}", "tokenizer.json": "{1}", "model.safetensors": long})
	}
}
