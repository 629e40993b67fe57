package reapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	repb "github.com/bazelbuild/remote-apis/build/bazel/remote/execution/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// DefaultPatience is how long a server may leave a question unanswered.
const DefaultPatience = time.Second

// Options say where a server is and how to talk to it.
type Options struct {
	// Address is grpc://host:port, or grpcs:// for TLS. What follows the port is
	// the instance name: grpcs://host:443/team/models.
	Address string
	// Token, when not "", is presented as a bearer token. It needs TLS, unless
	// the host is this machine.
	Token string
	// Headers are sent along with every call; names are in lower case.
	Headers map[string]string
	// CA names a PEM file of certificates to trust instead of the system's;
	// Cert and Key those of the client, for servers that ask for one (mTLS).
	CA, Cert, Key string
	// Patience bounds how long the server may leave a question unanswered; 0
	// means DefaultPatience.
	Patience time.Duration
	// UserAgent names this program.
	UserAgent string
}

// Client talks to one server. It is safe for concurrent use. Nothing is sent
// before Connect or another call.
type Client struct {
	o        Options
	instance string

	// calls carries questions, data carries bytes: a question must not stand
	// behind a gigabyte.
	calls, data *grpc.ClientConn

	caps atomic.Pointer[Capabilities]

	executions window
}

// Capabilities are what a server says of itself.
type Capabilities struct {
	// MaxBatch bounds the bytes of one batch call.
	MaxBatch int64
	// Zstd: blobs may travel compressed.
	Zstd bool
	// UpdateResults: the server takes action results from this client. Execute:
	// it executes actions.
	UpdateResults, Execute bool
	// Low and High are the API versions that it speaks, "2.0".
	Low, High string
}

const (
	// defaultBatch is what gRPC receives at most unless it is told otherwise.
	defaultBatch = 4 << 20
	// batchOverhead is kept free in a batch for digests and framing.
	batchOverhead = 64 << 10
	// maxMessage bounds what is received in one message.
	maxMessage = 64 << 20
)

// endpoint is a parsed address.
type endpoint struct {
	target, instance string
	tls              bool
}

func parseAddress(s string) (endpoint, error) {
	fail := func(why string) (endpoint, error) {
		return endpoint{}, fmt.Errorf("remote address %q: %s; expected grpc://host:port or grpcs://host:port, then /instance where the server has instances", s, why)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "":
		return fail("no scheme or no host")
	case u.Scheme != "grpc" && u.Scheme != "grpcs":
		return fail("unknown scheme " + u.Scheme)
	case u.User != nil:
		return fail("it holds a name or password, which belongs into the token")
	case u.RawQuery != "" || u.Fragment != "":
		return fail("there is something after the instance name")
	}
	e := endpoint{target: u.Host, instance: strings.Trim(u.Path, "/"), tls: u.Scheme == "grpcs"}
	if u.Port() == "" {
		if !e.tls {
			return fail("no port")
		}
		e.target = net.JoinHostPort(u.Hostname(), "443")
	}
	for part := range strings.SplitSeq(e.instance, "/") {
		// The protocol's resource names would be ambiguous.
		if slices.Contains([]string{"blobs", "uploads", "actions", "actionResults", "operations", "capabilities", "compressed-blobs"}, part) {
			return fail("an instance name cannot hold the word " + part)
		}
	}
	return e, nil
}

// Dial prepares a client. It reads the certificates but sends nothing. The
// caller must Close it.
func Dial(o Options) (*Client, error) {
	e, err := parseAddress(o.Address)
	if err != nil {
		return nil, err
	}
	if o.Patience <= 0 {
		o.Patience = DefaultPatience
	}
	creds, err := o.credentials(e)
	if err != nil {
		return nil, fmt.Errorf("remote %s: %w", o.Address, err)
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithUserAgent(o.UserAgent),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: o.Patience,
			Backoff: backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second}}),
	}
	if o.Token != "" || len(o.Headers) > 0 {
		opts = append(opts, grpc.WithUnaryInterceptor(o.unary), grpc.WithStreamInterceptor(o.stream))
	}
	c := &Client{o: o, instance: e.instance}
	c.caps.Store(&Capabilities{MaxBatch: defaultBatch})
	if c.calls, err = grpc.NewClient(e.target, opts...); err == nil {
		c.data, err = grpc.NewClient(e.target, opts...)
	}
	if err != nil {
		return nil, fmt.Errorf("remote %s: %w", o.Address, err)
	}
	return c, nil
}

