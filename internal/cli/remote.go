package cli

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/cache/remote"
	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/reapi"
	"github.com/compressc/compressc/internal/version"
)

// The environment variables that stand for flags. The token has no flag: the
// arguments of a program are there for all of a machine's users to read.
const (
	envRemoteCache = "COMPRESSC_REMOTE_CACHE"
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

// address is the flag's value or the environment's.
func (r *remoteFlags) address() string {
	if r.cache == "" {
		return os.Getenv(envRemoteCache)
	}
	return r.cache
}

// remotes are the servers of a run.
type remotes struct {
	cache *remote.Cache
	close func()
}

// open connects to what was asked for; what there is to tell goes to say. Wrong
// arguments are errors, a server that is not there is none.
func (r *remoteFlags) open(ctx context.Context, store *cache.Store, say func(string)) (*remotes, error) {
	out := &remotes{close: func() {}}
	mode := remote.Mode(r.results)
	if !slices.Contains(remote.Modes, mode) {
		var names []string
		for _, m := range remote.Modes {
			names = append(names, string(m))
		}
		return nil, fmt.Errorf("-remote-results %s: expected use, verify or off.%s", r.results, didyoumean.Hint(r.results, names))
	}
	if r.address() == "" {
		return out, nil
	}
	client, err := r.dial("-remote-cache", r.address())
	if err != nil {
		return nil, err
	}
	out.close = func() { client.Close() }
	c, err := remote.Open(ctx, remote.Options{Client: client, Store: store, Results: mode, Say: say})
	if err != nil {
		out.close()
		return nil, err
	}
	out.cache = c
	out.close = func() {
		c.Close()
		client.Close()
	}
	return out, nil
}
