// Command containment measures what a cache would save if it found tensors
// inside others, beyond what it shares already (equal tensors, and leading rows
// of one under the digest of the whole):
//
//	go run ./acceptance/containment CACHE
//
// For each stored tensor it asks whether its rows are those of another tensor,
// whether it is another one with zeros in it (then a mask of one bit a weight
// would do), and what a general compressor (zstd) makes of its difference from
// the tensor of the same name and shape that is nearest, against what it makes
// of the tensor alone. It prints how many bytes each would save. docs/cache.md
// says what came out and what was concluded.
package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/maphash"
	"log"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/klauspost/compress/zstd"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/spell"
)

func main() {
	log.SetFlags(0)
	sample := flag.Int("delta", 200, "of how many tensors to measure the difference from their nearest, as that takes long")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("one argument is expected: the folder of a cache")
	}
	if err := run(flag.Arg(0), *sample); err != nil {
		log.Fatal(err)
	}
}

// leaf is one stored tensor.
type leaf struct {
	artifact.Entry
	used int // how many trees have it
}

// rowLength is the bytes of one row, 0 where there is none.
func (l leaf) rowLength() int {
	if len(l.Meta.Shape) == 0 || l.Meta.Shape[0] == 0 {
		return 0
	}
	return int(l.Size) / l.Meta.Shape[0]
}

// kind groups tensors that could contain one another.
func (l leaf) kind() string { return fmt.Sprintf("%s %v %s", l.Name, l.Meta.Shape, l.Meta.DType) }

func run(dir string, sample int) error {
	store, err := cache.Open(dir, cache.Options{Verify: cache.VerifyNone})
	if err != nil {
		return err
	}
	leaves, sum, err := load(store)
	if err == nil {
		err = measure(store, leaves, sum, sample)
	}
	return errors.Join(err, store.Close())
}

// load lists the tensors that are in the store, by digest, and the bytes that
// they would take if each tree had its own.
func load(store *cache.Store) (leaves []leaf, apart int64, err error) {
	index := map[artifact.Digest]int{}
	for e, err := range store.Entries() {
		if err != nil {
			return nil, 0, err
		}
		for _, o := range e.Outputs {
			t, err := artifact.DecodeTree(o.Tree)
			if err != nil {
				return nil, 0, err
			}
			for _, x := range t.Entries {
				if o.Class != cache.Durable || len(x.Meta.Shape) == 0 {
					continue
				}
				apart += x.Bytes()
				if x.StoredRows > 0 {
					x.Meta.Shape = slices.Concat([]int{x.StoredRows}, x.Meta.Shape[1:])
				}
				if i, ok := index[x.Digest]; ok {
					leaves[i].used++
					continue
				}
				if _, err := os.Stat(fmt.Sprintf("%s/blobs/%s/%s", store.Dir(), x.Digest[:2], x.Digest)); err != nil {
					continue // a source's: it takes no room
				}
				index[x.Digest] = len(leaves)
				leaves = append(leaves, leaf{x, 1})
			}
		}
	}
	slices.SortFunc(leaves, func(a, b leaf) int { return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Digest, b.Digest)) })
	return leaves, apart, nil
}

// with calls f with a tensor's bytes.
func with(store *cache.Store, l leaf, f func([]byte)) error {
	b, err := store.Open(cache.Digest(l.Digest))
	if err != nil {
		return err
	}
	defer b.Release()
	f(b.Bytes())
	return nil
}

func measure(store *cache.Store, leaves []leaf, apart int64, sample int) error {
	var total int64
	for _, l := range leaves {
		total += l.Size
	}
	rows, err := rowsElsewhere(store, leaves)
	if err != nil {
		return err
	}
	masked, err := maskedOnes(store, leaves)
	if err != nil {
		return err
	}
	alone, delta, of, err := deltas(store, leaves, sample)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	line := func(what string, n, of int64) {
		fmt.Fprintf(w, "%s\t%s\t%.1f %%\n", what, spell.Bytes(n), 100*float64(n)/float64(max(1, of)))
	}
	fmt.Fprintf(w, "%d tensors stored\t%s\t\n", len(leaves), spell.Bytes(total))
	line("saved already: equal tensors and leading rows", max(0, apart-total), apart)
	line("rows that another tensor has: all of its rows", rows.whole, total)
	line("rows that another tensor has: some", rows.some, total)
	line("another tensor with zeros in it", masked, total)
	line(fmt.Sprintf("zstd of a sample of %s, alone", spell.Bytes(of)), of-alone, of)
	line("zstd of the difference from the nearest", of-delta, of)
	return w.Flush()
}

