package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A Conflict says that one action gave two different results, which a kernel
// must not do. Both are remembered and the action is served to nobody until
// ClearTaint.
type Conflict struct {
	Action Digest    `json:"action"`
	Kernel string    `json:"kernel"`
	Have   []Output  `json:"have"` // the result that came first
	Got    []Output  `json:"got"`  // the one that differs
	Time   time.Time `json:"time"` // of the second
}

const kindTaint = "taint"

func (c *Conflict) Error() string {
	return fmt.Sprintf("kernel %s gave two different results for action %s: %s; it must give the same bits each time, so nothing of it can be trusted: report this, and compare both results before clearing the mark", c.Kernel, c.Action.Short(), c.difference())
}

// difference names the first output that differs.
func (c *Conflict) difference() string {
	for _, h := range c.Have {
		found := false
		for _, g := range c.Got {
			if g.Name != h.Name {
				continue
			}
			found = true
			if g.Digest != h.Digest {
				return fmt.Sprintf("output %q was %s and now is %s", h.Name, h.Digest.Short(), g.Digest.Short())
			}
		}
		if !found {
			return fmt.Sprintf("output %q is no longer made", h.Name)
		}
	}
	return fmt.Sprintf("it made %d outputs and now makes %d", len(c.Have), len(c.Got))
}

// taint records the conflict and returns it as the error.
func (s *Store) taint(have, got *Entry) error {
	c := &Conflict{Action: have.Action, Kernel: have.Kernel, Have: have.Outputs, Got: got.Outputs, Time: s.now().UTC()}
	body, err := json.Marshal(c)
	if err != nil {
		return errors.Join(c, err)
	}
	if err := s.writeRecord(s.taintPath(c.Action), seal(kindTaint, body), "the conflict of action "+c.Action.Short(), keepFirst); err != nil && !errors.Is(err, fs.ErrExist) {
		return errors.Join(c, err)
	}
	return c
}

func (s *Store) taintPath(action Digest) string {
	return filepath.Join(s.dir, dirTaint, string(action))
}

// Tainted returns the conflict that an action is marked with. A damaged mark
// still is a mark.
func (s *Store) Tainted(action Digest) (*Conflict, bool) {
	if !action.Valid() {
		return nil, false
	}
	data, err := os.ReadFile(s.taintPath(action))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	c := &Conflict{Action: action, Kernel: "(unknown)"}
	if err == nil {
		var body []byte
		if body, err = unseal(kindTaint, data); err == nil {
			err = json.Unmarshal(body, c)
		}
	}
	if err != nil {
		s.logf("cache: mark of tainted action %s: %v", action.Short(), err)
	}
	return c, true
}

// Taints returns all conflicts, in the order of their action keys.
func (s *Store) Taints() ([]*Conflict, error) {
	names, err := os.ReadDir(filepath.Join(s.dir, dirTaint))
	if err != nil {
		return nil, fmt.Errorf("cache: tainted actions: %w", err)
	}
	var all []*Conflict
	for _, n := range names {
		if c, ok := s.Tainted(Digest(n.Name())); ok {
			all = append(all, c)
		}
	}
	return all, nil
}

// ClearTaint drops an action's entry and then its mark, so that it runs again
// and may be believed again.
func (s *Store) ClearTaint(action Digest) error {
	if err := action.check("action"); err != nil {
		return err
	}
	return s.exclusive(func() error {
		if err := s.invalidate(); err != nil {
			return err
		}
		for _, path := range []string{s.shard(dirAct, action), s.taintPath(action)} {
			if _, err := s.removeFile(path); err != nil {
				return err
			}
		}
		return nil
	})
}
