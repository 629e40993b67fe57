package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/compressc/compressc/cache/fault"
)

// PutEntry publishes what an action made. All blobs of durable and checkpoint
// outputs and the key record must be there (*MissingError); their names are
// made durable first. If the action has an entry with the same outputs, that
// one stays, except that a class that promises more is taken over. If it has
// one with other outputs, the first stays, the action is marked as tainted and
// the error is a *Conflict, then and later. e is not kept; a zero Created
// becomes now.
func (s *Store) PutEntry(e *Entry) error {
	e2 := *e
	e = &e2
	if e.Created.IsZero() {
		e.Created = s.now().UTC()
	}
	if err := e.Validate(); err != nil {
		return err
	}
	stored := e.blobs(isStored)
	if e.KeyRecord != "" {
		stored = append(stored, leaf{Digest: e.KeyRecord})
	}
	if err := s.requireBlobs(e.Action, stored); err != nil {
		return err
	}
	// Two rounds: of two processes that publish one action at one time, the
	// second finds the first one's entry in its second round.
	for range 2 {
		if c, ok := s.Tainted(e.Action); ok {
			return c
		}
		have, _, err := s.readEntry(e.Action)
		if err != nil {
			return err
		}
		how := keepFirst
		if have != nil {
			if !sameOutputs(have.Outputs, e.Outputs) {
				return s.taint(have, e)
			}
			merged, better := strengthen(have, e)
			if !better {
				return nil
			}
			e, how = merged, replace
		}
		data, err := e.encode()
		if err != nil {
			return err
		}
		path := s.shard(dirAct, e.Action)
		err = s.fault.Hit(fault.Index, path)
		if err == nil {
			err = s.writeRecord(path, data, "the entry of action "+e.Action.Short(), how)
		}
		if !errors.Is(err, fs.ErrExist) {
			return s.writeError("the entry of action "+e.Action.Short(), -1, err)
		}
	}
	return fmt.Errorf("cache: entry of action %s: it keeps changing under several processes; take LockAction first", e.Action.Short())
}

// strengthen gives the outputs of have the classes of e where those promise
// more, and reports whether that changed anything.
func strengthen(have, e *Entry) (*Entry, bool) {
	merged, better := *have, false
	merged.Outputs = append([]Output(nil), have.Outputs...)
	for i := range merged.Outputs {
		for _, o := range e.Outputs {
			if o.Name == merged.Outputs[i].Name && o.Class.strength() > merged.Outputs[i].Class.strength() {
				merged.Outputs[i].Class = o.Class
				better = true
			}
		}
	}
	return &merged, better
}

// requireBlobs leases blobs, checks that they exist in full and syncs their
// names.
func (s *Store) requireBlobs(action Digest, blobs []leaf) error {
	digests := digestsOf(blobs)
	if err := s.Lease(append(digests, action)...); err != nil {
		return err
	}
	var missing []Digest
	for _, b := range blobs {
		ok, err := s.intact(b)
		if err != nil {
			return err
		}
		if !ok {
			missing = append(missing, b.Digest)
		}
	}
	if missing != nil {
		return &MissingError{Action: action, Blobs: missing}
	}
	return s.Sync(digests...)
}

func digestsOf(blobs []leaf) []Digest {
	digests := make([]Digest, 0, len(blobs)+1)
	for _, b := range blobs {
		digests = append(digests, b.Digest)
	}
	return digests
}

// intact reports whether a leased blob exists, stored or external, with the
// size that its manifest gives. A stored one of another size is quarantined.
// Its use is noted.
func (s *Store) intact(b leaf) (bool, error) {
	info, err := s.statBlob(b.Digest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		size, err := s.Size(b.Digest)
		return err == nil && (b.Size == nil || *b.Size == size), nil
	case err != nil:
		return false, fmt.Errorf("cache: blob %s: %w", b.Digest.Short(), err)
	case b.Size != nil && info.Size() != *b.Size:
		return false, s.quarantine(b.Digest, info, fmt.Sprintf("it has %d bytes, its manifest says %d", info.Size(), *b.Size))
	}
	s.touch(s.shard(dirBlobs, b.Digest), info)
	return true, nil
}

