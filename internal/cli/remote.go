package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/cache/remote"
	"github.com/compressc/compressc/executor/dispatch"
	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/reapi"
	"github.com/compressc/compressc/internal/version"
)

// The environment variables that stand for flags. The token has no flag: the
// arguments of a program are there for all of a machine's users to read.
const (
	envRemoteCache = "COMPRESSC_REMOTE_CACHE"
	envExecutor    = "COMPRESSC_EXECUTOR"
	envRemoteToken = "COMPRESSC_REMOTE_TOKEN"
)

// serverFlags say how to talk to servers.
type serverFlags struct {
	ca, cert, key string
	headers       []string
	patience      time.Duration
}

func (s *serverFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.ca, "remote-ca", "", "trust the certificates in this PEM `FILE` instead of the system's")
	c.Flags().StringVar(&s.cert, "remote-cert", "", "present the certificate in this PEM `FILE` to the server")
	c.Flags().StringVar(&s.key, "remote-key", "", "the PEM `FILE` of that certificate's key")
	c.Flags().StringArrayVar(&s.headers, "remote-header", nil, "send `NAME=VALUE` along with every call; may be given several times")
	c.Flags().DurationVar(&s.patience, "remote-timeout", reapi.DefaultPatience, "how long a server may leave a question unanswered before it is left alone, as a `TIME`")
}

// dial prepares a client.
func (s *serverFlags) dial(flag, address string) (*reapi.Client, error) {
	if s.patience <= 0 {
		return nil, fmt.Errorf("-remote-timeout %v: expected more than nothing", s.patience)
	}
	o := reapi.Options{Address: address, Token: os.Getenv(envRemoteToken), CA: s.ca, Cert: s.cert, Key: s.key,
		Patience: s.patience, UserAgent: "compressc/" + version.Number, Headers: map[string]string{}}
	for _, h := range s.headers {
		name, value, ok := strings.Cut(h, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if !ok || name == "" || strings.HasPrefix(name, "grpc-") || strings.ContainsAny(name, " :\t") {
			return nil, fmt.Errorf("-remote-header %s: expected NAME=VALUE", h)
		}
		o.Headers[name] = value
	}
	c, err := reapi.Dial(o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return c, nil
}

// remoteFlags name servers to share results with.
type remoteFlags struct {
	serverFlags
	cache, results string
}

func (r *remoteFlags) flags(c *cobra.Command) {
	r.serverFlags.flags(c)
	c.Flags().StringVar(&r.cache, "remote-cache", "", "share results over the server at this `ADDRESS`, such as grpc://host:8980/instance (also "+envRemoteCache+")")
	c.Flags().StringVar(&r.results, "remote-results", string(remote.Use), "what results on that server are good for: `MODE` use, verify (computed here and compared) or off (only sent)")
}

// executorFlags name a server that does actions.
type executorFlags struct {
	address, program string
	properties       []string
	threshold        time.Duration
	jobs             int
}

func (x *executorFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&x.address, "executor", "", "have actions done by the workers of the server at this `ADDRESS`, which is the cache too unless -remote-cache names another (also "+envExecutor+")")
	c.Flags().StringArrayVar(&x.properties, "executor-property", nil, "ask for workers with the platform property `NAME=VALUE`, in which {memory} and {memory_mb} stand for what the action needs; may be given several times (default OSFamily and ISA)")
	c.Flags().StringVar(&x.program, "executor-program", "", "have workers run this `FILE`, a compressc for another platform; the running program by default")
	c.Flags().DurationVar(&x.threshold, "executor-threshold", 0, "do actions here that are expected to take less than this `TIME` and the transfer of their inputs")
	c.Flags().IntVar(&x.jobs, "executor-jobs", 64, "have at most `N` executions under way")
}

// server is the flag's value or the environment's; "" for commands that have
// nothing done.
func (x *executorFlags) server() string {
	switch {
	case x == nil:
		return ""
	case x.address != "":
		return x.address
	}
	return os.Getenv(envExecutor)
}

// options checks the flags.
func (x *executorFlags) options() (dispatch.Options, error) {
	o := dispatch.Options{Program: x.program, Threshold: x.threshold, InFlight: x.jobs}
	if x.jobs < 1 {
		return o, fmt.Errorf("-executor-jobs %d: expected at least 1", x.jobs)
	}
	if x.threshold < 0 {
		return o, fmt.Errorf("-executor-threshold %v: expected 0s or more", x.threshold)
	}
	for _, p := range x.properties {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return o, fmt.Errorf("-executor-property %s: expected NAME=VALUE", p)
		}
		o.Properties = append(o.Properties, dispatch.Property{Name: name, Value: value})
	}
	return o, nil
}

