package reapi

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/protobuf/proto"
)

// Digest names a blob: the SHA-256 of its bytes as 64 lower-case hexadecimal
// digits, and their number. It may be compared and be the key of a map.
type Digest struct {
	Hash string
	Size int64
}

// Sum returns the digest of b.
func Sum(b []byte) Digest {
	h := sha256.Sum256(b)
	return Digest{hex.EncodeToString(h[:]), int64(len(b))}
}

// Proto returns d as the protocol spells it.
func (d Digest) Proto() *repb.Digest { return &repb.Digest{Hash: d.Hash, SizeBytes: d.Size} }

func (d Digest) String() string { return fmt.Sprintf("%.12s/%d", d.Hash, d.Size) }

// FromProto reads a digest that a server sent. It fails if that is none.
func FromProto(p *repb.Digest) (Digest, error) {
	d := Digest{p.GetHash(), p.GetSizeBytes()}
	if raw, err := hex.DecodeString(d.Hash); err != nil || len(raw) != sha256.Size || d.Size < 0 || hex.EncodeToString(raw) != d.Hash {
		return Digest{}, fmt.Errorf("not a SHA-256 digest: %.80q of %d bytes", d.Hash, d.Size)
	}
	return d, nil
}

// Marshal returns a message's canonical bytes and their digest: messages whose
// digests are compared must be encoded by it.
func Marshal(m proto.Message) ([]byte, Digest) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("reapi: a message does not encode: %v", err))
	}
	return b, Sum(b)
}

// EmptyDirectory is the digest of a directory without entries.
var EmptyDirectory = Sum(nil)