// credentials returns how the connection is secured.
func (o *Options) credentials(e endpoint) (credentials.TransportCredentials, error) {
	if !e.tls {
		if o.CA != "" || o.Cert != "" || o.Key != "" {
			return nil, errors.New("certificates are of no use without TLS; write grpcs://")
		}
		if host, _, err := net.SplitHostPort(e.target); o.Token != "" && (err != nil || !isLoopback(host)) {
			return nil, errors.New("the token would cross the network in the clear; write grpcs://")
		}
		return insecure.NewCredentials(), nil
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CA != "" {
		pem, err := os.ReadFile(o.CA)
		if err != nil {
			return nil, fmt.Errorf("certificates to trust: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("certificates to trust: %s holds none in PEM form", o.CA)
		}
	}
	if (o.Cert == "") != (o.Key == "") {
		return nil, errors.New("a client certificate needs its key, and a key its certificate")
	}
	if o.Cert != "" {
		pair, err := tls.LoadX509KeyPair(o.Cert, o.Key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(cfg), nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (o *Options) outgoing(ctx context.Context) context.Context {
	if o.Token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+o.Token)
	}
	for k, v := range o.Headers {
		ctx = metadata.AppendToOutgoingContext(ctx, k, v)
	}
	return ctx
}

func (o *Options) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(o.outgoing(ctx), method, req, reply, cc, opts...)
}

func (o *Options) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, streamer grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return streamer(o.outgoing(ctx), desc, cc, method, opts...)
}

// Close ends the connections.
func (c *Client) Close() error { return errors.Join(c.calls.Close(), c.data.Close()) }

// Address returns the address as it was given.
func (c *Client) Address() string { return c.o.Address }

// Instance returns the instance name, "" for the only one.
func (c *Client) Instance() string { return c.instance }

// Patience is that of the options, the default filled in.
func (c *Client) Patience() time.Duration { return c.o.Patience }

// Conn returns the connection that carries questions, for services of the same
// server that this package does not speak.
func (c *Client) Conn() *grpc.ClientConn { return c.calls }

// Capabilities returns what Connect learned, and cautious values before.
func (c *Client) Capabilities() Capabilities { return *c.caps.Load() }

// Connect asks the server what it can do. It should come before other calls, and
// again when the server comes back from a fault. It fails if the server keeps no
// blobs under SHA-256.
func (c *Client) Connect(ctx context.Context) error {
	var answer *repb.ServerCapabilities
	err := c.ask(ctx, "capabilities", func(ctx context.Context) (err error) {
		answer, err = c.capabilities(ctx)
		return err
	})
	if err != nil {
		return err
	}
	return c.learn(answer)
}

func (c *Client) capabilities(ctx context.Context) (*repb.ServerCapabilities, error) {
	return repb.NewCapabilitiesClient(c.calls).GetCapabilities(ctx, &repb.GetCapabilitiesRequest{InstanceName: c.instance})
}

func (c *Client) learn(answer *repb.ServerCapabilities) error {
	cc, ec := answer.GetCacheCapabilities(), answer.GetExecutionCapabilities()
	if cc != nil && !slices.Contains(cc.DigestFunctions, repb.DigestFunction_SHA256) {
		return fmt.Errorf("remote %s: it keeps blobs under %v; this program needs SHA-256", c.o.Address, cc.DigestFunctions)
	}
	low, high := answer.GetLowApiVersion(), answer.GetHighApiVersion()
	if high.GetMajor() != 0 && (low.GetMajor() > 2 || high.GetMajor() < 2) {
		return fmt.Errorf("remote %s: it speaks versions %d.%d to %d.%d of the Remote Execution API; this program speaks 2", c.o.Address, low.GetMajor(), low.GetMinor(), high.GetMajor(), high.GetMinor())
	}
	caps := Capabilities{MaxBatch: defaultBatch,
		UpdateResults: cc.GetActionCacheUpdateCapabilities().GetUpdateEnabled(), Execute: ec.GetExecEnabled(),
		Low: fmt.Sprintf("%d.%d", low.GetMajor(), low.GetMinor()), High: fmt.Sprintf("%d.%d", high.GetMajor(), high.GetMinor())}
	// 0 means that no limit is set; then gRPC's own holds. More than that one is
	// not worth a second look at what servers' libraries receive.
	if n := cc.GetMaxBatchTotalSizeBytes(); n > 0 && n < defaultBatch {
		caps.MaxBatch = n
	}
	caps.Zstd = slices.Contains(cc.GetSupportedCompressors(), repb.Compressor_ZSTD)
	c.caps.Store(&caps)
	return nil
}
