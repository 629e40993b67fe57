package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/compressc/compressc/internal/record"
)

func sweep(decompositions int) *work {
	return &work{wall: 10 * time.Second, record: &record.Record{Threads: 2, Actions: record.Counts{Run: 7}, Evaluations: make([]record.Evaluation, 18)},
		calls: map[string]int{statistics: 3, "prune.sparsegpt": 6, "quantize.gptq": 12, "compensate.decompose": decompositions, "compensate.attach": 36}}
}

func TestCheckSeesWhatIsNotShared(t *testing.T) {
	if err := sweep(12).check(54, 18); err != nil {
		t.Errorf("a sweep that shares everything: %v", err)
	}
	if sweep(12).check(18, 18) == nil {
		t.Error("statistics were collected for each point, and nothing is said")
	}
	if sweep(36).check(54, 18) == nil {
		t.Error("each rank was decomposed by itself, and nothing is said")
	}
}

func TestWriteReplacesTheFigures(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(page, []byte("a\n"+beginMark+"old\n"+endMark+"b\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		text := sweep(12).table(2, 15*time.Second, map[string]int{statistics: 6})
		if err := write(page, text); err != nil {
			t.Fatal(err)
		}
		want := "a\n" + beginMark + `The sweep of 18 points: 7 actions, 10 s, on 2 threads. 2 of them one by one, each with an empty cache: 15 s, 1.5 times as long; the same digests.

| kernel | calls in the sweep | one by one |
|---|---|---|
| compensate.attach | 36 | 0 |
| compensate.decompose | 12 | 0 |
| prune.sparsegpt | 6 | 0 |
| quantize.gptq | 12 | 0 |
| walk for statistics | 3 | 6 |
` + endMark + "b\n"
		if b, err := os.ReadFile(page); err != nil || string(b) != want {
			t.Errorf("page\n%s\nwant\n%s", b, want)
		}
	}
	if write(page+"x", "") == nil {
		t.Error("no page, no error")
	}
}
