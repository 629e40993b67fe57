package corpus

import (
	"fmt"

	"github.com/compressc/compressc/internal/linalg/rng"
)

// The values of Spec.Select.
const (
	// SelectFirst takes windows in stream order.
	SelectFirst = "first"
	// SelectRandom draws windows without replacement and keeps the order drawn,
	// so that a smaller sample is the beginning of a larger one of the same seed.
	SelectRandom = "random"
)

// Spec says which windows of a stream to take.
type Spec struct {
	SequenceLength int    // ids in a window, at least 2: one to predict from the other
	Samples        int    // windows to take; 0 means all
	Offset         int    // windows at the start that are passed over
	Select         string // SelectFirst or SelectRandom; "" means SelectFirst
	Seed           uint64 // of SelectRandom
}

// WindowSet is windows chosen from a stream.
type WindowSet struct {
	// IDs holds the windows one after another, [Len(), SequenceLength].
	IDs            []int32
	SequenceLength int
	// Positions tells for each window which of the stream it is, from 0.
	Positions []int
}

// Len is the number of windows.
func (w WindowSet) Len() int { return len(w.Positions) }

// At returns window i, a view of IDs.
func (w WindowSet) At(i int) []int32 {
	return w.IDs[i*w.SequenceLength : (i+1)*w.SequenceLength : (i+1)*w.SequenceLength]
}

// Windows takes windows from a stream of ids as spec says. It copies what it
// takes.
func Windows(ids []int32, spec Spec) (WindowSet, error) {
	n := spec.SequenceLength
	switch {
	case n < 2:
		return WindowSet{}, fmt.Errorf("corpus: sequence_length is %d; expected at least 2", n)
	case spec.Samples < 0:
		return WindowSet{}, fmt.Errorf("corpus: samples is %d; expected 1 or more, or 0 for all", spec.Samples)
	case spec.Offset < 0:
		return WindowSet{}, fmt.Errorf("corpus: offset is %d; expected 0 or more", spec.Offset)
	}
	all := len(ids) / n
	left := max(all-spec.Offset, 0)
	take := spec.Samples
	if take == 0 {
		take = left
	}
	if left == 0 || take > left {
		return WindowSet{}, tooFew(len(ids), all, left, take, spec)
	}
	w := WindowSet{IDs: make([]int32, 0, take*n), SequenceLength: n, Positions: make([]int, take)}
	switch spec.Select {
	case SelectFirst, "":
		for i := range w.Positions {
			w.Positions[i] = i
		}
	case SelectRandom:
		copy(w.Positions, rng.New(spec.Seed, "corpus.windows").Perm(left))
	default:
		return WindowSet{}, fmt.Errorf("corpus: select is %q; expected %q or %q", spec.Select, SelectFirst, SelectRandom)
	}
	for i := range w.Positions {
		w.Positions[i] += spec.Offset
		at := w.Positions[i] * n
		w.IDs = append(w.IDs, ids[at:at+n]...)
	}
	return w, nil
}

func tooFew(ids, all, left, take int, spec Spec) error {
	have := fmt.Sprintf("%d tokens make %d windows of %d", ids, all, spec.SequenceLength)
	if spec.Offset > 0 {
		have += fmt.Sprintf(", of which %d remain after an offset of %d", left, spec.Offset)
	}
	if left == 0 {
		return fmt.Errorf("corpus: %s; give more text, a smaller sequence_length or a smaller offset", have)
	}
	return fmt.Errorf("corpus: %d samples are asked for, but %s; ask for at most %d, or give more text", take, have, left)
}
