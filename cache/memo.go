package cache

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/compressc/compressc/cache/fault"
)

// A memo is a caller's note, under a key of its choosing, so that it need not
// read many things again. One of what it has found on record is good for as
// long as nothing has been taken out of the store: each removal, by whatever
// process, begins by giving the store a new generation, and a memo of another
// generation is as good as none. So a memo that names entries and blobs which
// its writer relied on (they are leased, so they stay while it writes) never
// outlives them. Files that people delete by hand are not noticed.

const (
	kindMemo       = "memo"
	dirMemo        = "memo"
	fileGeneration = "generation"
	// timeless stands for the generation of a memo that names nothing.
	timeless = "timeless"
)

// generation identifies a stretch of time without removals. It is "" in a
// store from which nothing was ever removed.
func (s *Store) generation() (string, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, fileGeneration))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(b), err
}

// invalidate ends the generation. It comes before what is removed is removed.
// The file is written in place, as one that is half the old and half the new is
// a new one too. Like the memos, it is not forced to disk: a power cut that
// brings an old generation back costs a wrong memo's reader a second look.
func (s *Store) invalidate() error {
	var random [8]byte
	rand.Read(random[:]) // never fails since Go 1.24
	const what = "its generation"
	path, text := filepath.Join(s.dir, fileGeneration), []byte(hex.EncodeToString(random[:]))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o666)
	if errors.Is(err, fs.ErrPermission) {
		return s.writeHint(path, text, what) // the file is another user's
	}
	if err == nil {
		_, err = s.fault.Write(fault.Write, path, f, text)
		err = errors.Join(err, f.Close())
	}
	return s.writeError(what, int64(len(text)), err)
}

// Remember stores a memo. What it names must be on record, and leased by this
// process, now.
func (s *Store) Remember(key Digest, body []byte) error {
	if err := key.check("memo"); err != nil {
		return err
	}
	g, err := s.generation()
	if err != nil {
		return err
	}
	return s.writeMemo(key, g, body)
}

// RememberAlways stores a memo of something that follows from its key alone,
// whatever is on record.
func (s *Store) RememberAlways(key Digest, body []byte) error {
	if err := key.check("memo"); err != nil {
		return err
	}
	return s.writeMemo(key, timeless, body)
}

func (s *Store) writeMemo(key Digest, g string, body []byte) error {
	return s.writeHint(s.shard(dirMemo, key), seal(kindMemo, append([]byte(g+"\n"), body...)), "a memo")
}

// Recall returns the memo under a key if there is one that is still good. It
// finds nothing while an action is tainted, or with Options.Recompute.
func (s *Store) Recall(key Digest) (body []byte, ok bool) {
	if !key.Valid() || s.opts.Recompute {
		return nil, false
	}
	data, err := os.ReadFile(s.shard(dirMemo, key))
	if err != nil {
		return nil, false
	}
	g, body, err := parseMemo(data)
	if err != nil {
		s.dropRecord(s.shard(dirMemo, key), data, err)
		return nil, false
	}
	if g == timeless {
		return body, true
	}
	if now, err := s.generation(); err != nil || now != g {
		return nil, false
	}
	tainted, err := os.ReadDir(filepath.Join(s.dir, dirTaint))
	return body, err == nil && len(tainted) == 0
}

func parseMemo(data []byte) (generation string, body []byte, err error) {
	body, err = unseal(kindMemo, data)
	if err != nil {
		return "", nil, err
	}
	g, body, ok := bytes.Cut(body, []byte{'\n'})
	if !ok {
		return "", nil, ErrCorrupt
	}
	return string(g), body, nil
}
