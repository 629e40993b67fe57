package fetch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/compressc/compressc/internal/origin"
	"github.com/compressc/compressc/internal/version"
)

// Incomplete ends the names of files that are not whole yet.
const Incomplete = ".part"

const (
	// attempts are how often a file is asked for while nothing of it comes.
	attempts = 4
	// maxRedirects as http.Client has it.
	maxRedirects = 10
	usualStall   = time.Minute
)

// newClient returns a client that follows redirects within https alone, and
// takes bytes as they are: with a compressed answer neither the length nor a
// range would be that of the file.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true
	t.ResponseHeaderTimeout = usualStall
	t.DialContext = (&net.Dialer{Timeout: 20 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	return &http.Client{Transport: t, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		switch {
		case len(via) >= maxRedirects:
			return errors.New("it redirects too often")
		case r.URL.Scheme != "https" && !origin.Loopback(r.URL.Host):
			return errInsecure
		}
		return nil
	}}
}

// transfer is one file on its way.
type transfer struct {
	file File // Bytes is what is known before, -1 for nothing
	// what the file is called in messages: an address.
	what string
	url  string
	cred credential
	hint string // of where a credential comes from
	// to is the file once it is whole.
	to string
	// validator is the server's word for the version of the file that is at to, or in
	// part beside it; keep remembers another before any of its bytes come. Without
	// digest nothing is gone on with that has no validator.
	validator string
	keep      func(validator string) error
	// digest, where set, says whether a whole file has the bytes that it must have.
	digest func(path string) error
	// optional files may not be there.
	optional bool
}

// errAbsent is that of an optional file which the server does not have.
var errAbsent = errors.New("not there")

// get brings the file; it is whole, on disk and at its name when the error is nil.
func (f *Fetcher) get(ctx context.Context, t *transfer) error {
	partial := t.to + Incomplete
	said := false
	for attempt, verified := 0, false; ; {
		before := length(partial)
		more, err := f.once(ctx, t, partial, &said)
		if err == nil {
			if t.digest == nil {
				break
			}
			if err = t.digest(partial); err == nil {
				break
			}
			// What was there from before may be to blame.
			_ = os.Remove(partial)
			if said = false; before > 0 && !verified {
				verified = true
				continue
			}
			return err
		}
		if err := f.again(ctx, t.what, &attempt, length(partial) > before, more, err); err != nil {
			return err
		}
	}
	err := os.Rename(partial, t.to)
	if errors.Is(err, fs.ErrNotExist) && length(t.to) >= 0 {
		return nil // it is still as it was
	}
	if err != nil {
		return onDisk(t.to, err)
	}
	return nil
}

// again waits before another attempt at what failed with err, and returns what to
// give up with, nil to try again. Attempts count from the last one by which
// something came; more says that another may help.
func (f *Fetcher) again(ctx context.Context, what string, attempt *int, came, more bool, err error) error {
	if ctx.Err() != nil {
		return unanswered(what, context.Cause(ctx))
	}
	if *attempt++; came {
		*attempt = 1
	}
	if !more || *attempt >= attempts {
		return err
	}
	if err := f.wait(ctx, *attempt); err != nil {
		return unanswered(what, err)
	}
	return nil
}

// remove removes a file that may not be there.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return onDisk(path, err)
	}
	return nil
}