// remotes are the servers of a run.
type remotes struct {
	cache    *remote.Cache
	dispatch *dispatch.Dispatcher
	closers  []func()
}

func (r *remotes) close() {
	for _, f := range slices.Backward(r.closers) {
		f()
	}
}

// quietly is how long what is still to be sent may take without a word.
const quietly = 2 * time.Second

// flush waits until what was computed has been sent, or ctx ends.
func (r *remotes) flush(ctx context.Context, say func(string)) {
	short, cancel := context.WithTimeout(ctx, quietly)
	defer cancel()
	r.cache.Flush(short)
	if short.Err() != nil && ctx.Err() == nil {
		say("Sending results to " + r.cache.Client().Address() + "; interrupt twice to leave the rest.")
		r.cache.Flush(ctx)
	}
}

// open connects to what was asked for; what there is to tell goes to say. x may
// be nil. Wrong arguments are errors, a server that is not there is none.
func (r *remoteFlags) open(ctx context.Context, x *executorFlags, store *cache.Store, say func(string)) (*remotes, error) {
	out := &remotes{}
	if err := r.connect(ctx, out, x, store, say); err != nil {
		out.close()
		return nil, err
	}
	return out, nil
}

func (r *remoteFlags) connect(ctx context.Context, out *remotes, x *executorFlags, store *cache.Store, say func(string)) error {
	mode := remote.Mode(r.results)
	if !slices.Contains(remote.Modes, mode) {
		return fmt.Errorf("-remote-results %s: expected use, verify or off.%s", r.results, didyoumean.Hint(r.results, []string{"use", "verify", "off"}))
	}
	address, executor := r.cache, x.server()
	if address == "" {
		address = os.Getenv(envRemoteCache)
	}
	if address == "" {
		address = executor
	}
	if address == "" {
		address = os.Getenv(envExecutor) // of commands that have nothing done
	}
	if address == "" {
		return nil
	}
	if executor != "" && mode == remote.Off {
		return errors.New("-remote-results=off leaves nothing for -executor to do: what its workers make is a result of the server's")
	}
	client, err := r.dial("-remote-cache", address)
	if err != nil {
		return err
	}
	out.closers = append(out.closers, func() { client.Close() })
	if out.cache, err = remote.Open(ctx, remote.Options{Client: client, Store: store, Results: mode, Say: say}); err != nil {
		return err
	}
	out.closers = append(out.closers, out.cache.Close)
	if executor == "" {
		return nil
	}
	o, err := x.options()
	if err != nil {
		return err
	}
	o.Cache, o.Client, o.Say = out.cache, client, say
	if executor != address {
		if o.Client, err = r.dial("-executor", executor); err != nil {
			return err
		}
		out.closers = append(out.closers, func() { o.Client.Close() })
		if err := o.Client.Connect(ctx); err != nil {
			say(fmt.Sprintf("%v; everything is done here", err))
			return nil
		}
	}
	if out.cache.Usable() && !o.Client.Capabilities().Execute {
		say(fmt.Sprintf("remote %s does not execute actions; everything is done here", executor))
		return nil
	}
	d, err := dispatch.New(o)
	if err != nil {
		return fmt.Errorf("-executor-program: %w", err)
	}
	out.dispatch = d
	out.closers = append(out.closers, func() { d.Close() })
	return nil
}
