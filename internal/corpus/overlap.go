package corpus

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// OverlapDigest returns the SHA-256 of each window's ids, 4 bytes each,
// little-endian: equal digests are equal windows.
func OverlapDigest(w WindowSet) [][sha256.Size]byte {
	out := make([][sha256.Size]byte, w.Len())
	buf := make([]byte, 0, 4*w.SequenceLength)
	for i := range out {
		buf = buf[:0]
		for _, id := range w.At(i) {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(id))
		}
		out[i] = sha256.Sum256(buf)
	}
	return out
}

// Shared counts the digests of test that also stand in calibration: test
// windows that the calibration holds id for id.
func Shared(calibration, test [][sha256.Size]byte) int {
	seen := make(map[[sha256.Size]byte]bool, len(calibration))
	for _, d := range calibration {
		seen[d] = true
	}
	n := 0
	for _, d := range test {
		if seen[d] {
			n++
		}
	}
	return n
}

const (
	// passageLength is the ids in a passage: long enough that two texts share
	// one only by copying, short enough to find a copied paragraph.
	passageLength = 32
	// passageSample: one passage in so many is kept. Keeping is decided by the
	// passage's own hash, so two texts keep the same ones.
	passageSample = 16
)

// Passages is a sample of the hashes of all passages of 32 ids that lie in the
// windows of a set, sorted, each once. Unlike whole windows, passages are found
// again where the same text was cut at other places.
type Passages []uint64

// PassagesOf samples the passages of w. Windows shorter than a passage have
// none.
func PassagesOf(w WindowSet) Passages {
	const base = 0x9e3779b97f4a7c15 // odd, so that powers of it never vanish
	top := uint64(1)                // base^passageLength, the weight of the id that leaves
	for range passageLength {
		top *= base
	}
	var kept Passages
	for i := range w.Len() {
		ids := w.At(i)
		var h uint64
		for k, id := range ids {
			h = h*base + scramble(uint64(uint32(id)))
			if k >= passageLength {
				h -= top * scramble(uint64(uint32(ids[k-passageLength])))
			}
			if mixed := scramble(h); k >= passageLength-1 && mixed%passageSample == 0 {
				kept = append(kept, mixed)
			}
		}
	}
	slices.Sort(kept)
	return slices.Compact(kept)
}

// ShareIn is the fraction of p that also stands in other, 0 for an empty p.
func (p Passages) ShareIn(other Passages) float64 {
	n := 0
	for _, h := range p {
		if _, ok := slices.BinarySearch(other, h); ok {
			n++
		}
	}
	return float64(n) / float64(max(len(p), 1))
}

// scramble is the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)
// after adding its increment, so that 0 does not map to 0.
func scramble(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
