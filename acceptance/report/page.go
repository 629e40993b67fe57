package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// page is what a section found.
type page struct {
	Text string `json:"text"`
	// Broken are promises that were not kept, without a known reason.
	Broken  []string `json:"broken"`
	Seconds float64  `json:"seconds"`

	small bool
}

func (p *page) printf(format string, args ...any) { p.Text += fmt.Sprintf(format, args...) }

// verdict is a mark; what is not kept is noted unless the reason is known.
func (p *page) verdict(what string, kept, known bool) string {
	if kept {
		return "✓"
	}
	if !known {
		p.Broken = append(p.Broken, what)
	}
	return "✗"
}

// agreement is the verdict on a comparison with numbers that were measured on
// the whole model, which means nothing in a small report.
func (p *page) agreement(what string, kept, known bool) string {
	return p.verdict(what, kept, known || p.small)
}

// key identifies what a page depends on: the program, this command, the
// pipelines, and how much is measured.
func (r *report) key() (string, error) {
	h := sha256.New()
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	pipelines, err := filepath.Glob(pipelinePath("*"))
	if err != nil {
		return "", err
	}
	for _, path := range append([]string{r.program.Path, self}, pipelines...) {
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", err
		}
	}
	fmt.Fprintf(h, "%+v %s", r.scale, r.reference.Dir)
	return hex.EncodeToString(h.Sum(nil)), nil
}

// keptPages is the folder of the pages that were measured.
type keptPages struct{ dir, key string }

type keptPage struct {
	Key  string    `json:"key"`
	Time time.Time `json:"time"`
	page
}

func (k keptPages) path(name string) string { return filepath.Join(k.dir, name+".json") }

// load returns nil where there is no page that still holds.
func (k keptPages) load(name string) *page {
	b, err := os.ReadFile(k.path(name))
	var p keptPage
	if err != nil || json.Unmarshal(b, &p) != nil || p.Key != k.key {
		return nil
	}
	return &p.page
}

func (k keptPages) save(name string, p *page) error {
	b, err := json.MarshalIndent(keptPage{k.key, time.Now().UTC(), *p}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(k.dir, 0o777); err != nil {
		return err
	}
	tmp := k.path(name) + ".tmp"
	if err := os.WriteFile(tmp, b, 0o666); err != nil {
		return err
	}
	return os.Rename(tmp, k.path(name))
}

func pipelinePath(name string) string {
	return filepath.Join("acceptance", "pipelines", name+".pipeline.hcl")
}

// list joins what there is of a list, or says that there is nothing.
func list(items []string) string {
	if len(items) == 0 {
		return "none"
	}
	return strings.Join(items, "; ")
}
