package reapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"golang.org/x/sync/errgroup"

	"github.com/compressc/compressc/internal/reapi"
	"github.com/compressc/compressc/internal/reapi/reapitest"
)

func connect(t *testing.T, s *reapitest.Server, change ...func(*reapi.Options)) *reapi.Client {
	t.Helper()
	o := reapi.Options{Address: s.Address, Patience: 20 * time.Second}
	for _, f := range change {
		f(&o)
	}
	c, err := reapi.Dial(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

// noise is n bytes that do not compress, half of them; the other half do.
func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	var key [32]byte
	key[0] = byte(seed)
	rand.NewChaCha8(key).Read(b[:n/2])
	return b
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct{ address, token, instance, bad string }{
		{"grpc://127.0.0.1:1", "", "", ""},
		{"grpc://127.0.0.1:1", "t", "", ""},
		{"grpc://localhost:1/a/b/", "", "a/b", ""},
		{"grpcs://example.com", "t", "", ""},
		{"grpcs://example.com:8/models", "", "models", ""},
		{"grpc://example.com:8", "t", "", "in the clear"},
		{"grpc://example.com", "", "", "no port"},
		{"http://example.com:80", "", "", "scheme"},
		{"example.com:80", "", "", "scheme"},
		{"grpc://", "", "", "no host"},
		{"grpc://u:p@h:1", "", "", "password"},
		{"grpc://h:1/a/blobs", "", "", "blobs"},
		{"grpc://h:1?x=1", "", "", "after the instance"},
	} {
		cl, err := reapi.Dial(reapi.Options{Address: c.address, Token: c.token})
		switch {
		case err != nil && (c.bad == "" || !strings.Contains(err.Error(), c.bad)):
			t.Errorf("%s: %v, want %q", c.address, err, c.bad)
		case err == nil && c.bad != "":
			t.Errorf("%s: no error, want %q", c.address, c.bad)
		case err == nil && cl.Instance() != c.instance:
			t.Errorf("%s: instance %q", c.address, cl.Instance())
		}
		if cl != nil {
			cl.Close()
		}
	}
}

// Blobs of all sizes come back as they went, whatever the server's limits and
// compressors.
func TestBlobs(t *testing.T) {
	for _, f := range []reapitest.Faults{
		{},
		{MaxBatch: 100 << 10, Instance: "models/eu"},
		{Zstd: true},
		{Zstd: true, MaxBatch: 70 << 10, Instance: "z"},
	} {
		t.Run(fmt.Sprintf("%+v", f.MaxBatch)+fmt.Sprint(f.Zstd), func(t *testing.T) {
			s := reapitest.New(t, f)
			c := connect(t, s)
			var blobs []reapi.Blob
			var ds []reapi.Digest
			for i, n := range []int{0, 1, 1000, 5000, 36 << 10, 65 << 10, 3 << 20, 5<<20 + 1, 2 << 20} {
				b := reapi.Bytes(noise(uint64(i), n))
				blobs, ds = append(blobs, b), append(ds, b.Digest)
			}
			missing, err := c.Missing(t.Context(), ds)
			if err != nil || len(missing) != len(ds)-1 { // the empty one is everywhere
				t.Fatalf("%d missing, %v", len(missing), err)
			}
			if err := c.Upload(t.Context(), blobs); err != nil {
				t.Fatal(err)
			}
			if missing, err = c.Missing(t.Context(), ds); err != nil || len(missing) != 0 {
				t.Fatalf("%d missing, %v", len(missing), err)
			}
			if err := c.Upload(t.Context(), blobs); err != nil { // what is there already
				t.Fatal(err)
			}
			for _, b := range blobs {
				want, _, _ := b.Open()
				got, err := c.Read(t.Context(), b.Digest)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%v: %d bytes, %v", b.Digest, len(got), err)
				}
			}
			for _, n := range []int{10, 9 << 20} {
				if _, err := c.Read(t.Context(), reapi.Sum(noise(99, n))); !errors.Is(err, reapi.ErrNotFound) {
					t.Errorf("a blob that was never stored: %v", err)
				}
			}
			if n := s.Calls("BatchUpdateBlobs"); n > 8 {
				t.Errorf("%d batches for nine blobs twice", n)
			}
		})
	}
}

