package cli

import (
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
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// sourceServers are those of one script, by name.
var sourceServers sync.Map

// scriptServer serves the files of a folder as a web server, a hub and a registry:
//
//	server NAME DIR [TOKEN]   sets NAME to its address and NAME_HOST to its host
//	server NAME               ends it
//
// DIR/OWNER/NAME/resolve/COMMIT/… is a repository of the hub, with its branches in
// DIR/OWNER/NAME/refs, and DIR/v2/NAME/TAG/… an artifact. What is asked of it is
// written to DIR.log. With a token nobody else is let in.
func scriptServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 3 {
		ts.Fatalf("usage: server NAME [DIR [TOKEN]]")
	}
	key := ts.Getenv("WORK") + args[0]
	if len(args) == 1 {
		s, ok := sourceServers.LoadAndDelete(key)
		if !ok {
			ts.Fatalf("there is no server %s", args[0])
		}
		s.(*httptest.Server).Close()
		return
	}
	h := &sourceServer{dir: ts.MkAbs(args[1])}
	if len(args) == 3 {
		h.token = args[2]
	}
	s := httptest.NewServer(h)
	sourceServers.Store(key, s)
	ts.Defer(func() { sourceServers.Delete(key); s.Close() })
	ts.Setenv(args[0], s.URL)
	ts.Setenv(args[0]+"_HOST", strings.TrimPrefix(s.URL, "http://"))
}

type sourceServer struct {
	dir, token string
	mu         sync.Mutex
}

func (s *sourceServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if log, err := os.OpenFile(s.dir+".log", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666); err == nil {
		fmt.Fprintln(log, r.Method, r.URL.Path, r.Header.Get("Range"))
		_ = log.Close()
	}
	if s.token != "" && r.Header.Get("Authorization") != "Bearer "+s.token {
		w.Header().Set("X-Error-Code", "RepoNotFound")
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	part := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case len(part) == 6 && part[0] == "api":
		s.revision(w, part[2]+"/"+part[3], part[5])
	case len(part) == 4 && part[0] == "v2":
		s.artifact(w, r, part[1], part[2], part[3])
	default:
		http.FileServer(http.Dir(s.dir)).ServeHTTP(w, r)
	}
}

// revision says which files a revision of a hub's repository has.
func (s *sourceServer) revision(w http.ResponseWriter, name, revision string) {
	commit := revision
	if raw, err := os.ReadFile(filepath.Join(s.dir, name, "refs", revision)); err == nil {
		commit = strings.TrimSpace(string(raw))
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, name, "resolve", commit))
	if err != nil {
		w.Header().Set("X-Error-Code", "RevisionNotFound")
		http.Error(w, "no", http.StatusNotFound)
		return
	}
	var list []map[string]any
	for _, e := range entries {
		raw, _ := os.ReadFile(filepath.Join(s.dir, name, "resolve", commit, e.Name()))
		sum := sha1.Sum([]byte(fmt.Sprintf("blob %d\x00%s", len(raw), raw)))
		list = append(list, map[string]any{"rfilename": e.Name(), "size": len(raw), "blobId": hex.EncodeToString(sum[:])})
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": list})
}

// artifact gives a manifest, made from the files of a folder, or a blob.
func (s *sourceServer) artifact(w http.ResponseWriter, r *http.Request, name, kind, ref string) {
	tags, _ := filepath.Glob(filepath.Join(s.dir, "v2", name, "*"))
	for _, tag := range tags {
		var layers []map[string]any
		files, _ := filepath.Glob(filepath.Join(tag, "*"))
		for _, path := range files {
			raw, _ := os.ReadFile(path)
			if digestOf(raw) == ref && kind == "blobs" {
				_, _ = w.Write(raw)
				return
			}
			layers = append(layers, map[string]any{"mediaType": "application/octet-stream", "digest": digestOf(raw), "size": len(raw),
				"annotations": map[string]string{"org.opencontainers.image.title": filepath.Base(path)}})
		}
		const manifest = "application/vnd.oci.image.manifest.v1+json"
		raw, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": manifest, "layers": layers})
		if kind == "manifests" && (ref == filepath.Base(tag) || ref == digestOf(raw)) {
			w.Header().Set("Content-Type", manifest)
			w.Header().Set("Docker-Content-Digest", digestOf(raw))
			w.Header().Set("Content-Length", fmt.Sprint(len(raw)))
			_, _ = w.Write(raw)
			return
		}
	}
	http.Error(w, `{"errors": [{"code": "NOT_FOUND"}]}`, http.StatusNotFound)
}

func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}
