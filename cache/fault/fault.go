// Package fault makes a program fail at a named place, so that crash safety
// can be tested from outside, on the program that users run.
//
// Code that must survive a crash asks a *Set at each of its delicate places,
// the points: before an fsync, before a rename, while it writes. A nil *Set,
// the normal case, answers nil at the price of one comparison. A Set is armed
// from a test, or for a whole process from the environment:
//
//	COMPRESSC_FAULT=point:N[:mode][,point:N[:mode]…]
//
// fires at the N-th time (from 1) that the process comes by the point, once.
// The modes:
//
//	kill      SIGKILL to the own process; at a write, after half of the bytes (the default)
//	enospc    the operation fails with "no space left on device"; a write stores half first
//	readonly  the operation fails with "read-only file system"
//	short     a write stores half of the bytes and claims success
//	flip      a write stores all bytes, one bit of them wrong, and claims success
//	ahead     the clock jumps 30 days ahead and stays there
//	back      the clock jumps 30 days back and stays there
//
// short and flip stand for what a power cut or a bad disk leaves behind and
// are accepted at points that write only, ahead and back at the point clock,
// which accepts nothing else. The package knows nothing of the
// code that asks it.
package fault

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// EnvVar names the environment variable that FromEnv reads.
const EnvVar = "COMPRESSC_FAULT"

// A Point names a place where a fault can be asked for.
type Point string

// The points of package cache, in the order in which a blob and then an index
// entry come by them.
const (
	Lease   Point = "lease"   // a digest is appended to the process's lease file (writes)
	Write   Point = "write"   // bytes go to a file in tmp/ (writes)
	Sync    Point = "sync"    // before the fsync of a file in tmp/
	Rename  Point = "rename"  // before a file in tmp/ gets its final name
	SyncDir Point = "syncdir" // before the fsync of a folder
	Index   Point = "index"   // before an index entry is written, its blobs being durable
	Remove  Point = "remove"  // before an entry, blob or record is taken away
	Clock   Point = "clock"   // the time is asked for
)

// Points lists all points at which something is done to the disk, so that a
// test can walk them.
func Points() []Point {
	return []Point{Lease, Write, Sync, Rename, SyncDir, Index, Remove}
}

func (p Point) known() bool { return p == Clock || slices.Contains(Points(), p) }

func (p Point) writes() bool { return p == Lease || p == Write }

// A Mode says what happens at a point.
type Mode string

// The modes; the package comment describes them.
const (
	Kill     Mode = "kill"
	ENOSPC   Mode = "enospc"
	ReadOnly Mode = "readonly"
	Short    Mode = "short"
	Flip     Mode = "flip"
	Ahead    Mode = "ahead"
	Back     Mode = "back"
)

// jump is how far the clock jumps.
const jump = 30 * 24 * time.Hour

type rule struct {
	point Point
	n     int
	mode  Mode
}

// A Set holds the armed faults and counts how often each point was passed.
// All methods may be called on a nil *Set and from several goroutines.
type Set struct {
	// Trace, when not nil, is called at every point with the file or folder
	// concerned, before the fault, in the order in which the points are
	// passed. It must not call back into the Set. Set it before first use.
	Trace func(p Point, name string)
	// Pause, when not nil, is called like Trace, but by each goroutine for itself:
	// as long as it takes, only what passes the point is held up. Set it before
	// first use.
	Pause func(p Point, name string)

	mu    sync.Mutex
	rules []rule
	hits  map[Point]int
	shift time.Duration // of the clock
}

// Parse reads a list of faults in the form that the package comment shows. An
// empty text is a nil Set.
func Parse(text string) (*Set, error) {
	if text == "" {
		return nil, nil
	}
	s := &Set{}
	for _, item := range strings.Split(text, ",") {
		f := strings.Split(item, ":")
		if len(f) < 2 || len(f) > 3 {
			return nil, fmt.Errorf("%s: %q: want point:N or point:N:mode", EnvVar, item)
		}
		r := rule{point: Point(f[0]), mode: Kill}
		if !r.point.known() {
			return nil, fmt.Errorf("%s: %q: no point %q; there are %v", EnvVar, item, f[0], Points())
		}
		n, err := strconv.Atoi(f[1])
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%s: %q: want a count from 1, not %q", EnvVar, item, f[1])
		}
		r.n = n
		if len(f) == 3 {
			r.mode = Mode(f[2])
		}
		switch r.mode {
		case Ahead, Back:
			if r.point != Clock {
				return nil, fmt.Errorf("%s: %q: mode %s needs the point %s", EnvVar, item, r.mode, Clock)
			}
		case Kill, ENOSPC, ReadOnly:
		case Short, Flip:
			if !r.point.writes() {
				return nil, fmt.Errorf("%s: %q: mode %s needs a point that writes (%s or %s)", EnvVar, item, r.mode, Write, Lease)
			}
		default:
			return nil, fmt.Errorf("%s: %q: no mode %q; there are kill, enospc, readonly, short, flip, ahead, back", EnvVar, item, r.mode)
		}
		if r.point == Clock && r.mode != Ahead && r.mode != Back {
			return nil, fmt.Errorf("%s: %q: the point %s needs mode %s or %s", EnvVar, item, Clock, Ahead, Back)
		}
		s.rules = append(s.rules, r)
	}
	return s, nil
}

