package cli

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/bench"
	"github.com/compressc/compressc/internal/fetched"
	"github.com/compressc/compressc/internal/origin"
	"github.com/compressc/compressc/internal/spell"
	"github.com/compressc/compressc/lang/modules"
)

// cacheFolder is the folder that the flags or the environment name for the
// cache, "" where there is none.
func (a *app) cacheFolder() string {
	return cmp.Or(a.cacheDir, os.Getenv("COMPRESSC_CACHE_DIR"), cache.DefaultDir())
}

// openStore opens the cache.
func (a *app) openStore() (*cache.Store, error) {
	dir := a.cacheFolder()
	var recompute bool
	if v := os.Getenv("COMPRESSC_VERIFY"); v != "" {
		var err error
		if recompute, err = strconv.ParseBool(v); err != nil {
			return nil, fmt.Errorf("COMPRESSC_VERIFY=%s: expected 1, to compute everything again and compare, or 0", v)
		}
	}
	return cache.Open(dir, cache.Options{Recompute: recompute, Guests: []string{bench.FileName, modulesFolder, downloadsFolder}, Logf: func(format string, args ...any) {
		fmt.Fprintf(a.Err, "%s %s\n", a.paint(yellow, "Cache:"), fmt.Sprintf(format, args...))
	}})
}

// warnOfRoom says so before work that writes more than the disk has room for.
func (a *app) warnOfRoom(s *cache.Store, bytes int64) {
	if text := tooLittleRoom(bytes, s.Free(), s.Dir()); text != "" {
		fmt.Fprintf(a.Err, "%s %s\n", a.paint(yellow, "Warning:"), text)
	}
}

// tooLittleRoom is "" where there is enough, or where it is not known (free < 0).
func tooLittleRoom(bytes, free int64, dir string) string {
	if free < 0 || bytes <= free {
		return ""
	}
	return fmt.Sprintf("about %s will be written into the cache, and %s are free in %s. Make room with compressc cache gc, or choose another folder with --cache-dir.",
		spell.Bytes(bytes), spell.Bytes(free), dir)
}

func (a *app) cacheCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "cache", Short: "Look after the cache",
		Long:    "The cache holds every intermediate result under the digest of what it was made\nfrom. Any number of runs may share it, and it may be deleted at any time: that only\ncosts the time to compute again.",
		Example: "  compressc cache du\n  compressc cache gc -size 20GB\n  compressc cache check -full -repair",
		Args:    unknownCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.cacheDuCmd(), a.cacheLsCmd(), a.cacheGCCmd(), a.cacheCheckCmd(), a.cachePinCmd(), a.cacheUnpinCmd(), a.cacheAdoptCmd(), a.cacheExportCmd(), a.cacheImportCmd())
	return c
}

func (a *app) cacheDuCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "du", Short: "Show what the cache holds and how much it takes", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := a.openStore()
			if err != nil {
				return err
			}
			defer s.Close()
			u, err := s.Usage()
			if err != nil {
				return err
			}
			dir, err := a.modulesDir()
			if err != nil {
				return err
			}
			checkouts, err := modules.Checkouts(dir)
			if err != nil {
				return err
			}
			mods := fetchedCount(checkouts)
			if dir, err = a.downloadsDir(); err != nil {
				return err
			}
			copies, err := origin.Copies(dir)
			if err != nil {
				return err
			}
			copied := fetchedCount(copies)
			limit, err := cacheLimit(s, "")
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.Out, struct {
					cache.Usage
					Modules   cache.Count `json:"modules"`
					Downloads cache.Count `json:"downloads"`
					Limit     int64       `json:"limit,omitempty"` // of the blobs
				}{u, mods, copied, limit})
			}
			t := newTable(4, "", ">files", ">size", "")
			row := func(what string, n cache.Count, note string) {
				t.cells(cell{text: what}, cell{text: humanize.Comma(int64(n.Files))}, cell{text: spell.Bytes(n.Bytes)}, cell{note, dim})
			}
			fmt.Fprintf(a.Out, "%s\n", s.Dir())
			row("blobs", u.Blobs, "tensors and documents"+limitNote(limit))
			row("actions", u.Entries, "results on record")
			row("definitions", u.Definitions, "what plan predicts from")
			row("sources", u.Externals, spell.Bytes(u.ExternalBytes)+" used where they lie")
			row("digests", u.Stats, "of source files, so that they are read once")
			row("memos", u.Memos, "so that a run without work is quick")
			row("runs", u.Runs, "see compressc show -list")
			if u.Pins.Files > 0 {
				row("pins", u.Pins, "see compressc cache pin -list")
			}
			if u.Taints.Files > 0 {
				row("tainted", u.Taints, "two results for one action: see compressc cache check")
			}
			if mods.Files > 0 {
				row("modules", mods, "from git, "+spell.Plural(len(checkouts), "commit", "commits"))
			}
			if copied.Files > 0 {
				row("downloads", copied, "sources from elsewhere, "+spell.Plural(len(copies), "address", "addresses"))
			}
			row("temporary", u.Tmp, "of runs under way")
			row("trash", u.Trash, "deleted by the next cache gc")
			if u.Quarantine.Files > 0 {
				row("quarantine", u.Quarantine, "damaged bytes, kept for a look")
			}
			total := u.Total()
			total.Files, total.Bytes = total.Files+mods.Files+copied.Files, total.Bytes+mods.Bytes+copied.Bytes
			t.cells(cell{"in all", bold}, cell{humanize.Comma(int64(total.Files)), bold}, cell{spell.Bytes(total.Bytes), bold}, cell{})
			t.write(a.Out, "  ", a.colored(a.Out))
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// fetchedCount sums up what was fetched.
func fetchedCount(list []fetched.Folder) (n cache.Count) {
	for _, f := range list {
		n.Files, n.Bytes = n.Files+f.Files, n.Bytes+f.Bytes
	}
	return n
}

