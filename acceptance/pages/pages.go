// Package pages keeps what long measurements found, section by section, so that
// a report that was broken off goes on where it was.
package pages

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Page is what a section found. It is for one goroutine.
type Page struct {
	Text string `json:"text"`
	// Broken are promises that were not kept, without a known reason.
	Broken  []string `json:"broken"`
	Seconds float64  `json:"seconds"`

	// Small pages are of a model cut so far that comparisons with numbers
	// measured on the whole one mean nothing.
	Small bool `json:"-"`
}

// Printf adds to the text.
func (p *Page) Printf(format string, args ...any) { p.Text += fmt.Sprintf(format, args...) }

// Verdict is a mark; what is not kept is noted unless the reason is known.
func (p *Page) Verdict(what string, kept, known bool) string {
	if kept {
		return "✓"
	}
	if !known {
		p.Broken = append(p.Broken, what)
	}
	return "✗"
}

// Agreement is the verdict on a comparison with numbers that were measured on
// the whole model, which means nothing on a small page.
func (p *Page) Agreement(what string, kept, known bool) string {
	return p.Verdict(what, kept, known || p.Small)
}

// Kept is a folder of the pages that were measured. Pages count as long as Key,
// a digest of all that they depend on, is the same.
type Kept struct{ Dir, Key string }

type keptPage struct {
	Key  string    `json:"key"`
	Time time.Time `json:"time"`
	Page
}

func (k Kept) path(name string) string { return filepath.Join(k.Dir, name+".json") }

// Load returns nil where there is no page that still holds.
func (k Kept) Load(name string) *Page {
	b, err := os.ReadFile(k.path(name))
	var p keptPage
	if err != nil || json.Unmarshal(b, &p) != nil || p.Key != k.Key {
		return nil
	}
	return &p.Page
}

// Save keeps a page; it appears whole or not at all.
func (k Kept) Save(name string, p *Page) error {
	b, err := json.MarshalIndent(keptPage{k.Key, time.Now().UTC(), *p}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(k.Dir, 0o777); err != nil {
		return err
	}
	tmp := k.path(name) + ".tmp"
	if err := os.WriteFile(tmp, b, 0o666); err != nil {
		return err
	}
	return os.Rename(tmp, k.path(name))
}

// Key identifies what a page depends on: this command, files such as a program
// and pipelines, and what else rest says.
func Key(rest string, files ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, path := range append([]string{self}, files...) {
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
	io.WriteString(h, rest)
	return hex.EncodeToString(h.Sum(nil)), nil
}
