package fetch

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compressc/compressc/internal/origin"
)

// site is a server of files that knows ranges and does what is asked of it.
type site struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string]string
	// cut breaks the first answer for a path off behind so many bytes.
	cut map[string]int
	// status answers for a path, token is wanted of everybody where set.
	status map[string]int
	token  string
	// version is part of every entity tag; weak makes them weak, and leaves nothing
	// else to go on with.
	version string
	weak    bool
	// sent are the bytes that were sent of a path, asked the requests.
	sent  map[string]int
	asked []string
}

func newSite(t *testing.T, files map[string]string) *site {
	s := &site{files: files, cut: map[string]int{}, status: map[string]int{}, sent: map[string]int{}, version: "1"}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	path := r.URL.Path
	text, ok := s.files[path]
	cut, broken := s.cut[path]
	delete(s.cut, path)
	code := s.status[path]
	s.asked = append(s.asked, strings.TrimSpace(path+" "+r.Header.Get("Range")))
	token, version, weak := s.token, s.version, s.weak
	s.mu.Unlock()
	switch {
	case token != "" && r.Header.Get("Authorization") == "":
		code = http.StatusUnauthorized
	case token != "" && r.Header.Get("Authorization") != "Bearer "+token:
		code = http.StatusForbidden
	case !ok && code == 0:
		code = http.StatusNotFound
	}
	if code != 0 {
		http.Error(w, "no", code)
		return
	}
	tag := fmt.Sprintf("%q", version+path)
	if weak {
		tag = "W/" + tag
	}
	w.Header().Set("ETag", tag)
	if broken {
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		_, _ = w.Write([]byte(text[:cut]))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(&counter{w, s, path}, r, "file.bin", time.Time{}, strings.NewReader(text))
}

// change changes what the server does, between requests.
func (s *site) change(how func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how()
}

// bytes are those that were sent of a path.
func (s *site) bytes(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent[path]
}

// counter counts bytes before they are sent, so that whoever has them finds them
// counted.
type counter struct {
	http.ResponseWriter
	site *site
	path string
}

func (c *counter) Write(p []byte) (int, error) {
	c.site.change(func() { c.site.sent[c.path] += len(p) })
	return c.ResponseWriter.Write(p)
}

// fetcher is one that waits for nothing.
func fetcher(t *testing.T) *Fetcher {
	t.Helper()
	dir := t.TempDir()
	return &Fetcher{Places: origin.Places{Dir: filepath.Join(dir, "downloads"), Hub: filepath.Join(dir, "hub")},
		Client: newClient(), Wait: func(context.Context, int) error { return nil }}
}

// holds checks the files of a folder, without those that begin with a dot.
func holds(t *testing.T, dir string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		raw, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		got[filepath.ToSlash(rel)] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s is %.40q, want %.40q", name, got[name], text)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s is there too", name)
	}
}

// found is the path of a copy.
func found(t *testing.T, f *Fetcher, s origin.Source) string {
	t.Helper()
	at, ok, wrong := f.Places.Find(s)
	if !ok || wrong != nil {
		t.Fatalf("%s is not here: %v", s.Address, wrong)
	}
	return at.Path
}

// absent checks that nothing is taken for a copy.
func absent(t *testing.T, f *Fetcher, s origin.Source) {
	t.Helper()
	if at, ok, _ := f.Places.Find(s); ok {
		t.Errorf("%s is taken for %s", at.Path, s.Address)
	}
}

// fails checks what a failure says, and that it names no secret.
func fails(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one with %q", want)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v\nlacks %q", err, w)
		}
	}
	if strings.Contains(err.Error(), "s3cret") {
		t.Errorf("a credential is in %v", err)
	}
}