func (a *app) cacheGCCmd() *cobra.Command {
	var size string
	var age, rebuild time.Duration
	var keep int
	var dry, now, asJSON bool
	c := &cobra.Command{
		Use: "gc", Short: "Delete what no recent run needs",
		Long: `Deletes results that none of the last runs of any pipeline and no pin relies on and
that no process is using. What was written within a day is spared. Blobs go to the trash
first and are deleted by the next gc, or at once with -now.

With -size only the bytes of results go, beginning with what is cheapest to make
again for each byte freed, all that it needs included; the results stay on record,
so that nothing runs for them until their bytes are read.

With -age modules from git and downloaded sources that no pipeline has used for that
time go too; compressc lock fetches them again.`,
		Example: "  compressc cache gc -size 20GB\n  compressc cache gc -age 720h -dry-run",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o := cache.GCOptions{MaxAge: age, MaxRebuild: rebuild, KeepRuns: keep, DryRun: dry, Now: now}
			if size != "" {
				n, err := parseBytes("-size", size, "20GB")
				if err != nil {
					return err
				}
				o.MaxBytes = n
			}
			s, err := a.openStore()
			if err != nil {
				return err
			}
			defer s.Close()
			r, err := s.GC(c.Context(), o)
			if err != nil {
				return err
			}
			dir, err := a.modulesDir()
			if err != nil {
				return err
			}
			var before time.Time // without an age nothing but leftovers
			if age > 0 {
				before = time.Now().Add(-age)
			}
			gone, err := modules.Trim(dir, before, dry)
			if err != nil {
				return fmt.Errorf("cleaning up the modules from git: %w", err)
			}
			mods := fetchedCount(gone)
			if dir, err = a.downloadsDir(); err != nil {
				return err
			}
			left, err := origin.Trim(dir, before, dry)
			if err != nil {
				return fmt.Errorf("cleaning up the downloaded sources: %w", err)
			}
			copied := fetchedCount(left)
			if asJSON {
				return printJSON(a.Out, struct {
					cache.GCReport
					Modules   cache.Count `json:"modules"`
					Downloads cache.Count `json:"downloads"`
				}{r, mods, copied})
			}
			a.showGC(r, dry, now)
			if len(gone) > 0 {
				fmt.Fprintf(a.Out, "%s %s of modules from git, %s.\n", map[bool]string{true: "Would delete", false: "Deleted"}[dry], spell.Plural(len(gone), "commit", "commits"), spell.Bytes(mods.Bytes))
			}
			if len(left) > 0 {
				fmt.Fprintf(a.Out, "%s %s, %s.\n", map[bool]string{true: "Would delete", false: "Deleted"}[dry], spell.Plural(len(left), "downloaded source", "downloaded sources"), spell.Bytes(copied.Bytes))
			}
			if r.Over > 0 {
				fmt.Fprintf(a.Out, "%s over the size asked for are in use, of a recent run, younger than a day, or take longer than -max-rebuild to make again.\n", spell.Bytes(r.Over))
			}
			return nil
		},
	}
	c.Flags().StringVar(&size, "size", "", "evict until the blobs take at most this `SIZE`, such as 20GB")
	c.Flags().DurationVar(&rebuild, "max-rebuild", 0, "with -size, evict only what can be made again within this `TIME`, such as 10m")
	c.Flags().DurationVar(&age, "age", 0, "evict results that were not used for this `TIME`, such as 720h")
	c.Flags().IntVar(&keep, "keep-runs", cache.DefaultKeepRuns, "keep the results of the last `N` runs of each pipeline")
	c.Flags().BoolVar(&dry, "dry-run", false, "delete nothing, say what would go")
	c.Flags().BoolVar(&now, "now", false, "delete at once instead of through the trash")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// showGC says what a gc took, or would take.
