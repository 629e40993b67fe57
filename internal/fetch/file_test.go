package fetch

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compressc/compressc/internal/origin"
)

var long = strings.Repeat("weights ", 4000)

// What a reader needs is fetched with the file that is named, and nothing else.
func TestFile(t *testing.T) {
	index := `{"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}`
	beside := map[string]string{"/m/config.json": "{}", "/m/tokenizer.json": "{1}", "/m/README.md": "no"}
	for name, c := range map[string]struct {
		kind  origin.Kind
		file  string
		files map[string]string
		want  []string
		path  string // relative to the folder
	}{
		"gguf":    {origin.Model, "x.gguf", nil, []string{"x.gguf"}, "x.gguf"},
		"one":     {origin.Model, "model.safetensors", nil, []string{"model.safetensors", "config.json", "tokenizer.json"}, "model.safetensors"},
		"shards":  {origin.Model, "model-2-of-2.safetensors", map[string]string{"/m/model-1-of-2.safetensors": "1", "/m/model.safetensors.index.json": index}, []string{"model-1-of-2.safetensors", "model-2-of-2.safetensors", "model.safetensors.index.json", "config.json", "tokenizer.json"}, "."},
		"another": {origin.Model, "other.safetensors", map[string]string{"/m/model-1-of-2.safetensors": "1", "/m/model.safetensors.index.json": index}, []string{"other.safetensors", "config.json", "tokenizer.json"}, "other.safetensors"},
		"adapter": {origin.Adapter, "adapter_model.safetensors", map[string]string{"/m/adapter_config.json": "{2}"}, []string{"adapter_model.safetensors", "adapter_config.json"}, "."},
		"text":    {origin.Text, "a b.txt", nil, []string{"a b.txt"}, "a b.txt"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"/m/" + c.file: long}
			for _, list := range []map[string]string{beside, c.files} {
				for k, v := range list {
					files[k] = v
				}
			}
			f, web := fetcher(t), newSite(t, files)
			s := origin.Source{Kind: c.kind, Address: web.URL + "/m/" + strings.ReplaceAll(c.file, " ", "%20")}
			absent(t, f, s)
			if err := f.Fetch(t.Context(), s, ""); err != nil {
				t.Fatal(err)
			}
			folder := f.Places.Folder(s, "")
			if got := found(t, f, s); got != filepath.Join(folder, c.path) {
				t.Errorf("found at %s, want %s", got, c.path)
			}
			want := map[string]string{}
			for _, n := range c.want {
				want[n] = files["/m/"+n]
			}
			holds(t, folder, want)
			if parts, _ := filepath.Glob(filepath.Join(f.Places.Dir, origin.Unfinished+"*")); len(parts) > 0 {
				t.Errorf("left behind: %v", parts)
			}
		})
	}
}

// A connection that breaks is gone on with where it broke, in the same call and in
// the next; a file that has become another one begins anew.
func TestResume(t *testing.T) {
	for name, c := range map[string]struct {
		weak, changes bool
		want          string // the ranges that are asked for
	}{
		"same":       {false, false, "/x.gguf|/x.gguf bytes=1000-"},
		"changed":    {false, true, "/x.gguf|/x.gguf bytes=1000-"},
		"not to say": {true, false, "/x.gguf|/x.gguf"},
	} {
		t.Run(name, func(t *testing.T) {
			f, web := fetcher(t), newSite(t, map[string]string{"/x.gguf": long})
			web.weak, web.cut["/x.gguf"] = c.weak, 1000
			stop, cancel := context.WithCancel(t.Context())
			f.Wait = func(context.Context, int) error { cancel(); return stop.Err() }
			s := origin.Source{Address: web.URL + "/x.gguf"}
			fails(t, f.Fetch(stop, s, ""), "interrupted")
			absent(t, f, s)
			want := long
			if c.changes {
				want = strings.Repeat("other", 3000)
				web.change(func() { web.version, web.files["/x.gguf"] = "2", want })
			}
			if err := f.Fetch(t.Context(), s, ""); err != nil {
				t.Fatal(err)
			}
			holds(t, f.Places.Folder(s, ""), map[string]string{"x.gguf": want})
			if got := strings.Join(web.asked, "|"); got != c.want {
				t.Errorf("asked for %s, want %s", got, c.want)
			}
			if n := web.bytes("/x.gguf"); !c.changes && !c.weak && n != len(long)-1000 {
				t.Errorf("%d bytes came the second time, want %d", n, len(long)-1000)
			}
		})
	}
	// In one call, several times.
	f, web := fetcher(t), newSite(t, map[string]string{"/x.gguf": long})
	web.cut["/x.gguf"] = 5
	if err := f.Fetch(t.Context(), origin.Source{Address: web.URL + "/x.gguf"}, ""); err != nil || len(web.asked) != 2 {
		t.Errorf("%v, %v", err, web.asked)
	}
}

// A copy that is fetched again costs nothing where nothing has changed, and
// otherwise becomes what the server has now; one that was withdrawn is no copy.
func TestAgain(t *testing.T) {
	f, web := fetcher(t), newSite(t, map[string]string{"/model.safetensors": long, "/config.json": "{}", "/tokenizer.json": "{}"})
	s := origin.Source{Address: web.URL + "/model.safetensors"}
	fetch := func() {
		t.Helper()
		if err := f.Fetch(t.Context(), s, ""); err != nil {
			t.Fatal(err)
		}
	}
	fetch()
	once := web.bytes("/model.safetensors")
	fetch()
	if err := f.Withdraw(s); err != nil {
		t.Fatal(err)
	}
	absent(t, f, s)
	fetch()
	if n := web.bytes("/model.safetensors"); n != once {
		t.Errorf("%d bytes were sent, want %d", n, once)
	}
	web.change(func() {
		web.version, web.files["/model.safetensors"] = "2", "other"
		delete(web.files, "/tokenizer.json")
	})
	// A new version that does not come to its end leaves the old copy, and is not
	// mistaken for it afterwards.
	web.cut["/model.safetensors"] = 0
	stop, cancel := context.WithCancel(t.Context())
	f.Wait = func(context.Context, int) error { cancel(); return stop.Err() }
	fails(t, f.Fetch(stop, s, ""), "interrupted")
	holds(t, f.Places.Folder(s, ""), map[string]string{"model.safetensors": long, "config.json": "{}", "tokenizer.json": "{}"})
	fetch()
	holds(t, f.Places.Folder(s, ""), map[string]string{"model.safetensors": "other", "config.json": "{}"})
}

