package report

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/record"
)

func readRecord(t testing.TB) *record.Record {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "record.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rec record.Record
	if err := json.Unmarshal(raw, &rec); err != nil {
		t.Fatal(err)
	}
	return &rec
}

// What the page must say of the example's run, and that it is whole by itself.
func TestWrite(t *testing.T) {
	rec := readRecord(t)
	var b bytes.Buffer
	if err := Write(&b, rec); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"compensate.final[side.rank=16]", "4.3596", "export.llamacpp", "gate.quality", "perplexity and size", "retrain.healed",
		"self_attn.q_proj", "block 3, mlp.down_proj: "} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(text, "nll and size") {
		t.Error("a chart that says the same as another")
	}
	doc, err := html.Parse(&b)
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "script" || n.Data == "iframe" || n.Data == "object" {
			t.Errorf("the page has a <%s>", n.Data)
		}
		for _, a := range n.Attr {
			if (a.Key == "src" || a.Key == "href") && !strings.HasPrefix(a.Val, "#") && !strings.HasPrefix(a.Val, "data:") {
				t.Errorf("<%s %s=%q> leads out of the page", n.Data, a.Key, a.Val)
			}
		}
	}
	if m := regexp.MustCompile(`url\(\s*['"]?(https?:|//)`).FindString(text); m != "" {
		t.Errorf("a style asks for %s", m)
	}
}

// A hostile record neither breaks the page nor the writer.
func TestWriteEscapes(t *testing.T) {
	evil := `"><script>alert(1)</script>`
	nan := math.NaN()
	rec := &record.Record{ID: evil, Pipeline: "/x/" + evil, Status: evil,
		Graph:       &record.Graph{Boxes: []record.Box{{Address: evil, Kind: "prune", Points: 1}}},
		Nodes:       []record.Node{{Name: evil, Seconds: 1, Losses: []float64{1, 2}, Layers: map[string]map[string]float64{"model.layers.0." + evil: {"relative_output_error": 0.5}, "model.layers.1." + evil: {"relative_output_error": nan}}}},
		Evaluations: []record.Evaluation{{Name: evil, Of: evil, Metrics: map[string]*float64{evil: nil}}},
		Failures:    []record.Failure{{Name: evil, Message: evil}},
		Exports:     []record.Export{{Name: evil, Files: []record.File{{Path: evil, Digest: "12"}}}},
		Outputs:     []record.Output{{Name: evil, Output: evil}}, Variables: map[string]any{evil: evil}}
	var b bytes.Buffer
	if err := Write(&b, rec); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "<script") {
		t.Error("a text became an element")
	}
}

// Nobody on the front is beaten, and everybody off it is.
func TestFront(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []spot
		for range rapid.IntRange(1, 12).Draw(t, "n") {
			list = append(list, spot{x: float64(rapid.IntRange(0, 6).Draw(t, "x")), y: float64(rapid.IntRange(0, 6).Draw(t, "y"))})
		}
		on := front(list)
		beats := func(a, b spot) bool { return a.x <= b.x && a.y <= b.y && (a.x < b.x || a.y < b.y) }
		for _, s := range list {
			beaten, has := false, false
			for _, o := range list {
				beaten = beaten || beats(o, s)
			}
			for _, o := range on {
				has = has || o.x == s.x && o.y == s.y
			}
			if has == beaten {
				t.Fatalf("%v: on the front %v, beaten %v, of %v", s, has, beaten, list)
			}
		}
	})
}

func TestHeatColor(t *testing.T) {
	for _, c := range []struct {
		x    float64
		want string
	}{{1e-4, "#fffce0"}, {1e-2, "#fd8d3c"}, {1, "#67001e"}, {5, "#67001e"}, {0, "#fffce0"}, {math.NaN(), "#000000"}} {
		if got := heatColor(c.x, 1e-4, 1); got != c.want {
			t.Errorf("%g: %s, want %s", c.x, got, c.want)
		}
	}
	if got := heatColor(2, 2, 2); got != "#fffce0" {
		t.Errorf("one value: %s", got)
	}
}
