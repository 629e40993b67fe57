package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// Polling for a lock starts fast, for actions that are about to end, and soon
// costs nothing.
const (
	lockPollFirst = 5 * time.Millisecond
	lockPollMost  = 250 * time.Millisecond
)

// LockAction waits until no other process and no other goroutine holds the
// lock of this action, and takes it. Who gets it should look GetEntry up
// again: the previous holder has probably just published. onWait, if not nil,
// is called when waiting starts and whenever the holder changes, with words
// for it such as "process 4711 on host a, since 12:30:05". The lock ends with
// unlock, which may be called more than once, or with the process.
func (s *Store) LockAction(ctx context.Context, action Digest, onWait func(holder string)) (unlock func(), err error) {
	if err := action.check("action"); err != nil {
		return nil, err
	}
	path := s.shard(dirLocks, action)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return nil, s.writeError("the lock of action "+action.Short(), -1, err)
	}
	holder, wait := "", lockPollFirst
	for {
		l, err := s.tryLock(path)
		if err != nil {
			return nil, s.writeError("the lock of action "+action.Short(), -1, err)
		}
		if l != nil {
			return s.unlocker(l), nil
		}
		if now := holderOf(path); onWait != nil && now != "" && now != holder {
			holder = now
			onWait(holder)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("cache: waiting for action %s: %w", action.Short(), context.Cause(ctx))
		case <-t.C:
		}
		wait = min(2*wait, lockPollMost)
	}
}

// tryLock returns nil if somebody holds the lock. Lock files are removed when
// they are given up, so having locked a file means something only if it still
// is the one at path.
func (s *Store) tryLock(path string) (*flock.Flock, error) {
	l := flock.New(path, flock.SetPermissions(0o644))
	ok, err := l.TryLock()
	if err != nil || !ok {
		return nil, err
	}
	mine, err := l.Stat()
	if err != nil {
		return nil, errors.Join(err, l.Unlock())
	}
	if there, err := os.Stat(path); err != nil || !os.SameFile(mine, there) {
		return nil, l.Unlock() // the next try creates a new one
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	text := fmt.Sprintf("process %d on host %s, since %s\n", os.Getpid(), host, s.now().Format(time.TimeOnly))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return nil, errors.Join(err, os.Remove(path), l.Unlock())
	}
	return l, nil
}

func (s *Store) unlocker(l *flock.Flock) func() {
	return sync.OnceFunc(func() {
		// Removed before it is unlocked: who locks it in between sees that it
		// is no longer the file at its path.
		if err := errors.Join(removeIfThere(l.Path()), l.Unlock()); err != nil {
			s.logf("cache: giving up %s: %v", l.Path(), err)
		}
	})
}

// holderOf is "" in the moment between a lock's taking and its inscription.
func holderOf(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, whole := strings.Cut(string(data), "\n")
	if !whole {
		return ""
	}
	return line
}
