package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/compressc/compressc/internal/fetch"
	"github.com/compressc/compressc/internal/origin"
	"github.com/compressc/compressc/internal/spell"
	"github.com/compressc/compressc/lang/lock"
)

// downloads fetches the sources of a pipeline that lie elsewhere, each once.
type downloads struct {
	ctx     context.Context
	fetcher *fetch.Fetcher
	// old are the entries of the lock file, kept those that no address asks to be
	// taken over anew.
	old, kept *lock.File
	// upgrade are the addresses of blocks whose sources are fetched anew.
	upgrade []string
	done    map[origin.Source]error
	fetched []origin.Source
	// clear empties the last line of a terminal, and is "" elsewhere; wipe writes it.
	clear string
	wipe  func()
	// interrupted is set when the user did not wait for one.
	interrupted bool
}

func (a *app) newDownloads(ctx context.Context, old, kept *lock.File, upgrade []string) (*downloads, error) {
	dir, err := a.downloadsDir()
	if err != nil {
		return nil, err
	}
	d := &downloads{ctx: ctx, fetcher: fetch.New(origin.Places{Dir: dir}), old: old, kept: kept, upgrade: upgrade, done: map[origin.Source]error{}}
	d.fetcher.Say = func(f fetch.File) { fmt.Fprintf(a.Err, "%sFetching %s\n", d.clear, fileText(f)) }
	if isTerminal(a.Err) {
		d.clear = "\r\x1b[K"
		d.fetcher.Moving = moving(a.Err, d.clear)
	}
	d.wipe = func() { fmt.Fprint(a.Err, d.clear) }
	return d, nil
}

// moving shows on the last line of a terminal how far a file has come, a few times
// a second.
func moving(w io.Writer, clear string) func(fetch.File) {
	var last time.Time
	return func(f fetch.File) {
		if now := time.Now(); now.Sub(last) > 200*time.Millisecond {
			last = now
			text := spell.Bytes(f.Have)
			if f.Bytes > 0 {
				text = fmt.Sprintf("%d %% of %s", 100*f.Have/f.Bytes, spell.Bytes(f.Bytes))
			}
			fmt.Fprintf(w, "%s  %s", clear, text)
		}
	}
}

// fileText is a file that is fetched, with its size and what of it is here.
func fileText(f fetch.File) string {
	var notes []string
	if f.Bytes >= 0 {
		notes = append(notes, spell.Bytes(f.Bytes))
	}
	if f.Have > 0 {
		notes = append(notes, spell.Bytes(f.Have)+" of it are here")
	}
	text := f.Source
	if !strings.HasSuffix(f.Source, "/"+f.Name) {
		text = f.Name + " of " + f.Source
	}
	if len(notes) > 0 {
		text += " (" + strings.Join(notes, ", ") + ")"
	}
	return text
}

// get is a planner.Resolver.Fetch: it fetches what is not here, and what is to be
// taken over anew.
func (d *downloads) get(addr string, s origin.Source, token string, found bool) error {
	// Another block's address may stand for the same source, and one that was never
	// locked has no entry.
	renew := d.entry(d.old, s) && !d.entry(d.kept, s) || slices.ContainsFunc(d.upgrade, func(u string) bool {
		return u == "all" || addr == u || strings.HasPrefix(addr, u+"[")
	})
	if found && (!renew || d.fetcher.Offline && strings.HasPrefix(s.Address, "hf://")) {
		return nil
	}
	if err, ok := d.done[s]; ok {
		return err
	}
	if d.interrupted {
		return fmt.Errorf("%s: interrupted", s.Address)
	}
	// The rest of the command ends at once when it is interrupted.
	ctx, stop := signal.NotifyContext(d.ctx, os.Interrupt)
	defer stop()
	err := d.fetcher.Fetch(ctx, s, token)
	d.wipe()
	d.interrupted = d.interrupted || ctx.Err() != nil
	if d.done[s] = err; err == nil {
		d.fetched = append(d.fetched, s)
	}
	return err
}

func (d *downloads) entry(f *lock.File, s origin.Source) bool {
	switch s.Kind {
	case origin.Model:
		return f.Model(s.Address, s.Revision) != nil
	case origin.Adapter:
		return f.Adapter(s.Address, s.Revision) != nil
	}
	return f.Text(s.Address) != nil
}

// withdraw takes back what was fetched and cannot be read, or is not what its entry
// says, so that nobody finds it in the source's place and it is looked at again.
func (d *downloads) withdraw(refused []string) error {
	var errs []error
	for _, s := range d.fetched {
		if slices.Contains(refused, s.Address) {
			errs = append(errs, d.fetcher.Withdraw(s))
		}
	}
	return errors.Join(errs...)
}