// Streams that break are taken up where they broke.
func TestDroppedStreams(t *testing.T) {
	for _, zip := range []bool{false, true} {
		for _, noStatus := range []bool{false, true} {
			t.Run(fmt.Sprintf("zstd %v, status %v", zip, !noStatus), func(t *testing.T) {
				s := reapitest.New(t, reapitest.Faults{Zstd: zip, DropRead: 5, DropWrite: 2, DropAfter: 2 << 20, NoWriteStatus: noStatus})
				c := connect(t, s)
				data := noise(7, 24<<20)
				if err := c.Upload(t.Context(), []reapi.Blob{reapi.Bytes(data)}); err != nil {
					t.Fatal(err)
				}
				s.Set(func(f *reapitest.Faults) { f.DropAfter = 1 << 20 })
				if got, err := c.Read(t.Context(), reapi.Sum(data)); err != nil || !bytes.Equal(got, data) {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
				if n := s.Calls("Read"); n != 6 {
					t.Errorf("%d reads, want one and five more", n)
				}
				if n := s.Calls("QueryWriteStatus"); n != 2 {
					t.Errorf("%d questions about writes, want 2", n)
				}
			})
		}
	}
}

func TestLies(t *testing.T) {
	s := reapitest.New(t, reapitest.Faults{Lie: 1})
	c := connect(t, s)
	for _, n := range []int{100, 5 << 20} {
		d := s.Put(noise(1, n))
		var lie *reapi.CorruptError
		if _, err := c.Read(t.Context(), d); !errors.As(err, &lie) || lie.Want != d {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestBusyServer(t *testing.T) {
	s := reapitest.New(t, reapitest.Faults{})
	c := connect(t, s)
	s.Set(func(f *reapitest.Faults) { f.Busy = 2 })
	if _, err := c.Missing(t.Context(), []reapi.Digest{reapi.Sum([]byte("x"))}); err != nil {
		t.Error(err)
	}
	s.Set(func(f *reapitest.Faults) { f.Busy = 1000 })
	if _, err := c.Missing(t.Context(), []reapi.Digest{reapi.Sum([]byte("x"))}); !reapi.IsFault(err) {
		t.Errorf("%v", err)
	}
	if err := c.Upload(t.Context(), []reapi.Blob{reapi.Bytes(noise(1, 5<<20))}); !reapi.IsFault(err) {
		t.Errorf("%v", err)
	}
}

// A server that swallows packets, or is not there, is noticed within the
// patience, questions and streams alike.
func TestUnreachable(t *testing.T) {
	const patience = 600 * time.Millisecond
	hole := reapitest.New(t, reapitest.Faults{})
	gone := reapitest.New(t, reapitest.Faults{})
	for name, s := range map[string]*reapitest.Server{"black hole": hole, "refused": gone} {
		c := connect(t, s, func(o *reapi.Options) { o.Patience = patience })
		if name == "refused" {
			s.Stop()
		} else {
			s.Set(func(f *reapitest.Faults) { f.BlackHole = true })
		}
		for what, f := range map[string]func() error{
			"connect": func() error { return c.Connect(t.Context()) },
			"result":  func() error { _, err := c.Result(t.Context(), reapi.Sum(nil)); return err },
			"read": func() error {
				_, err := c.Read(t.Context(), reapi.Digest{Hash: reapi.Sum(nil).Hash, Size: 9 << 20})
				return err
			},
			"upload": func() error { return c.Upload(t.Context(), []reapi.Blob{reapi.Bytes(noise(1, 9<<20))}) },
		} {
			start := time.Now()
			err := f()
			if !reapi.IsFault(err) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
			// The factor is room for a busy machine.
			if d := time.Since(start); d > 20*patience {
				t.Errorf("%s, %s: noticed after %v", name, what, d)
			}
		}
	}
}

func TestUnusableServers(t *testing.T) {
	for _, c := range []struct {
		f    reapitest.Faults
		want string
	}{
		{reapitest.Faults{NoSHA256: true}, "SHA-256"},
		{reapitest.Faults{OldAPI: true}, "versions 1.0 to 1.3"},
		{reapitest.Faults{Token: "secret"}, "who are you"},
	} {
		s := reapitest.New(t, c.f)
		cl, err := reapi.Dial(reapi.Options{Address: s.Address, Patience: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		if err := cl.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), s.Address) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	s := reapitest.New(t, reapitest.Faults{Token: "secret"})
	connect(t, s, func(o *reapi.Options) { o.Token = "secret" })
}

// action uploads an action with a command and returns its digest.
func action(t *testing.T, c *reapi.Client, argv ...string) reapi.Digest {
	t.Helper()
	cmd, cd := reapi.Marshal(&repb.Command{Arguments: argv, OutputPaths: []string{"out", "dir"}})
	in := []byte("hello")
	dir, dd := reapi.Marshal(&repb.Directory{Files: []*repb.FileNode{{Name: "in", Digest: reapi.Sum(in).Proto()}}})
	act, ad := reapi.Marshal(&repb.Action{CommandDigest: cd.Proto(), InputRootDigest: dd.Proto()})
	if err := c.Upload(t.Context(), []reapi.Blob{reapi.Bytes(cmd), reapi.Bytes(dir), reapi.Bytes(act), reapi.Bytes(in)}); err != nil {
		t.Fatal(err)
	}
	return ad
}

func TestExecute(t *testing.T) {
	const script = "tr a-z A-Z < in > out; mkdir -p dir/deeper; echo x > dir/deeper/file; echo said; exit 0"
	for name, f := range map[string]reapitest.Faults{
		"plain":            {},
		"dropped streams":  {DropExecute: 4},
		"forgotten":        {DropExecute: 1, Forget: true},
		"busy":             {Busy: 0},
		"instance, drop 1": {Instance: "i", DropExecute: 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := reapitest.New(t, f)
			c := connect(t, s)
			ad := action(t, c, "/bin/sh", "-c", script)
			stages := 0
			r, err := c.Execute(t.Context(), ad, false, func(string) { stages++ })
			if err != nil {
				t.Fatal(err)
			}
			if r.Result.ExitCode != 0 || string(r.Result.StdoutRaw) != "said\n" || r.Result.ExecutionMetadata.GetWorker() != "worker-0" {
				t.Fatalf("%v", r.Result)
			}
			if len(r.Result.OutputFiles) != 1 || len(r.Result.OutputDirectories) != 1 {
				t.Fatalf("%v", r.Result)
			}
			d, err := reapi.FromProto(r.Result.OutputFiles[0].Digest)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Read(t.Context(), d); err != nil || string(got) != "HELLO" {
				t.Errorf("%q, %v", got, err)
			}
			if stages == 0 {
				t.Error("no stage was told")
			}
			if again, err := c.Result(t.Context(), ad); err != nil || again == nil {
				t.Errorf("not on record: %v", err)
			}
			want := 1
			if f.Forget {
				want = 2
			}
			if n := s.Calls("Execute"); n != want {
				t.Errorf("%d executions, want %d", n, want)
			}
		})
	}
	t.Run("fails", func(t *testing.T) {
		s := reapitest.New(t, reapitest.Faults{})
		c := connect(t, s)
		ad := action(t, c, "/bin/sh", "-c", "echo why >&2; exit 7")
		r, err := c.Execute(t.Context(), ad, false, nil)
		if err != nil || r.Result.ExitCode != 7 || string(r.Result.StderrRaw) != "why\n" {
			t.Fatalf("%v, %v", r, err)
		}
		if on, err := c.Result(t.Context(), ad); err != nil || on != nil {
			t.Errorf("a failure is on record: %v, %v", on, err)
		}
	})
	t.Run("worker dies", func(t *testing.T) {
		s := reapitest.New(t, reapitest.Faults{KillWorker: 1})
		c := connect(t, s)
		_, err := c.Execute(t.Context(), action(t, c, "/bin/true"), false, nil)
		if !reapi.IsFault(err) {
			t.Errorf("%v", err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		s := reapitest.New(t, reapitest.Faults{})
		c := connect(t, s)
		ad := action(t, c, "/bin/sleep", "1000")
		ctx, cancel := context.WithCancel(t.Context())
		_, err := c.Execute(ctx, ad, false, func(string) { cancel() })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if s.Calls("CancelOperation") != 1 {
			t.Error("the server was not told")
		}
	})
	t.Run("cancelled before the client has heard of it", func(t *testing.T) {
		s := reapitest.New(t, reapitest.Faults{LateName: 100 * time.Millisecond})
		c := connect(t, s)
		ad := action(t, c, "/bin/sleep")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		s.Exec(func(ctx context.Context, _ string, _, _ []string, _, _ *bytes.Buffer) (int, error) {
			cancel()
			<-ctx.Done()
			close(ended)
			return 0, ctx.Err()
		})
		if _, err := c.Execute(ctx, ad, false, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Error("it goes on")
		}
	})
}

// A server that serves few calls at a time does all that it is asked, and the
// client learns how many that are.
func TestExecuteInLittleRoom(t *testing.T) {
	const actions = 60
	s := reapitest.New(t, reapitest.Faults{})
	c := connect(t, s)
	ad := action(t, c, "/bin/true")
	s.Set(func(f *reapitest.Faults) { f.Room = 5 })
	s.Exec(func(ctx context.Context, _ string, _, _ []string, _, _ *bytes.Buffer) (int, error) {
		for s.Full() == 0 && ctx.Err() == nil { // there are enough of them
			time.Sleep(time.Millisecond)
		}
		return 0, ctx.Err()
	})
	var g errgroup.Group
	for range actions {
		g.Go(func() error { _, err := c.Execute(t.Context(), ad, true, nil); return err })
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	// Half of those that were under way at first, raised by what went well since.
	if n := c.Bound(); n < 1 || n > math.Sqrt(actions*actions/4+2*actions)+1 {
		t.Errorf("it follows up to %v", n)
	}
}

// Where executions that wait take all the room, the workers' calls find none:
// then the client steps back.
func TestExecuteLeavesRoomForWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	s := reapitest.New(t, reapitest.Faults{})
	c, worker := connect(t, s), connect(t, s)
	ad := action(t, c, "/bin/true")
	s.Exec(func(ctx context.Context, _ string, _, _ []string, _, _ *bytes.Buffer) (int, error) {
		for ctx.Err() == nil {
			if _, err := worker.Missing(ctx, []reapi.Digest{ad}); err == nil {
				return 0, nil
			}
		}
		return 0, ctx.Err()
	})
	s.Set(func(f *reapitest.Faults) { f.Room = 8 })
	var g errgroup.Group
	for range 8 {
		g.Go(func() error { _, err := c.Execute(t.Context(), ad, true, nil); return err })
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}
