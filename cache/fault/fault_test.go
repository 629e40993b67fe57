package fault

import (
	"bytes"
	"errors"
	"math/bits"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"write":           "point:N",
		"write:1:kill:2":  "point:N",
		"nowhere:1":       "nowhere",
		"write:0":         "count",
		"write:x":         "count",
		"write:1:explode": "explode",
		"rename:1:flip":   "needs a point that writes",
		"sync:1:short":    "needs a point that writes",
		"sync:1:ahead":    "needs the point clock",
		"clock:1":         "needs mode ahead",
		"write:1,":        "point:N",
		",":               "point:N",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), EnvVar) {
			t.Errorf("Parse(%q): %v; want it to mention %q and %s", text, err, want, EnvVar)
		}
	}
	if s, err := Parse(""); s != nil || err != nil {
		t.Errorf("Parse of nothing = %v, %v", s, err)
	}
	s, err := Parse("write:2:flip,rename:1,index:3:enospc,lease:1:short,remove:4:readonly")
	if err != nil || len(s.rules) != 5 || s.rules[1].mode != Kill {
		t.Errorf("Parse = %+v, %v", s, err)
	}
}

func TestNilSetDoesNothing(t *testing.T) {
	var s *Set
	var b bytes.Buffer
	if n, err := s.Write(Write, "f", &b, []byte("abc")); n != 3 || err != nil || b.String() != "abc" {
		t.Errorf("Write = %d, %v, %q", n, err, b.String())
	}
	if s.Hit(Rename, "f") != nil || s.Hits(Rename) != 0 {
		t.Error("a nil Set acts")
	}
}

func TestHit(t *testing.T) {
	s, err := Parse("rename:2:enospc,sync:1:readonly")
	if err != nil {
		t.Fatal(err)
	}
	var trace []string
	s.Trace = func(p Point, name string) { trace = append(trace, string(p)+" "+name) }
	for i, want := range []error{nil, syscall.ENOSPC, nil} {
		if err := s.Hit(Rename, "f"); !errors.Is(err, want) {
			t.Errorf("hit %d: %v, want %v", i+1, err, want)
		}
	}
	if err := s.Hit(Sync, "g"); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "g") {
		t.Errorf("sync: %v", err)
	}
	if s.Hits(Rename) != 3 || s.Hits(Sync) != 1 || s.Hits(Index) != 0 {
		t.Errorf("hits %v", s.hits)
	}
	if got := strings.Join(trace, ","); got != "rename f,rename f,rename f,sync g" {
		t.Errorf("trace %s", got)
	}
}

func TestWrite(t *testing.T) {
	data := []byte("0123456789")
	for _, c := range []struct {
		mode    Mode
		n, kept int
		err     error
	}{
		{Short, 10, 5, nil}, {Flip, 10, 10, nil}, {ENOSPC, 5, 5, syscall.ENOSPC}, {ReadOnly, 0, 0, syscall.EROFS},
	} {
		s, err := Parse("write:1:" + string(c.mode))
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		n, err := s.Write(Write, "f", &b, data)
		if n != c.n || !errors.Is(err, c.err) || b.Len() != c.kept {
			t.Errorf("%s: Write = %d, %v with %d bytes kept; want %d, %v, %d", c.mode, n, err, b.Len(), c.n, c.err, c.kept)
		}
		wrong := 0
		for i, x := range b.Bytes() {
			wrong += bits.OnesCount8(x ^ data[i])
		}
		if want := map[bool]int{true: 1}[c.mode == Flip]; wrong != want {
			t.Errorf("%s: %d bits are wrong, want %d", c.mode, wrong, want)
		}
		if string(data) != "0123456789" {
			t.Errorf("%s: the caller's bytes were changed", c.mode)
		}
		b.Reset()
		if n, err := s.Write(Write, "f", &b, data); n != 10 || err != nil || !bytes.Equal(b.Bytes(), data) {
			t.Errorf("%s: the second write = %d, %v, %q", c.mode, n, err, b.Bytes())
		}
	}
	s, _ := Parse("write:1:flip")
	if n, err := s.Write(Write, "f", &bytes.Buffer{}, nil); n != 0 || err != nil {
		t.Errorf("flip of nothing = %d, %v", n, err)
	}
}

func TestNow(t *testing.T) {
	var none *Set
	if d := time.Since(none.Now()); d.Abs() > time.Hour {
		t.Errorf("a nil Set's clock is off by %v", d)
	}
	s, err := Parse("clock:2:ahead,clock:4:back")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []time.Duration{0, jump, jump, -jump, -jump} {
		if d := time.Until(s.Now()) - want; d.Abs() > time.Hour {
			t.Errorf("reading %d is off by %v", i+1, d)
		}
	}
}

func TestFromEnvCountsPerProcess(t *testing.T) {
	t.Setenv(EnvVar, "write:7:enospc")
	a, err := FromEnv()
	if err != nil || a == nil {
		t.Fatal(a, err)
	}
	if b, err := FromEnv(); b != a || err != nil {
		t.Errorf("another Set for the same text: %v", err)
	}
	t.Setenv(EnvVar, "write:0")
	if _, err := FromEnv(); err == nil {
		t.Error("a bad text is accepted")
	}
	t.Setenv(EnvVar, "")
	if c, err := FromEnv(); c != nil || err != nil {
		t.Errorf("FromEnv of nothing = %v, %v", c, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("write:1:flip,lease:2")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil || s == nil {
			return
		}
		for _, r := range s.rules {
			if !r.point.known() || r.n < 1 {
				t.Errorf("%q gives %+v", text, r)
			}
		}
	})
}
