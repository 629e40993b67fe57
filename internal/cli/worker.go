package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/executor/dispatch"
	"github.com/compressc/compressc/internal/reapi/worker"
)

// actionCmd is what workers run. It is no command for people.
func (a *app) actionCmd() *cobra.Command {
	return &cobra.Command{
		Use: dispatch.Subcommand, Short: "Carry out the order in the working folder (run by workers)", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			// Nearly all bytes are in large slices without pointers: collecting often
			// costs next to nothing, and memory is what a worker has least of.
			debug.SetGCPercent(20)
			if code := dispatch.Perform(ctx, ".", a.Err); code != 0 {
				return exit(code)
			}
			return nil
		},
	}
}

func (a *app) workerCmd() *cobra.Command {
	var servers serverFlags
	var name, dir, keep string
	var threads int
	var properties []string
	c := &cobra.Command{
		Use: "worker [flags] ADDRESS", Short: "Do actions for a server that leases them to workers",
		Long: `Takes actions from a remote execution server that hands them out over the Remote
Workers API, as BuildGrid does, and does them, one at a time. Servers that bring
workers of their own (Buildbarn, BuildBuddy, EngFlow, NativeLink) do not need this:
the program travels with each action.

The first interrupt finishes the action under way, the second gives it back to the
server, which gives it to another worker.`,
		Example: "  compressc worker grpc://scheduler:8980\n  compressc worker -threads 8 -property memory=64GB -name gpu-7 grpcs://grid.example.com/models",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			limit, err := parseBytes("-keep", keep, "10GB")
			if err != nil {
				return err
			}
			if threads < 0 {
				return fmt.Errorf("-threads %d: expected at least 1, or 0 for all", threads)
			}
			props, err := workerProperties(properties)
			if err != nil {
				return err
			}
			client, err := servers.dial("worker", args[0])
			if err != nil {
				return err
			}
			defer client.Close()
			if err := client.Connect(c.Context()); err != nil {
				// It may be on its way up; the worker's own calls are repeated.
				fmt.Fprintln(a.Err, err)
			}
			if name == "" {
				host, err := os.Hostname()
				if err != nil {
					return fmt.Errorf("no -name, and the machine's is not known: %w", err)
				}
				name = fmt.Sprintf("%s-%d", host, os.Getpid())
			}
			if dir == "" {
				dir, err = os.MkdirTemp("", "compressc-worker-*")
				if err != nil {
					return err
				}
				defer os.RemoveAll(dir)
			}
			actions := filepath.Join(dir, "actions")
			// What a worker that was killed has left.
			if err := errors.Join(os.RemoveAll(actions), os.MkdirAll(actions, 0o777)); err != nil {
				return err
			}
			store, err := worker.NewRemote(client, filepath.Join(dir, "blobs"), limit)
			if err != nil {
				return err
			}
			box := &worker.Sandbox{Store: store, Dir: actions, Name: name}
			if threads > 0 {
				box.Env = append(box.Env, fmt.Sprintf("GOMAXPROCS=%d", threads))
			}
			bot := &worker.Bot{Client: client, Sandbox: box, ID: name, Properties: props,
				Log: func(format string, args ...any) { fmt.Fprintf(a.Err, format+"\n", args...) }}
			ctx, draining, release := interruptible(c.Context())
			defer release()
			return bot.Run(ctx, draining)
		},
	}
	servers.flags(c)
	c.Flags().StringVar(&name, "name", "", "the worker's `NAME` on the server and in records; the machine's and a number by default")
	c.Flags().StringVar(&dir, "dir", "", "work in this `FOLDER`, which no other worker uses; a temporary one by default")
	c.Flags().StringVar(&keep, "keep", "10GB", "keep inputs of at most this `SIZE` for later actions")
	c.Flags().IntVar(&threads, "threads", 0, "`N` threads for an action; all by default")
	c.Flags().StringArrayVar(&properties, "property", nil, "offer the platform property `KEY=VALUE`; may be given several times (OSFamily and ISA are this machine's)")
	return c
}

// workerProperties are those given and those of the machine.
func workerProperties(given []string) ([]worker.Property, error) {
	var props []worker.Property
	have := map[string]bool{}
	for _, g := range given {
		k, v, ok := strings.Cut(g, "=")
		if !ok || k == "" {
			return nil, fmt.Errorf("-property %s: expected KEY=VALUE", g)
		}
		have[k] = true
		props = append(props, worker.Property{Key: k, Value: v})
	}
	for _, p := range dispatch.MachineProperties(runtime.GOOS, runtime.GOARCH) {
		if !have[p.Name] {
			props = append(props, worker.Property{Key: p.Name, Value: p.Value})
		}
	}
	return props, nil
}

// interruptible closes draining at the first signal and ends the context at the
// second.
func interruptible(ctx context.Context) (_ context.Context, draining <-chan struct{}, release func()) {
	return interrupts(ctx, func(string) {})
}