// found is how many bytes are rows that are elsewhere too: of tensors all of
// whose rows are, and of others.
type found struct{ whole, some int64 }

func rowsElsewhere(store *cache.Store, leaves []leaf) (found, error) {
	seed := maphash.MakeSeed()
	type where struct {
		length int
		hash   uint64
	}
	first := map[where]int{}
	var out found
	for i, l := range leaves { // the largest first: the smaller lie in them
		n := l.rowLength()
		if n < 16 || l.Size < 4096 {
			continue
		}
		hits := 0
		err := with(store, l, func(b []byte) {
			zero := make([]byte, n)
			for r := 0; r+n <= len(b); r += n {
				row := b[r : r+n]
				k := where{n, maphash.Bytes(seed, row)}
				if j, ok := first[k]; ok && j != i && !bytes.Equal(row, zero) {
					hits++
				} else {
					first[k] = i
				}
			}
		})
		if err != nil {
			return out, err
		}
		if hits == l.Meta.Shape[0] {
			out.whole += l.Size
		} else {
			out.some += int64(hits * n)
		}
	}
	return out, nil
}

// maskedOnes returns what a mask over another tensor would save.
func maskedOnes(store *cache.Store, leaves []leaf) (int64, error) {
	var saved int64
	for _, group := range byKind(leaves) {
		for _, a := range group {
			ok := false
			err := with(store, a, func(x []byte) {
				for _, b := range group {
					if ok || b.Digest == a.Digest {
						continue
					}
					if err := with(store, b, func(y []byte) { ok = isMasked(x, y) }); err != nil {
						ok = false
					}
				}
			})
			if err != nil {
				return 0, err
			}
			if ok {
				saved += a.Size - a.Size/32
			}
		}
	}
	return saved, nil
}

// isMasked reports whether the float32 of x are those of y or zero, and some
// are zero.
func isMasked(x, y []byte) bool {
	if len(x) != len(y) || len(x)%4 != 0 {
		return false
	}
	zeros := 0
	for i := 0; i < len(x); i += 4 {
		v := binary.LittleEndian.Uint32(x[i:])
		if v<<1 == 0 {
			zeros++
		} else if v != binary.LittleEndian.Uint32(y[i:]) {
			return false
		}
	}
	return zeros > 0
}

func byKind(leaves []leaf) [][]leaf {
	index := map[string]int{}
	var out [][]leaf
	for _, l := range leaves {
		if l.Size < 4096 {
			continue
		}
		i, ok := index[l.kind()]
		if !ok {
			i = len(out)
			index[l.kind()] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], l)
	}
	return slices.DeleteFunc(out, func(g []leaf) bool { return len(g) < 2 })
}

// deltas compresses a sample of tensors alone, and the difference (exclusive
// or) from whichever of the next few of their kind gives least. The base of
// one is not made to depend on it in turn.
func deltas(store *cache.Store, leaves []leaf, sample int) (alone, delta, of int64, err error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return 0, 0, 0, err
	}
	const near = 3
	groups := byKind(leaves)
	for done, i := 0, 0; done < sample && len(groups) > 0; i++ {
		g := groups[i%len(groups)]
		k := i / len(groups)
		if k >= len(g)-1 {
			if k > len(leaves) {
				break
			}
			continue
		}
		done++
		err := with(store, g[k], func(x []byte) {
			best := len(enc.EncodeAll(x, nil))
			alone += int64(best)
			of += int64(len(x))
			for _, base := range g[k+1 : min(len(g), k+1+near)] {
				_ = with(store, base, func(y []byte) { // one that is gone is no base
					d := make([]byte, len(x))
					for i := range d {
						d[i] = x[i] ^ y[i]
					}
					best = min(best, len(enc.EncodeAll(d, nil)))
				})
			}
			delta += int64(best)
		})
		if err != nil {
			return 0, 0, 0, err
		}
	}
	return alone, delta, of, nil
}
