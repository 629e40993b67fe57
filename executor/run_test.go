package executor

import (
	"encoding/json"
	"testing"

	"github.com/compressc/compressc/internal/action"
)

func unmarshal(b []byte, v any) error { return json.Unmarshal(b, v) }

func TestChain(t *testing.T) {
	w := newWorld(t)
	build := func() (a, b, c action.Ref) {
		s := w.source("hello")
		a = w.toy(toyParams{Name: "a"}, transient, s)
		b = w.toy(toyParams{Name: "b"}, transient, a)
		c = w.toy(toyParams{Name: "c"}, durable, b, a)
		return
	}
	_, _, c := build()
	_, res := w.run(c)
	w.calls("a b c")
	if res.Ran != 3 || res.Cached != 0 {
		t.Errorf("%+v", res)
	}
	w.reopen()
	w.rebuild()
	_, _, c = build()
	_, res = w.run(c)
	w.calls("")
	if res.Ran != 0 || res.Cached != 3 {
		t.Errorf("%+v", res)
	}
}
