package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/compressc/compressc/acceptance"
)

// The short form of the soak: every target once, and as many faults as fit.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a hundred processes")
	}
	tmp, err := workFolder("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	root := filepath.Join("..", "..")
	program, err := acceptance.BuildProgram(t.Context(), root, tmp)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSoak(t.Context(), program, tmp, filepath.Join(root, "LICENSE"), 30)
	if err != nil {
		t.Fatal(err)
	}
	s.logf = t.Logf
	err = s.run(t.Context(), 30)
	t.Log("\n" + s.table())
	if err != nil {
		t.Error(err)
	}
	if s.total < 30 || len(s.faults) == 0 {
		t.Errorf("%d kills, other faults %v", s.total, s.faults)
	}
}
