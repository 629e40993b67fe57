package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
)

// Failure is why a source was not fetched.
type Failure struct {
	text string
	err  error
}

func (f *Failure) Error() string { return f.text }
func (f *Failure) Unwrap() error { return f.err }

func failure(err error, format string, a ...any) error {
	return &Failure{fmt.Sprintf(format, a...), err}
}

// credential is a token and what people call it.
type credential struct{ token, name string }

func (c credential) header(h http.Header) {
	if c.token != "" {
		h.Set("Authorization", "Bearer "+c.token)
	}
}

// refused says what a server's status means. what is asked for is an address that
// people know; hint says where else a credential comes from.
func refused(what string, code int, c credential, hint string) error {
	status := strings.TrimSpace(fmt.Sprint(code, " ", http.StatusText(code)))
	switch {
	case code == http.StatusUnauthorized && c.token != "":
		return failure(nil, "%s: the server does not accept the token of %s (%s). Check that it is valid and may read this.%s", what, c.name, status, hint)
	case code == http.StatusForbidden && c.token != "":
		return failure(nil, "%s: the token of %s gives no access (%s). Check that its owner may read this.%s", what, c.name, status, hint)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return failure(nil, "%s: the server wants a credential (%s), and none was given.%s", what, status, hint)
	case code == http.StatusNotFound || code == http.StatusGone:
		return failure(nil, "%s: the server has nothing there (%s). Check the address.%s", what, status, hint)
	case code == http.StatusTooManyRequests || code >= 500:
		return failure(nil, "%s: the server cannot answer now (%s). Try again later.", what, status)
	}
	return failure(nil, "%s: the server answered %s; expected the file. Check the address.", what, status)
}

var (
	errStalled  = errors.New("it sent nothing for too long")
	errInsecure = errors.New("it redirects to an address without https, where the bytes could be changed on the way")
)

// unanswered is what a connection failed with.
func unanswered(what string, err error) error {
	host := what
	if u, perr := url.Parse(what); perr == nil && u.Scheme == "hf" {
		host = "the hub"
	} else if perr == nil && u.Host != "" {
		host = u.Host
	}
	// The error of the client holds the address that it was sent to last.
	var of *url.Error
	if errors.As(err, &of) {
		err = of.Err
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, context.Canceled) && !errors.Is(err, errStalled):
		return failure(err, "%s: interrupted. What has come so far is gone on with next time.", what)
	case errors.Is(err, errInsecure):
		return failure(err, "%s: %v. Name an address that ends at https.", what, errInsecure)
	case errors.As(err, &dns):
		return failure(err, "%s: there is no host %s, or the network cannot be reached (%v). Check the address; behind a proxy, set HTTPS_PROXY.", what, dns.Name, err)
	}
	return failure(err, "%s: %s does not answer as expected: %v. Check the network and, behind a proxy, HTTPS_PROXY; what has come so far is gone on with next time.", what, host, err)
}

// lasting reports whether another attempt would fail in the same way.
func lasting(err error) bool {
	var dns *net.DNSError
	var untrusted *tls.CertificateVerificationError
	var other tls.RecordHeaderError
	return errors.Is(err, errInsecure) || errors.Is(err, syscall.ECONNREFUSED) || errors.As(err, &untrusted) || errors.As(err, &other) || errors.As(err, &dns) && dns.IsNotFound
}

// onDisk is what writing to a path failed with.
func onDisk(path string, err error) error {
	if full(err) {
		return failure(err, "The disk is full: there is no room in %s. Make room, for instance with compressc cache gc, or choose another folder with -cache-dir (for hf:// sources with HF_HUB_CACHE). What has come so far is gone on with next time.", filepath.Dir(path))
	}
	return failure(err, "Writing %s failed: %v. Check the folder's permissions.", path, err)
}

// full reports whether a disk has no room; the second is Windows' way to say so,
// ERROR_DISK_FULL.
func full(err error) bool {
	var n syscall.Errno
	return errors.Is(err, syscall.ENOSPC) || errors.As(err, &n) && isDiskFull(n)
}
