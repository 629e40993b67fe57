package tokenizer

import "math"

// linearMerge is the word length in symbols up to which scanning for the best
// pair beats a heap; real words are far below it.
const linearMerge = 48

// mergeScratch is the working memory of joinWord, reused from word to word.
type mergeScratch struct {
	ids   []int32
	ranks []int32
	into  []int32
	prev  []int32
	next  []int32
	heap  []uint64
}

// scratchKeep is the number of symbols beyond which scratch memory is given
// back after a word, so that one enormous word does not stay resident.
const scratchKeep = 1 << 16

// appendWord appends the ids of one word's bytes to dst.
func (v *vocabulary) appendWord(dst []int32, word string, sc *mergeScratch) []int32 {
	if v.whole != nil {
		if id, ok := v.whole[word]; ok {
			return append(dst, id)
		}
	}
	ids := sc.ids[:0]
	fused := false
	for i := range len(word) {
		id := v.byteID[word[i]]
		switch {
		case id >= 0:
			ids = append(ids, id)
			fused = false
		case v.unk >= 0 && !(v.fuseUnk && fused):
			ids = append(ids, v.unk)
			fused = true
		}
	}
	sc.ids = ids
	if len(v.joins) > 0 && len(ids) > 1 {
		if len(ids) <= linearMerge {
			ids = v.joinLinear(ids, sc)
		} else {
			ids = v.joinHeap(ids, sc)
		}
	}
	dst = append(dst, ids...)
	if cap(sc.ids) > scratchKeep {
		*sc = mergeScratch{}
	}
	return dst
}

const noRank = math.MaxInt32

func (v *vocabulary) join(left, right int32) (rank, into int32) {
	if m, ok := v.joins[pairKey(left, right)]; ok {
		return m.rank, m.id
	}
	return noRank, 0
}

// joinLinear merges in place by scanning for the lowest rank, leftmost first:
// quadratic, but without overhead. It returns a prefix of ids.
func (v *vocabulary) joinLinear(ids []int32, sc *mergeScratch) []int32 {
	ranks, into := sc.ranks[:0], sc.into[:0]
	for i := range len(ids) - 1 {
		r, to := v.join(ids[i], ids[i+1])
		ranks, into = append(ranks, r), append(into, to)
	}
	sc.ranks, sc.into = ranks, into
	for {
		at, best := -1, int32(noRank)
		for i, r := range ranks {
			if r < best {
				at, best = i, r
			}
		}
		if at < 0 {
			return ids
		}
		ids[at] = into[at]
		ids = append(ids[:at+1], ids[at+2:]...)
		ranks = append(ranks[:at], ranks[at+1:]...)
		into = append(into[:at], into[at+1:]...)
		if at > 0 {
			ranks[at-1], into[at-1] = v.join(ids[at-1], ids[at])
		}
		if at < len(ranks) {
			ranks[at], into[at] = v.join(ids[at], ids[at+1])
		}
	}
}

// joinHeap gives the same result as joinLinear in O(n log n): a heap of
// candidate pairs keyed by rank then position, over a linked list of symbols.
// A candidate is stale, and skipped, when the pair now at its position has
// another rank.
func (v *vocabulary) joinHeap(ids []int32, sc *mergeScratch) []int32 {
	n := len(ids)
	prev, next, heap := sc.prev[:0], sc.next[:0], sc.heap[:0]
	for i := range n {
		prev = append(prev, int32(i-1))
		next = append(next, int32(i+1))
		if i+1 < n {
			if r, _ := v.join(ids[i], ids[i+1]); r != noRank {
				heap = append(heap, uint64(r)<<32|uint64(i))
			}
		}
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		siftDown(heap, i)
	}
	const gone = -1 // an id no token has: the symbol was merged into its left neighbour
	for len(heap) > 0 {
		top := heap[0]
		heap[0] = heap[len(heap)-1]
		heap = heap[:len(heap)-1]
		siftDown(heap, 0)
		at := int32(uint32(top))
		if ids[at] == gone || int(next[at]) >= n {
			continue
		}
		right := next[at]
		r, to := v.join(ids[at], ids[right])
		if uint64(r) != top>>32 {
			continue
		}
		ids[at], ids[right] = to, gone
		next[at] = next[right]
		if int(next[at]) < n {
			prev[next[at]] = at
			if r, _ := v.join(ids[at], ids[next[at]]); r != noRank {
				heap = push(heap, uint64(r)<<32|uint64(at))
			}
		}
		if p := prev[at]; p >= 0 {
			if r, _ := v.join(ids[p], ids[at]); r != noRank {
				heap = push(heap, uint64(r)<<32|uint64(p))
			}
		}
	}
	sc.prev, sc.next, sc.heap = prev, next, heap
	kept := ids[:0]
	for _, id := range ids {
		if id != gone {
			kept = append(kept, id)
		}
	}
	return kept
}

func siftDown(h []uint64, i int) {
	for {
		c := 2*i + 1
		if c >= len(h) {
			return
		}
		if c+1 < len(h) && h[c+1] < h[c] {
			c++
		}
		if h[i] <= h[c] {
			return
		}
		h[i], h[c] = h[c], h[i]
		i = c
	}
}

func push(h []uint64, key uint64) []uint64 {
	h = append(h, key)
	for i := len(h) - 1; i > 0; {
		p := (i - 1) / 2
		if h[p] <= h[i] {
			break
		}
		h[p], h[i] = h[i], h[p]
		i = p
	}
	return h
}
