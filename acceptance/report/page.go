package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/compressc/compressc/acceptance/pages"
)

// key identifies what a page depends on: the program, this command, the
// pipelines, and how much is measured.
func (r *report) key() (string, error) {
	pipelines, err := filepath.Glob(pipelinePath("*"))
	if err != nil {
		return "", err
	}
	return pages.Key(fmt.Sprintf("%+v %s", r.scale, r.reference.Dir), append([]string{r.program.Path}, pipelines...)...)
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