// once asks for what is missing of a file. more says that another attempt may
// help.
func (f *Fetcher) once(ctx context.Context, t *transfer, partial string, said *bool) (more bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return false, failure(err, "%s is no address.", t.what)
	}
	t.cred.header(r.Header)
	r.Header.Set("User-Agent", userAgent)
	r.Header.Set("Accept-Encoding", "identity")
	have := int64(0)
	if n := length(partial); n > 0 && (t.digest != nil || t.validator != "") && (t.file.Bytes < 0 || n <= t.file.Bytes) {
		have = n
	}
	if have > 0 && have == t.file.Bytes && t.digest != nil {
		return false, nil // whole but for its name
	}
	switch strong := strings.HasPrefix(t.validator, `"`); {
	case have > 0:
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		if t.digest == nil {
			r.Header.Set("If-Range", t.validator)
		}
	case strong && length(t.to) >= 0:
		r.Header.Set("If-None-Match", t.validator)
	}
	stall := cmp.Or(f.Stall, usualStall)
	watch := time.AfterFunc(stall, func() { cancel(errStalled) })
	defer watch.Stop()
	resp, err := f.client().Do(r)
	if err != nil {
		return !lasting(err), unanswered(t.what, because(ctx, err))
	}
	defer resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusNotModified && length(t.to) >= 0:
		if err := remove(partial); err != nil {
			return false, err
		}
		return false, nil
	case code == http.StatusPartialContent && have > 0:
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)) {
			_ = os.Remove(partial)
			return true, failure(nil, "%s: the server gave another range than was asked for (%s).", t.what, resp.Header.Get("Content-Range"))
		}
	case code == http.StatusOK:
		have = 0
	case code == http.StatusRequestedRangeNotSatisfiable:
		_ = os.Remove(partial)
		return true, refused(t.what, code, t.cred, t.hint)
	case t.optional && (code == http.StatusNotFound || code == http.StatusGone || code == http.StatusForbidden):
		return false, errAbsent // storage says forbidden of what is not in a folder that may not be listed
	default:
		return code == http.StatusTooManyRequests || code >= 500, refused(t.what, code, t.cred, t.hint)
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return false, failure(nil, "%s: the server sends the file in another form than it has (Content-Encoding: %s), though asked not to. Download it by other means and name its path.", t.what, coding)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		if t.optional {
			return false, errAbsent
		}
		return false, failure(nil, "%s: the server answered with a web page and no file. Check that the address is that of the file itself, and whether one has to sign in.%s", t.what, t.hint)
	}
	if resp.ContentLength < 0 && resp.ProtoMajor == 1 && !slices.Contains(resp.TransferEncoding, "chunked") {
		return false, failure(nil, "%s: the server does not say how long the file is, so that nobody can tell when it has come whole. Download it by other means and name its path.", t.what)
	}
	if have == 0 {
		// What is there from before may be of another version, which the new word is
		// not for: it goes first.
		for _, path := range []string{t.to, partial} {
			if err := remove(path); err != nil {
				return false, err
			}
		}
		t.validator = validator(resp.Header)
		if t.keep != nil {
			if err := t.keep(t.validator); err != nil {
				return false, err
			}
		}
	}
	return f.receive(ctx, t, resp, partial, have, watch, stall, said)
}

// receive writes an answer's bytes behind the first have of a file.
func (f *Fetcher) receive(ctx context.Context, t *transfer, resp *http.Response, partial string, have int64, watch *time.Timer, stall time.Duration, said *bool) (more bool, err error) {
	all := t.file.Bytes
	if resp.ContentLength >= 0 {
		all = have + resp.ContentLength
	}
	file := File{Source: t.file.Source, Name: t.file.Name, Bytes: all, Have: have}
	if !*said {
		*said = true
		f.say(file)
	}
	out, err := os.OpenFile(partial, os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return false, onDisk(partial, err)
	}
	in := &reader{from: resp.Body, alive: func() { watch.Reset(stall) }, moved: f.moving(file)}
	if length(partial) > have {
		err = out.Truncate(have)
	}
	if err == nil {
		_, err = out.Seek(have, io.SeekStart)
	}
	if err == nil {
		_, err = io.Copy(out, in)
	}
	broken := in.err
	if broken != nil {
		err = nil
	}
	// What has come is gone on with: it must be there after a power cut, too.
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		return false, onDisk(partial, err)
	}
	switch n := length(partial); {
	case broken != nil:
		return true, unanswered(t.what, because(ctx, broken))
	case all >= 0 && n != all:
		return true, failure(nil, "%s: the server sent %d bytes of %d.", t.what, n, all)
	}
	return false, nil
}

// reader tells reading that fails from writing that does.
type reader struct {
	from  io.Reader
	alive func()
	moved func(n int)
	err   error
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if n > 0 {
		r.alive()
		r.moved(n)
	}
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// because is why a request ended: what its context was cancelled for, if it was.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// validator is what If-Range takes: a strong entity tag, or else a date that is
// long enough ago for the file not to have changed twice in its second (RFC 9110,
// 8.8.2.2).
func validator(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		return tag
	}
	changed, err := http.ParseTime(h.Get("Last-Modified"))
	now, err2 := http.ParseTime(h.Get("Date"))
	if err != nil || err2 != nil || now.Sub(changed) < time.Minute {
		return ""
	}
	return h.Get("Last-Modified")
}

// length of a file, -1 where there is none.
func length(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return -1
	}
	return info.Size()
}

var userAgent = "compressc/" + version.Number
