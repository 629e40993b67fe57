package cache

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// A store has a limit: how many bytes its blobs may take together. Who has
// written into it calls Trim at the end. Measuring a store takes a walk over all
// of it, so that what may still be written before the next walk is kept in a
// file: a hint, which two processes may lower at once and one of them lose.

const (
	kindRoom = "room"
	fileRoom = "room"
	// leastLimit is what a default limit is not below, however small the disk.
	leastLimit = 10 << 30
	// roomShare is the part of the limit that may be written before a store is
	// looked at again which stays above it, because what it holds is protected.
	roomShare = 20
)

// DefaultLimit is a quarter of the disk that the store is on, 10 GiB at least;
// 0, for none, where the disk's size is not known.
func (s *Store) DefaultLimit() int64 {
	n := diskBytes(s.dir)
	if n <= 0 {
		return 0
	}
	return max(n/4, leastLimit)
}

// Trim holds the store to a limit, once as much has been written that it may be
// above it: then gc evicts what is cheapest to make again, as GCOptions.MaxBytes
// says, and deletes it at once. The report is nil where nothing had to be done.
// ErrInUse is in the error's chain when a gc is under way.
func (s *Store) Trim(ctx context.Context, limit int64) (*GCReport, error) {
	wrote := s.wrote.Swap(0)
	if wrote == 0 {
		return nil, nil
	}
	room, err := s.readRoom(limit)
	if err == nil && room > wrote {
		return nil, s.writeRoom(limit, room-wrote)
	}
	// Not known, or used up.
	var held Count
	for f, err := range s.files(dirBlobs) {
		if err != nil {
			return nil, err
		}
		held.add(f.size)
	}
	if held.Bytes <= limit {
		return nil, s.writeRoom(limit, limit-held.Bytes)
	}
	r, err := s.GC(ctx, GCOptions{MaxBytes: limit, Now: true})
	if err != nil {
		return nil, err
	}
	return &r, s.writeRoom(limit, max(limit-r.Kept.Bytes, limit/roomShare))
}

func (s *Store) readRoom(limit int64) (room int64, err error) {
	data, err := os.ReadFile(filepath.Join(s.dir, fileRoom))
	if err != nil {
		return 0, err
	}
	body, err := unseal(kindRoom, data)
	if err != nil {
		return 0, err
	}
	var under int64
	if _, err := fmt.Sscanf(string(body), "%d %d\n", &under, &room); err != nil {
		return 0, err
	}
	if under != limit {
		return 0, fmt.Errorf("the limit was %d bytes, is %d", under, limit)
	}
	return room, nil
}

func (s *Store) writeRoom(limit, room int64) error {
	return s.writeHint(filepath.Join(s.dir, fileRoom), seal(kindRoom, fmt.Appendf(nil, "%d %d\n", limit, room)), "how much room there is")
}