// GetEntry looks an action up. It is a miss (false, no error) if there is no
// entry, if its text is damaged, or if a blob of a durable output is missing;
// in the last two cases the entry is dropped, so that the action runs again.
// After a hit, all blobs of the entry that exist stay while this process has
// the store open. For a tainted action the error is its *Conflict.
func (s *Store) GetEntry(action Digest) (*Entry, bool, error) {
	if err := action.check("action"); err != nil {
		return nil, false, err
	}
	if s.opts.Recompute {
		return nil, false, nil
	}
	if err := s.Lease(action); err != nil {
		return nil, false, err
	}
	if c, ok := s.Tainted(action); ok {
		return nil, false, c
	}
	e, data, err := s.readEntry(action)
	if e == nil || err != nil {
		return nil, false, err
	}
	// Leased before they are looked for, so that a concurrent gc either sees
	// the lease or has removed them already.
	leased := digestsOf(e.blobs(isAny))
	if e.KeyRecord != "" {
		leased = append(leased, e.KeyRecord)
	}
	if err := s.Lease(leased...); err != nil {
		return nil, false, err
	}
	for _, b := range e.blobs(isDurable) {
		ok, err := s.intact(b)
		if err != nil {
			return nil, false, err
		}
		if !ok {
			s.dropRecord(s.shard(dirAct, action), data, fmt.Errorf("its blob %s is gone", b.Digest.Short()))
			return nil, false, nil
		}
	}
	s.touchPath(s.shard(dirAct, action))
	return e, true, nil
}

// readEntry returns nil if there is no entry or a damaged one, which it drops.
// The second result is the entry's text as it is on disk.
func (s *Store) readEntry(action Digest) (*Entry, []byte, error) {
	path := s.shard(dirAct, action)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("cache: entry of action %s: %w", action.Short(), err)
	}
	e, err := parseEntry(data, action)
	if err != nil {
		s.dropRecord(path, data, err)
		return nil, nil, nil
	}
	return e, data, nil
}

// removeFile is the one place that takes something away for good. It reports
// whether there was something.
func (s *Store) removeFile(path string) (bool, error) {
	if err := s.fault.Hit(fault.Remove, path); err != nil {
		return false, err
	}
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cache: remove: %w", err)
	}
	return true, nil
}

const kindDef = "definition"

// PutDef notes that the definition key def last led to this action. That is a
// prediction, so it is written whole but not forced to disk.
func (s *Store) PutDef(def, action Digest) error {
	if err := errors.Join(def.check("definition"), action.check("action")); err != nil {
		return err
	}
	if have, ok := s.GetDef(def); ok && have == action {
		return nil
	}
	return s.writeHint(s.shard(dirDef, def), seal(kindDef, []byte(action)), "definition "+def.Short())
}

// GetDef returns the action that a definition key last led to. A damaged
// record is dropped and not found.
func (s *Store) GetDef(def Digest) (Digest, bool) {
	if !def.Valid() {
		return "", false
	}
	action, ok := s.readDef(def)
	if ok {
		s.touchPath(s.shard(dirDef, def))
	}
	return action, ok
}

// readDef is GetDef that is no use of the record.
func (s *Store) readDef(def Digest) (Digest, bool) {
	path := s.shard(dirDef, def)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	var action Digest
	if err == nil {
		action, err = parseDef(data)
	}
	if err != nil {
		s.dropRecord(path, data, err)
		return "", false
	}
	return action, true
}

func parseDef(data []byte) (Digest, error) {
	body, err := unseal(kindDef, data)
	if err != nil {
		return "", err
	}
	if d := Digest(body); d.Valid() {
		return d, nil
	}
	return "", fmt.Errorf("definition record: %.40q is not a digest", body)
}