// fromEnv holds the process's one Set, so that passes are counted over all
// who ask for it.
var fromEnv struct {
	sync.Mutex
	text string
	set  *Set
}

// FromEnv returns the Set that the environment variable COMPRESSC_FAULT arms:
// the same each time, as long as the variable stays.
func FromEnv() (*Set, error) {
	fromEnv.Lock()
	defer fromEnv.Unlock()
	text := os.Getenv(EnvVar)
	if text == fromEnv.text {
		return fromEnv.set, nil
	}
	set, err := Parse(text)
	if err != nil {
		return nil, err
	}
	fromEnv.text, fromEnv.set = text, set
	return set, nil
}

// Hits returns how often p was passed.
func (s *Set) Hits(p Point) int {
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits[p]
}

// pass counts p and returns the mode that fires now, or "".
func (s *Set) pass(p Point, name string) Mode {
	if s.Pause != nil {
		s.Pause(p, name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hits == nil {
		s.hits = make(map[Point]int)
	}
	s.hits[p]++
	if s.Trace != nil {
		s.Trace(p, name)
	}
	for _, r := range s.rules {
		if r.point == p && r.n == s.hits[p] {
			return r.mode
		}
	}
	return ""
}

// Hit is called before an operation on the file or folder name. It returns
// the error that the operation is to fail with, or nil; in mode kill it does
// not return.
func (s *Set) Hit(p Point, name string) error {
	if s == nil {
		return nil
	}
	switch s.pass(p, name) {
	case Kill:
		killSelf()
	case ENOSPC:
		return &os.PathError{Op: string(p), Path: name, Err: syscall.ENOSPC}
	case ReadOnly:
		return &os.PathError{Op: string(p), Path: name, Err: syscall.EROFS}
	}
	return nil
}

// Write writes b to w, the file name, as w.Write(b) would, unless a fault
// fires. It does not modify b.
func (s *Set) Write(p Point, name string, w io.Writer, b []byte) (int, error) {
	if s == nil {
		return w.Write(b)
	}
	half := b[:len(b)/2]
	switch s.pass(p, name) {
	case Kill:
		// The write's own result is of no interest to a dying process.
		_, _ = w.Write(half)
		killSelf()
	case ENOSPC:
		n, err := w.Write(half)
		if err == nil {
			err = &os.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
		}
		return n, err
	case ReadOnly:
		return 0, &os.PathError{Op: "write", Path: name, Err: syscall.EROFS}
	case Short:
		if n, err := w.Write(half); err != nil {
			return n, err
		}
		return len(b), nil
	case Flip:
		if len(b) == 0 {
			break
		}
		bad := append([]byte(nil), b...)
		bad[len(bad)/2] ^= 1 << (len(bad) % 8)
		return w.Write(bad)
	}
	return w.Write(b)
}

// Now is time.Now, unless the clock has jumped.
func (s *Set) Now() time.Time {
	if s == nil {
		return time.Now()
	}
	switch s.pass(Clock, "") {
	case Ahead:
		s.move(jump)
	case Back:
		s.move(-jump)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.shift)
}

func (s *Set) move(by time.Duration) {
	s.mu.Lock()
	s.shift = by
	s.mu.Unlock()
}

// killSelf ends the process the way `kill -9` does: no deferred call, no
// signal handler, no flushing.
func killSelf() {
	p, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = p.Kill()
	}
	if err != nil {
		panic(fmt.Sprintf("fault: cannot kill the own process: %v", err))
	}
	select {} // the signal is on its way; nothing may happen in between
}
