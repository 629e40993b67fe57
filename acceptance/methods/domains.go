package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// domains are kinds of text that the reference texts alternate between.
var domains = []string{"novel", "commands", "manual"}

var (
	novelChapter = regexp.MustCompile(`^CHAPTER \w+$`)
	commandPage  = regexp.MustCompile(`^[\w ]{1,40} — .{1,80}$`)
	manualPage   = regexp.MustCompile(`^((Chapter|Appendix) )?[A-Z0-9]+\.(\d+\.)* `)
)

// splitDomains parts a reference text into chapters of novels, a database's
// reference pages on commands, and sections of its manual, and writes each kind to a
// file in dir, by domain.
func splitDomains(text, dir string) (map[string]string, error) {
	raw, err := os.ReadFile(text)
	if err != nil {
		return nil, err
	}
	parts := map[string]*strings.Builder{}
	for _, d := range domains {
		parts[d] = &strings.Builder{}
	}
	now := "novel"
	for line := range strings.Lines(string(raw)) {
		switch bare := strings.TrimSuffix(line, "\n"); {
		case novelChapter.MatchString(bare):
			now = "novel"
		case now != "novel": // a page ends where a chapter begins
		case commandPage.MatchString(bare):
			now = "commands"
		case manualPage.MatchString(bare):
			now = "manual"
		}
		parts[now].WriteString(line)
	}
	files := map[string]string{}
	for d, part := range parts {
		files[d] = filepath.Join(dir, d+".txt")
		if err := os.WriteFile(files[d], []byte(part.String()), 0o666); err != nil {
			return nil, err
		}
		if part.Len() < 100_000 {
			return nil, fmt.Errorf("%s: %d bytes of domain %s; expected more", text, part.Len(), d)
		}
	}
	return files, nil
}
