package pages

import (
	"path/filepath"
	"slices"
	"testing"
)

func TestPageIsKeptForItsKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sections")
	p := &Page{Seconds: 3}
	p.Printf("%d of %d", 1, 2)
	if got := p.Verdict("a", true, false) + p.Verdict("b", false, true) + p.Verdict("c", false, false); got != "✓✗✗" {
		t.Errorf("verdicts %s; expected ✓✗✗", got)
	}
	if err := (Kept{Dir: dir, Key: "one"}).Save("rows", p); err != nil {
		t.Fatal(err)
	}
	got := Kept{Dir: dir, Key: "one"}.Load("rows")
	if got == nil || got.Text != "1 of 2" || !slices.Equal(got.Broken, []string{"c"}) || got.Seconds != 3 {
		t.Errorf("loaded %+v; saved %+v", got, p)
	}
	for _, k := range []Kept{{Dir: dir, Key: "another"}, {Dir: t.TempDir(), Key: "one"}} {
		if got := k.Load("rows"); got != nil {
			t.Errorf("%+v has %+v; expected nothing", k, got)
		}
	}
	if got := (Kept{Dir: dir, Key: "one"}).Load("noise"); got != nil {
		t.Errorf("a section that was not saved is %+v", got)
	}
}

// A small report breaks no promise about the whole model's numbers, only those
// that hold at any size.
func TestSmallReportDoesNotJudgeNumbers(t *testing.T) {
	p := &Page{Small: true}
	p.Agreement("numbers", false, false)
	p.Verdict("zeros", false, false)
	if !slices.Equal(p.Broken, []string{"zeros"}) {
		t.Errorf("broken: %q; expected zeros alone", p.Broken)
	}
}
