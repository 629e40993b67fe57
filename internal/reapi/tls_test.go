package reapi_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/compressc/compressc/internal/reapi"
	"github.com/compressc/compressc/internal/reapi/reapitest"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.sign("ca", nil)
	return a
}

// sign makes a certificate and writes it and its key to files; without an
// authority of its own it is its own.
func (a *authority) sign(name string, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	parent, signer := a.cert, a.key
	if parent == nil {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
		parent, signer = c, key
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for ext, b := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "EC PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(a.path(name+ext), pem.EncodeToMemory(b), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	return c, key
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// Servers are authenticated, clients where the server wants it, and tokens and
// headers arrive.
func TestTLS(t *testing.T) {
	a := newAuthority(t)
	a.sign("server", func(c *x509.Certificate) {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
	a.sign("client", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	other := newAuthority(t)
	other.sign("client", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	pair, err := tls.LoadX509KeyPair(a.path("server.pem"), a.path("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	for _, s := range []struct {
		name   string
		mutual bool
		o      reapi.Options
		bad    string
	}{
		{"right", false, reapi.Options{CA: a.path("ca.pem"), Token: "secret"}, ""},
		{"no token", false, reapi.Options{CA: a.path("ca.pem")}, "who are you"},
		{"unknown authority", false, reapi.Options{Token: "secret"}, "certificate"},
		{"another authority", false, reapi.Options{CA: other.path("ca.pem"), Token: "secret"}, "certificate"},
		{"mutual", true, reapi.Options{CA: a.path("ca.pem"), Token: "secret", Cert: a.path("client.pem"), Key: a.path("client.key")}, ""},
		{"mutual, none of the client's", true, reapi.Options{CA: a.path("ca.pem"), Token: "secret"}, "capabilities"},
		{"mutual, another's certificate", true, reapi.Options{CA: a.path("ca.pem"), Token: "secret", Cert: other.path("client.pem"), Key: other.path("client.key")}, ""},
	} {
		t.Run(s.name, func(t *testing.T) {
			cfg := &tls.Config{Certificates: []tls.Certificate{pair}}
			if s.mutual {
				cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, pool
			}
			srv := reapitest.New(t, reapitest.Faults{Token: "secret", Instance: "i"}, grpc.Creds(credentials.NewTLS(cfg)))
			s.o.Address = strings.Replace(srv.Address, "grpc://", "grpcs://", 1)
			s.o.Patience = 5 * time.Second
			c, err := reapi.Dial(s.o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			err = c.Connect(t.Context())
			refused := s.bad != "" || strings.Contains(s.name, "another's")
			if refused != (err != nil) || err != nil && !strings.Contains(err.Error(), s.bad) {
				t.Fatalf("%v, want %q", err, s.bad)
			}
			if err != nil {
				return
			}
			data := noise(1, 5<<20)
			if err := c.Upload(t.Context(), []reapi.Blob{reapi.Bytes(data)}); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Read(t.Context(), reapi.Sum(data)); err != nil || !bytes.Equal(got, data) {
				t.Error(err)
			}
		})
	}
	for name, o := range map[string]reapi.Options{
		"no such file":    {CA: a.path("nothing.pem")},
		"no certificates": {CA: a.path("ca.key")},
		"without its key": {Cert: a.path("client.pem")},
		"another's key":   {Cert: a.path("client.pem"), Key: other.path("client.key")},
	} {
		o.Address = "grpcs://127.0.0.1:1"
		if c, err := reapi.Dial(o); err == nil {
			c.Close()
			t.Errorf("%s: no error", name)
		}
	}
	if c, err := reapi.Dial(reapi.Options{Address: "grpc://127.0.0.1:1", CA: a.path("ca.pem")}); err == nil {
		c.Close()
		t.Error("certificates without TLS: no error")
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"grpc://h:1", "grpcs://h/i/j", "grpc://[::1]:1/", "x", "grpc://u@h:1?x#y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := reapi.Dial(reapi.Options{Address: s})
		if err != nil {
			return
		}
		if strings.HasPrefix(c.Instance(), "/") || strings.Contains("/"+c.Instance()+"/", "/blobs/") {
			t.Errorf("%q has instance %q", s, c.Instance())
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
