package cache

import (
	"fmt"
	"testing"

	"github.com/compressc/compressc/cache/fault"
)

// A removal ends the memos from before it, also if the write that says so is
// lost in part.
func TestRemovalEndsMemos(t *testing.T) {
	const name = "what was found"
	// memos removes twice, before each of which there is a good memo, and
	// returns at which write to the disk each removal began.
	memos := func(t *testing.T, faults *fault.Set) (at [2]int) {
		s := openStore(t, t.TempDir(), Options{Fault: faults})
		for i := range at {
			d := mustPut(t, s, []byte("checkpoint"))
			if err := s.Remember(key(name), []byte(name)); err != nil {
				t.Fatal(err)
			}
			if body, ok := s.Recall(key(name)); !ok || string(body) != name {
				t.Errorf("before removal %d: %q, %v", i, body, ok)
			}
			at[i] = faults.Hits(fault.Write) + 1
			if n, err := s.Remove(d); n != 1 || err != nil {
				t.Errorf("removal %d: %d, %v", i, n, err)
			}
			if body, ok := s.Recall(key(name)); ok {
				t.Errorf("after removal %d there is still %q", i, body)
			}
		}
		return at
	}
	at := memos(t, &fault.Set{})
	for _, mode := range []fault.Mode{fault.Short, fault.Flip} {
		for i, n := range at {
			t.Run(fmt.Sprintf("%s/%d", mode, i), func(t *testing.T) {
				faults, err := fault.Parse(fmt.Sprintf("%s:%d:%s", fault.Write, n, mode))
				if err != nil {
					t.Fatal(err)
				}
				memos(t, faults)
			})
		}
	}
}
