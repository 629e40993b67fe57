package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

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
