package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/compressc/compressc/cache/fault"
)

// An injection is a fault that kills nobody.
type injection struct {
	name string
	// arm returns what COMPRESSC_FAULT is to be, or damages the cache.
	arm func(s *soak) (string, error)
	gc  bool // it meets a gc, not a run
	// says are words that a failure's message must have one of.
	says []string
	// sound says that check must find nothing afterwards: the disk told the
	// truth.
	sound bool
}

// injections lists them all.
func injections() []injection {
	var all []injection
	armed := func(p fault.Point, m fault.Mode, most int) func(*soak) (string, error) {
		return func(s *soak) (string, error) {
			return fmt.Sprintf("%s:%d:%s", p, 1+s.rng.IntN(most), m), nil
		}
	}
	for _, p := range fault.Points() {
		all = append(all,
			injection{name: "full disk at " + string(p), arm: armed(p, fault.ENOSPC, 30), says: []string{"no space left on device"}, sound: true},
			injection{name: "read-only folder at " + string(p), arm: armed(p, fault.ReadOnly, 30), says: []string{"read-only"}, sound: true})
	}
	for _, p := range []fault.Point{fault.Write, fault.Lease} {
		for _, m := range []fault.Mode{fault.Short, fault.Flip} {
			all = append(all, injection{name: fmt.Sprintf("%s at %s", m, p), arm: armed(p, m, 60), says: []string{"cache"}})
		}
	}
	for _, m := range []fault.Mode{fault.Ahead, fault.Back} {
		all = append(all,
			injection{name: "clock jumps " + string(m) + " in a run", arm: armed(fault.Clock, m, 40), sound: true},
			injection{name: "clock jumps " + string(m) + " in a gc", arm: armed(fault.Clock, m, 6), gc: true, says: []string{"clock"}, sound: true})
	}
	for _, kind := range []string{"blobs", "act", "def", "runs", "leases", "memo", "stat", "ext", "VERSION"} {
		all = append(all, injection{name: "bit flipped in " + kind, arm: flipIn(kind), says: []string{"VERSION", "layout version"}})
	}
	return append(all, injection{name: "folder without write permission", arm: func(s *soak) (string, error) { return "", nil }, says: []string{"permission"}, sound: true})
}

// flipIn flips a bit in a drawn file of the cache.
func flipIn(kind string) func(*soak) (string, error) {
	return func(s *soak) (string, error) {
		if kind == "leases" {
			// That of a process which died.
			name := filepath.Join(s.cache, kind, "1-000000000000.lease")
			if err := os.WriteFile(name, []byte("\n"+strings.Repeat("ab", 32)), 0o644); err != nil {
				return "", err
			}
		}
		var files []string
		err := filepath.WalkDir(filepath.Join(s.cache, kind), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				if info, err := d.Info(); err == nil && info.Size() > 0 {
					files = append(files, path)
				}
			}
			return err
		})
		if err != nil {
			return "", err
		}
		if len(files) == 0 {
			return "", fmt.Errorf("no files in %s", kind)
		}
		return "", s.flip(files[s.rng.IntN(len(files))])
	}
}

func (s *soak) flip(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[s.rng.IntN(len(b))] ^= 1 << s.rng.IntN(8)
	return errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, b, 0o444))
}

// faultRound meets the i-th injection.
func (s *soak) faultRound(ctx context.Context, i int) error {
	in := injections()[i%len(injections())]
	variant, err := s.prepare(ctx, false)
	if err != nil {
		return fmt.Errorf("before %s: %w", in.name, err)
	}
	if in.gc || strings.HasPrefix(in.name, "bit flipped") {
		if err := s.settle(ctx, variant); err != nil {
			return fmt.Errorf("before %s: %w", in.name, err)
		}
	}
	if in.gc {
		if err := s.age(); err != nil {
			return err
		}
	}
	if strings.HasPrefix(in.name, "folder") {
		return s.lockedFolder(ctx, in)
	}
	faults, err := in.arm(s)
	if err != nil {
		return fmt.Errorf("%s: %w", in.name, err)
	}
	var p *process
	if in.gc {
		p, err = s.startGC(ctx, faults)
	} else {
		p, err = s.startRun(ctx, 0, variant, faults)
	}
	if err != nil {
		return err
	}
	p.wait()
	if err := s.judge(p, in, variant); err != nil {
		return fmt.Errorf("%s (%s): %w", in.name, faults, err)
	}
	if in.sound {
		err = s.check(ctx, false)
	} else {
		err = s.mend(ctx)
	}
	if err == nil {
		err = s.settle(ctx, variant)
	}
	if err != nil {
		return fmt.Errorf("after %s (%s): %w", in.name, faults, err)
	}
	return nil
}

// judge accepts a right result and a failure that says why.
func (s *soak) judge(p *process, in injection, variant string) error {
	var exit *exec.ExitError
	switch {
	case p.err == nil && in.gc:
	case p.err == nil:
		if err := s.verdict(p, 0, variant); err != nil {
			return err
		}
	case !errors.As(p.err, &exit) || exit.ExitCode() != 1 && exit.ExitCode() != 4:
		return fmt.Errorf("it ended with %w\n%s", p.err, p.said())
	default:
		clear := false
		for _, words := range in.says {
			clear = clear || strings.Contains(p.said(), words)
		}
		if !clear || strings.Contains(p.said(), "goroutine ") {
			return fmt.Errorf("the message does not say why: want one of %q in\n%s", in.says, p.said())
		}
		s.faults[in.name+": clean failure"]++
		return nil
	}
	s.faults[in.name+": right"]++
	return nil
}

// mend is what a user does who is told of damage: a VERSION file that does not
// read is removed, and check repairs the rest.
func (s *soak) mend(ctx context.Context) error {
	p, err := s.start(exec.CommandContext(ctx, s.program.Path, "cache", "du", "-cache-dir", s.cache), "")
	if err != nil {
		return err
	}
	if p.wait(); p.err != nil {
		if !strings.Contains(p.said(), "VERSION") && !strings.Contains(p.said(), "layout version") {
			return fmt.Errorf("the cache does not open: %s", p.said())
		}
		if err := os.Remove(filepath.Join(s.cache, "VERSION")); err != nil {
			return err
		}
	}
	if err := s.check(ctx, true); err != nil {
		return err
	}
	return s.check(ctx, false)
}

// lockedFolder takes the permission to write away. For root, who may write
// anyway, the run must be right.
func (s *soak) lockedFolder(ctx context.Context, in injection) error {
	if err := os.MkdirAll(s.cache, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(s.cache, 0o555); err != nil {
		return err
	}
	p, err := s.startRun(ctx, 0, variants[0], "")
	if err != nil {
		return err
	}
	p.wait()
	if err := errors.Join(s.judge(p, in, variants[0]), os.Chmod(s.cache, 0o777)); err != nil {
		return fmt.Errorf("%s: %w", in.name, err)
	}
	return s.settle(ctx, variants[0])
}