// Several processes at once make one copy.
func TestTogether(t *testing.T) {
	f, web := fetcher(t), newSite(t, map[string]string{"/x.gguf": long})
	s := origin.Source{Address: web.URL + "/x.gguf"}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := f.Fetch(t.Context(), s, ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := web.bytes("/x.gguf"); n != len(long) {
		t.Errorf("%d bytes were sent, want %d", n, len(long))
	}
}

// Every failure says what it is, and leaves nothing that is taken for the source.
func TestFileFailures(t *testing.T) {
	for name, c := range map[string]struct {
		file, token string
		change      func(*site, *Fetcher)
		want        []string
	}{
		"missing":   {"none.gguf", "", nil, []string{"/m/none.gguf", "nothing there (404 Not Found)", "Check the address"}},
		"no config": {"model.safetensors", "", func(s *site, _ *Fetcher) { delete(s.files, "/m/config.json") }, []string{"/m/config.json", "404"}},
		"no token":  {"x.gguf", "", func(s *site, _ *Fetcher) { s.token = "s3cret" }, []string{"wants a credential (401", "argument token"}},
		"wrong":     {"x.gguf", "s3cret-not", func(s *site, _ *Fetcher) { s.token = "s3cret" }, []string{"token of the block", "403"}},
		"busy":      {"x.gguf", "", func(s *site, _ *Fetcher) { s.status["/m/x.gguf"] = 503 }, []string{"503", "Try again later"}},
		"index": {"a.safetensors", "", func(s *site, _ *Fetcher) {
			s.files["/m/model.safetensors.index.json"] = `{"weight_map": {"a": "a.safetensors", "b": "../../x"}}`
		}, []string{`"../../x"`, "leads out of its folder"}},
		"no weights": {"a.safetensors", "", func(s *site, _ *Fetcher) { s.files["/m/model.safetensors.index.json"] = `{}` }, []string{"lists no files"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, web := fetcher(t), newSite(t, map[string]string{"/m/x.gguf": long, "/m/config.json": "{}", "/m/model.safetensors": long, "/m/a.safetensors": long})
			if c.change != nil {
				c.change(web, f)
			}
			s := origin.Source{Address: web.URL + "/m/" + c.file}
			err := f.Fetch(t.Context(), s, c.token)
			fails(t, err, c.want...)
			absent(t, f, s)
		})
	}
}

// Where the server is not to be had, or is not what it should be, that is said.
func TestServers(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<html>sign in</html>"))
	}))
	defer page.Close()
	out := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://example.com/x.gguf?signature=s3cret", http.StatusFound)
	}))
	defer out.Close()
	release := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte("a few"))
		_ = http.NewResponseController(w).Flush()
		<-release
	}))
	defer silent.Close()
	defer close(release)
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = c.Write([]byte("HTTP/1.0 200 OK\r\n\r\nhalf"))
			_ = c.Close()
		}
	}))
	defer endless.Close()
	packed := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write([]byte("packed"))
	}))
	defer packed.Close()
	for address, want := range map[string]string{
		endless.URL: "how long the file is", packed.URL: "Content-Encoding: gzip",
		closed.URL: "does not answer", page.URL: "a web page and no file", out.URL: "without https", silent.URL: "sent nothing for too long",
	} {
		f := fetcher(t)
		f.Stall = 50 * time.Millisecond
		s := origin.Source{Address: address + "/x.gguf"}
		fails(t, f.Fetch(t.Context(), s, "s3cret"), address, want)
		absent(t, f, s)
	}
}

// A credential goes to the host that it is for and to no other.
func TestCredentialStays(t *testing.T) {
	var got []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, "other "+r.Header.Get("Authorization"))
		_, _ = w.Write([]byte("x"))
	}))
	defer other.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, "first "+r.Header.Get("Authorization"))
		http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)+"/y", http.StatusFound)
	}))
	defer first.Close()
	f := fetcher(t)
	if err := f.Fetch(t.Context(), origin.Source{Address: first.URL + "/x.gguf"}, "s3cret"); err != nil {
		t.Fatal(err)
	}
	if want := []string{"first Bearer s3cret", "other "}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	err := filepath.WalkDir(f.Places.Dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if strings.Contains(string(raw), "s3cret") {
			t.Errorf("%s holds the credential", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A disk without room is named as that.
func TestDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	f, web := fetcher(t), newSite(t, map[string]string{"/x.gguf": long})
	resp, err := f.client().Get(web.URL + "/x.gguf")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	dir := t.TempDir()
	partial := filepath.Join(dir, "x.gguf"+Incomplete)
	if err := os.Symlink("/dev/full", partial); err != nil {
		t.Fatal(err)
	}
	said := false
	more, err := f.receive(t.Context(), &transfer{file: File{Bytes: -1}}, resp, partial, 0, time.NewTimer(time.Hour), time.Hour, &said)
	if fails(t, err, "disk is full", "no room in "+dir, "cache gc"); more {
		t.Error("another attempt is made")
	}
}
