package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/spell"
)

// limitEnv stands in place of the flag -cache-limit.
const limitEnv = "COMPRESSC_CACHE_LIMIT"

// cacheLimit is what the cache's blobs may take together, by the flag, the
// environment, or the size of its disk; 0 is no limit.
func cacheLimit(s *cache.Store, flag string) (int64, error) {
	text := cmp.Or(flag, os.Getenv(limitEnv))
	if text == "" {
		return s.DefaultLimit(), nil
	}
	name := "-cache-limit"
	if flag == "" {
		name = limitEnv
	}
	return parseBytes(name, text, "50GB, or 0 for no limit")
}

// trim holds the cache to its limit after a run. What goes wrong with that is
// no failure of the run.
func trim(ctx context.Context, s *cache.Store, limit int64, note func(string)) {
	if limit == 0 {
		return
	}
	r, err := s.Trim(ctx, limit)
	switch {
	case errors.Is(err, cache.ErrInUse), ctx.Err() != nil:
		return // another process is at it, or the next run will be
	case err != nil:
		note(fmt.Sprintf("The cache was not held to its limit of %s: %v", spell.Bytes(limit), err))
		return
	case r == nil:
		return
	}
	if r.Evicted.Files > 0 {
		note(fmt.Sprintf("The cache was above its limit of %s (-cache-limit): the bytes of %s went, %s. They stay on record and are made again when something reads them, in at most %s each.",
			spell.Bytes(limit), spell.Plural(r.Evicted.Files, "result", "results"), spell.Bytes(r.Blobs.Bytes), spell.Seconds(r.Rebuild)))
	}
	if r.Over > 0 {
		note(fmt.Sprintf("The cache is %s above its limit of %s (-cache-limit): what recent runs rely on, what is pinned and what is younger than a day stays. To make room all the same: compressc cache gc -keep-runs 1.",
			spell.Bytes(r.Over), spell.Bytes(limit)))
	}
}

// limitNote says what the limit is, where there is one.
func limitNote(limit int64) string {
	if limit == 0 {
		return ""
	}
	return ", " + spell.Bytes(limit) + " at most"
}
