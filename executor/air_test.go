package executor

import (
	"bytes"
	"testing"

	"github.com/compressc/compressc/internal/artifact"
)

// What is on its way is lent up to a bound, small leaves without one; what was lent
// stays readable when it has landed, and counts until it is given back.
func TestLeavesAreReadOnTheirWay(t *testing.T) {
	e := &Executor{air: newAir(5 * smallLeaf)}
	leaf := func(n int, fill byte) (artifact.Entry, []byte) {
		b := bytes.Repeat([]byte{fill}, n)
		return artifact.Entry{Name: string(fill), Digest: artifact.Sum(b), Size: int64(n)}, b
	}
	e.mem = newMemory(1<<30, t.TempDir(), t.Logf)
	a, aData := leaf(3*smallLeaf, 'a')
	b, bData := leaf(3*smallLeaf, 'b')
	c, cData := leaf(smallLeaf, 'c')
	empty, none := leaf(0, 'd')
	landings := map[artifact.Digest]*landing{}
	for _, x := range []struct {
		e artifact.Entry
		b []byte
	}{{a, aData}, {b, bData}, {c, cData}, {empty, none}} {
		landings[x.e.Digest] = e.air.takeOff(x.e.Digest, x.b)
	}
	r := newReader(e)
	for _, x := range []struct {
		e artifact.Entry
		b []byte
	}{{a, aData}, {c, cData}, {empty, none}} {
		got, err := r.load(x.e)
		if err != nil || !bytes.Equal(got, x.b) {
			t.Fatalf("leaf %s: %d bytes, %v", x.e.Name, len(got), err)
		}
	}
	if l, _, ok := e.air.lend(b.Digest); ok || l == nil {
		t.Fatal("more is lent than the bound")
	}
	e.air.land(a.Digest, landings[a.Digest])
	if got, err := r.load(a); err != nil || !bytes.Equal(got, aData) {
		t.Fatalf("after landing: %d bytes, %v", len(got), err)
	}
	if l, _, ok := e.air.lend(b.Digest); ok || l == nil {
		t.Fatal("landing gives back what is still read")
	}
	r.close()
	if _, n, ok := e.air.lend(b.Digest); !ok || n != 3*smallLeaf {
		t.Fatal("nothing was given back")
	}
}
