package acceptance

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// root is the module's folder, seen from the tests.
const root = ".."

// long reports whether the long form of a test is asked for.
func long() bool { return os.Getenv("COMPRESSC_LONG_TESTS") != "" }

// reference skips the test where the reference material is not at hand.
func reference(t testing.TB) Reference {
	t.Helper()
	r, err := FindReference("", root)
	if err != nil {
		t.Skip(err)
	}
	return r
}

// shared is a cache that all tests on the real model use, so that what one has
// computed another finds. COMPRESSC_ACCEPTANCE_CACHE keeps it between runs.
var shared struct {
	sync.Once
	dir       string
	temporary bool
	err       error
}

func sharedCache(t testing.TB) string {
	t.Helper()
	shared.Do(func() {
		if shared.dir = os.Getenv("COMPRESSC_ACCEPTANCE_CACHE"); shared.dir == "" {
			shared.dir, shared.err = os.MkdirTemp("", "compressc-acceptance")
			shared.temporary = true
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.dir
}

// built is the program, built once for all tests that run it.
var built struct {
	sync.Once
	program *Program
	dir     string
	err     error
}

func program(t testing.TB) *Program {
	t.Helper()
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "compressc-program"); built.err == nil {
			built.program, built.err = BuildProgram(context.Background(), root, built.dir)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.program
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.temporary {
		_ = os.RemoveAll(shared.dir)
	}
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// open plans a pipeline on the reference model: model.base, and the protocol's
// data.calib and data.test, stand before text.
func open(t testing.TB, r Reference, text string, o SessionOptions) *Session {
	t.Helper()
	if o.CacheDir == "" {
		o.CacheDir = sharedCache(t)
	}
	if o.Memory == 0 {
		o.Memory = 2 << 30
	}
	s, err := OpenSession(t.TempDir(), protocol(r)+text, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// protocol is the fixed part of every pipeline on the reference model. The
// short form measures on four windows.
func protocol(r Reference) string {
	samples := "4"
	if long() {
		samples = "20"
	}
	return strings.NewReplacer("MODEL", filepath.ToSlash(r.Model()), "CALIB", filepath.ToSlash(r.Text("calib")),
		"TEST", filepath.ToSlash(r.Text("test")), "SAMPLES", samples).Replace(`
model "base" {
  source = "MODEL"
}
data "text" "calib" {
  source          = "CALIB"
  tokenizer       = model.base
  sequence_length = 512
  samples         = 16
}
data "text" "test" {
  source          = "TEST"
  tokenizer       = model.base
  sequence_length = 512
  samples         = SAMPLES
}
`)
}
