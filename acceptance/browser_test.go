package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The report opens in a browser with nothing on its console and nothing asked
// for over the network, and the browser sees what is in it.
func TestReportInBrowser(t *testing.T) {
	browser := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		t.Skip("no Chromium on this machine: the report is checked as HTML only (internal/report)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	pipeline := filepath.Join(dir, "quickstart")
	if err := os.CopyFS(pipeline, os.DirFS(filepath.Join("..", "examples", "pipelines", "quickstart"))); err != nil {
		t.Fatal(err)
	}
	cacheDir := filepath.Join(dir, "cache")
	o := RunOptions{Pipeline: pipeline, CacheDir: cacheDir}
	if _, err := program(t).Run(ctx, o); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "report.html")
	if out, err := exec.CommandContext(ctx, program(t).Path, "report", "-cache-dir", cacheDir, "-o", page, pipeline).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	netLog := filepath.Join(dir, "net.json")
	cmd := exec.CommandContext(ctx, browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir="+filepath.Join(dir, "profile"), "--enable-logging=stderr", "--log-net-log="+netLog, "--dump-dom", "file://"+page)
	var dom, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &dom, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if i := strings.Index(log.String(), "CONSOLE"); i >= 0 {
		t.Errorf("the console says %s", log.String()[i:])
	}
	for _, want := range []string{"evaluate.final", "Where the time went", "<svg"} {
		if !strings.Contains(dom.String(), want) {
			t.Errorf("the browser does not see %q", want)
		}
	}
	raw, err := os.ReadFile(netLog)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(raw) {
		t.Fatal("the browser's log of requests is cut short")
	}
	// What a page from a file asks for leaves its address here, even offline.
	for _, m := range regexp.MustCompile(`"network_isolation_key":"[^"]*file://[^\n]*?"url":"(https?://[^"]*)"`).FindAllSubmatch(raw, -1) {
		t.Errorf("the page asks for %s", m[1])
	}
}
