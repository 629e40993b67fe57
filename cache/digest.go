package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// A Digest is a SHA-256 in 64 lower-case hexadecimal digits: of a blob's
// bytes, or an action's or definition's key. The zero value is no digest.
type Digest string

const digestLen = 2 * sha256.Size

// Sum returns the digest of b.
func Sum(b []byte) Digest {
	sum := sha256.Sum256(b)
	return Digest(hex.EncodeToString(sum[:]))
}

func digestOf(h hash.Hash) Digest { return Digest(hex.EncodeToString(h.Sum(nil))) }

// Valid reports whether d is spelled like a digest. Only valid digests ever
// become part of a file name.
func (d Digest) Valid() bool {
	if len(d) != digestLen {
		return false
	}
	for i := range len(d) {
		if c := d[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// Short returns the first 12 digits, for messages.
func (d Digest) Short() string {
	if len(d) > 12 {
		return string(d[:12])
	}
	return string(d)
}

func (d Digest) check(what string) error {
	if !d.Valid() {
		return fmt.Errorf("cache: %s: %q is not a digest (want 64 lower-case hexadecimal digits)", what, string(d))
	}
	return nil
}
