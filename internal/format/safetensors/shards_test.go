package safetensors

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/compressc/compressc/internal/tensor"
)

const goldenIndex = `{
  "metadata": {
    "total_size": 12
  },
  "weight_map": {
    "a": "model-00002-of-00002.safetensors",
    "b": "model-00001-of-00002.safetensors"
  }
}
`

func TestSplitModel(t *testing.T) {
	tensors := []WriteTensor{given("b", tensor.F32, []int{2}, make([]byte, 8)), given("a", tensor.F32, []int{1}, make([]byte, 4))}
	files, index, err := SplitModel(tensors, 11)
	if err != nil || string(index) != goldenIndex || len(files) != 2 || files[0].Name != "model-00001-of-00002.safetensors" {
		t.Errorf("%v, %s, %v", files, index, err)
	}
	files, index, err = SplitModel(tensors, 12)
	if err != nil || index != nil || len(files) != 1 || files[0].Name != SingleName {
		t.Errorf("all fits: %v, %s, %v", files, index, err)
	}
	if _, _, err := SplitModel(append(tensors, tensors[0]), 8); err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("duplicate across shards: %v", err)
	}
}

// What is split and written is the same checkpoint when opened, within the
// size asked for.
func TestSplitModelRoundTrip(t *testing.T) {
	root := t.TempDir()
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.Int64Range(1, 100).Draw(rt, "limit")
		sizes := rapid.SliceOfN(rapid.IntRange(0, 60), 1, 12).Draw(rt, "sizes")
		var tensors []WriteTensor
		for i, n := range sizes {
			tensors = append(tensors, given(fmt.Sprintf("t\"%d", (i*7)%13), tensor.U8, []int{n}, bytes.Repeat([]byte{byte(i)}, n)))
		}
		files, index, err := SplitModel(tensors, limit)
		if err != nil {
			rt.Fatal(err)
		}
		round++
		dir := filepath.Join(root, fmt.Sprint(round))
		if err := os.Mkdir(dir, 0o755); err != nil {
			rt.Fatal(err)
		}
		if index != nil {
			if err := os.WriteFile(filepath.Join(dir, IndexName), index, 0o644); err != nil {
				rt.Fatal(err)
			}
		}
		for _, f := range files {
			sum, nonEmpty := int64(0), 0
			for _, x := range f.Tensors {
				sum += int64(x.Meta.Elements())
				if x.Meta.Elements() > 0 {
					nonEmpty++
				}
			}
			if sum > limit && nonEmpty > 1 {
				rt.Errorf("%s holds %d bytes in %d tensors, limit %d", f.Name, sum, nonEmpty, limit)
			}
			if err := os.WriteFile(filepath.Join(dir, f.Name), write(t, f.Tensors, nil), 0o644); err != nil {
				rt.Fatal(err)
			}
		}
		m, err := OpenModel(dir)
		if err != nil {
			rt.Fatal(err)
		}
		defer m.Close()
		if len(m.Tensors()) != len(tensors) || len(m.Files) != len(files) || len(m.Unlisted) != 0 {
			rt.Errorf("%d tensors in %d files, %d unlisted", len(m.Tensors()), len(m.Files), len(m.Unlisted))
		}
		for i, x := range tensors {
			got, ok := m.Tensor(x.Name)
			want, _ := x.Data()
			if !ok || !bytes.Equal(got.Bytes(), want) {
				rt.Errorf("tensor %d is lost or changed", i)
			}
		}
	})
}