func (a *app) showGC(r cache.GCReport, dry, now bool) {
	verb := "Took out"
	if dry {
		verb = "Would take out"
	}
	what := spell.Plural(r.Entries.Files, "result", "results") + " and " + spell.Plural(r.Blobs.Files, "blob", "blobs")
	switch {
	case r.Entries.Files+r.Blobs.Files == 0:
		fmt.Fprintln(a.Out, "Nothing to take out.")
	case now || dry:
		fmt.Fprintf(a.Out, "%s %s of %s.\n", verb, what, spell.Bytes(r.Blobs.Bytes))
	default:
		fmt.Fprintf(a.Out, "%s %s of %s into the trash; the next gc deletes them.\n", verb, what, spell.Bytes(r.Blobs.Bytes))
	}
	if n := r.Evicted.Files; n > 0 {
		fmt.Fprintf(a.Out, "Of %s the bytes alone: they stay on record and are made again when something reads them, in at most %.2g s each.\n", spell.Plural(n, "result", "results"), r.Rebuild)
	}
	if r.Freed.Bytes > 0 {
		fmt.Fprintf(a.Out, "%s: %s.\n", map[bool]string{true: "Would delete for good", false: "Deleted for good"}[dry], spell.Bytes(r.Freed.Bytes))
	}
	fmt.Fprintf(a.Out, "Left: %s of %s.\n", spell.Plural(r.Kept.Files, "blob", "blobs"), spell.Bytes(r.Kept.Bytes))
}

func (a *app) cacheCheckCmd() *cobra.Command {
	var full, repair, asJSON bool
	var subset string
	c := &cobra.Command{
		Use: "check", Short: "Look for damage in the cache",
		Long: "Checks that every result on record has its blobs, with the right sizes and, in\npart or in full, the right bytes. With -repair damaged records go and damaged blobs\nare set aside, so that the next run makes them again. Exit status 1 if damage is left.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o := cache.CheckOptions{Full: full, Repair: repair}
			if subset != "" {
				if _, err := fmt.Sscanf(subset, "%d/%d", &o.Subset[0], &o.Subset[1]); err != nil || strings.Count(subset, "/") != 1 || o.Subset[0] < 1 || o.Subset[0] > o.Subset[1] {
					return fmt.Errorf("-subset %s: expected K/N with 1 ≤ K ≤ N, such as 1/10", subset)
				}
			}
			s, err := a.openStore()
			if err != nil {
				return err
			}
			defer s.Close()
			r, err := s.Check(c.Context(), o)
			if err != nil {
				return err
			}
			if r.Problems == nil {
				r.Problems = []cache.Problem{} // an empty list in JSON, not null
			}
			left := 0
			for _, p := range r.Problems {
				if !p.Repaired {
					left++
				}
			}
			if asJSON {
				if err := printJSON(a.Out, r); err != nil {
					return err
				}
			} else {
				for _, p := range r.Problems {
					fmt.Fprintln(a.Out, p)
				}
				fmt.Fprintf(a.Out, "%d results, %d blobs, %d records looked at; %s hashed; %d problems", r.Entries, r.Blobs, r.Records, spell.Bytes(r.Hashed.Bytes), len(r.Problems))
				if n := len(r.Problems) - left; n > 0 {
					fmt.Fprintf(a.Out, ", %d repaired", n)
				}
				fmt.Fprintln(a.Out, ".")
			}
			if left > 0 {
				return exit(ExitError)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&full, "full", false, "hash every blob")
	c.Flags().StringVar(&subset, "subset", "", "hash the K-th of N parts of the blobs, as `K/N` such as 1/10")
	c.Flags().BoolVar(&repair, "repair", false, "drop damaged records and set damaged blobs aside")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
