package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/compressc/compressc/internal/linalg"
)

func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	pool := linalg.NewPool(2)
	defer pool.Close()
	told := 0
	f, err := Measure(context.Background(), Options{Pool: pool, Dir: dir, Now: time.Unix(1e9, 0).UTC(), Progress: func(Figure) { told++ }})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{Product, Product64, Statistics, Cholesky, Eigen, Forward, Backward, Hashing, DiskWrite, DiskRead} {
		if r, ok := f.Rate(name); !ok || !(r > 0) {
			t.Errorf("rate of %s is %v, %v", name, r, ok)
		}
	}
	if told != len(f.Figures) || told != 10 {
		t.Errorf("told of %d figures of %d", told, len(f.Figures))
	}
	if _, ok := f.Rate("sorting"); ok {
		t.Error("there is a rate of something that is not measured")
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("%d files are left behind", len(files))
	}
	if err := f.Save(dir); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir)
	if err != nil || !reflect.DeepEqual(got, f) {
		t.Errorf("figures come back as %+v, %v", got, err)
	}
	f.Machine.CPUs++
	if err := f.Save(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(dir); got != nil || err != nil {
		t.Errorf("another machine's figures come back as %+v, %v", got, err)
	}
}

func TestMeasureEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	told := 0
	_, err := Measure(ctx, Options{Dir: t.TempDir(), Progress: func(Figure) {
		told++
		cancel()
	}})
	if !errors.Is(err, context.Canceled) || told != 1 {
		t.Errorf("err = %v after %d figures", err, told)
	}
	if _, err := Measure(context.Background(), Options{Dir: filepath.Join(t.TempDir(), "no")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v for a folder that is not there", err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if f, err := Load(dir); f != nil || err != nil {
		t.Errorf("figures of an empty folder: %v, %v", f, err)
	}
	if err := os.WriteFile(filepath.Join(dir, FileName), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil {
		t.Error("half a file was read")
	}
}
