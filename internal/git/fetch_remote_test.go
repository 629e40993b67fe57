package git

import (
	"encoding/pem"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A repository behind https is fetched from, whole names of commits too, and one
// that wants a password is an error and no question.
func TestFetchHTTPS(t *testing.T) {
	dir, first, second := repository(t)
	out, err := exec.Command("git", "--exec-path").Output()
	backend := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, statErr := os.Stat(backend); err != nil || statErr != nil {
		t.Skip("git has no http-backend here")
	}
	served := &cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(dir), "GIT_HTTP_EXPORT_ALL=1"}}
	mux := http.NewServeMux()
	mux.Handle("/", served)
	mux.HandleFunc("/private/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="recipes"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
	})
	s := httptest.NewTLSServer(mux)
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write(t, ca, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	t.Setenv("GIT_SSL_CAINFO", ca)

	url := s.URL + "/" + filepath.Base(dir) + "/.git"
	fetchBoth(t, url, first, second)
	for _, wrong := range []string{s.URL + "/private/x.git", s.URL + "/none/.git"} {
		if _, err := Fetch(wrong, "", t.TempDir()); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	t.Setenv("GIT_SSL_CAINFO", "")
	if _, err := Fetch(url, "", t.TempDir()); err == nil {
		t.Error("a server whose certificate nobody knows is trusted")
	}
}

// A repository behind ssh is fetched from; here the other machine is this one.
func TestFetchSSH(t *testing.T) {
	dir, first, second := repository(t)
	ssh := filepath.Join(t.TempDir(), "ssh")
	write(t, ssh, "#!/bin/sh\n[ \"$1\" = -G ] && exit 1\nwhile [ $# -gt 1 ]; do shift; done\nexec sh -c \"$1\"\n")
	if err := os.Chmod(ssh, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_SSH", ssh)
	fetchBoth(t, "ssh://git@example.com"+filepath.ToSlash(dir)+"/.git", first, second)
}

// fetchBoth fetches a repository's tag and the tip of its branch.
func fetchBoth(t *testing.T, url, first, second string) {
	t.Helper()
	folder := t.TempDir()
	for revision, want := range map[string]string{"v1": first, "main": second, "": second, second: second} {
		got, err := Fetch(url, revision, folder)
		if err != nil || got != want {
			t.Fatalf("%s at %q is %s, want %s: %v", url, revision, got, want, err)
		}
		if _, err := os.Stat(filepath.Join(folder, want, "hidden", "x.txt")); err != nil {
			t.Error(err)
		}
	}
	// A commit that no branch ends at is given where the server allows it, and
	// else found in the history.
	if got, err := Fetch(url, first, folder); err != nil || got != first {
		t.Errorf("%s at %s: %s, %v", url, first, got, err)
	}
}
