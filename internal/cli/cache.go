package cli

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/cache"
)

// openStore opens the cache that the flags or the environment name.
func (a *app) openStore() (*cache.Store, error) {
	dir := a.cacheDir
	if dir == "" {
		dir = os.Getenv("COMPRESSC_CACHE_DIR")
	}
	if dir == "" {
		dir = cache.DefaultDir()
	}
	return cache.Open(dir, cache.Options{Logf: func(format string, args ...any) {
		fmt.Fprintf(a.Err, "%s %s\n", a.paint(yellow, "Cache:"), fmt.Sprintf(format, args...))
	}})
}

func (a *app) cacheCmd() *cobra.Command {
	c := &cobra.Command{
		Use: "cache", Short: "Look after the cache",
		Long:    "The cache holds every intermediate result under the digest of what it was made\nfrom. Any number of runs may share it, and it may be deleted at any time: that only\ncosts the time to compute again.",
		Example: "  compressc cache du\n  compressc cache gc -size 20GB\n  compressc cache check -full -repair",
		Args:    unknownCommand,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(a.cacheDuCmd(), a.cacheGCCmd(), a.cacheCheckCmd())
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
			if asJSON {
				return printJSON(a.Out, u)
			}
			w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', tabwriter.AlignRight)
			row := func(what string, n cache.Count, note string) {
				fmt.Fprintf(w, "%s\t%d\t%s\t  %s\n", what, n.Files, humanize.IBytes(uint64(n.Bytes)), note)
			}
			fmt.Fprintf(a.Out, "%s\n", s.Dir())
			row("blobs", u.Blobs, "tensors and documents")
			row("actions", u.Entries, "results on record")
			row("definitions", u.Definitions, "what plan predicts from")
			row("sources", u.Externals, fmt.Sprintf("%s in their own files", humanize.IBytes(uint64(u.ExternalBytes))))
			row("runs", u.Runs, "see compressc show")
			row("temporary", u.Tmp, "")
			row("trash", u.Trash, "freed by the next cache gc")
			row("quarantine", u.Quarantine, "damaged bytes, kept for a look")
			return w.Flush()
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) cacheGCCmd() *cobra.Command {
	var size string
	var age time.Duration
	var keep int
	var dry, now, asJSON bool
	c := &cobra.Command{
		Use: "gc", Short: "Delete what no recent run needs",
		Long: `Deletes results that none of the last runs of any pipeline relies on and that no
process is using. What was written within a day is spared. Blobs go to the trash
first and are deleted by the next gc, or at once with -now.`,
		Example: "  compressc cache gc -size 20GB\n  compressc cache gc -age 720h -dry-run",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o := cache.GCOptions{MaxAge: age, KeepRuns: keep, DryRun: dry, Now: now}
			if size != "" {
				n, err := humanize.ParseBytes(size)
				if err != nil {
					return fmt.Errorf("-size %s: expected a number of bytes such as 20GB: %w", size, err)
				}
				o.MaxBytes = int64(n)
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
			if asJSON {
				return printJSON(a.Out, r)
			}
			verb := "Removed"
			if dry {
				verb = "Would remove"
			}
			fmt.Fprintf(a.Out, "%s %d results and %d blobs of %s; freed %s for good; %s in %d blobs are left.\n", verb,
				r.Entries.Files, r.Blobs.Files, humanize.IBytes(uint64(r.Blobs.Bytes)), humanize.IBytes(uint64(r.Freed.Bytes)), humanize.IBytes(uint64(r.Kept.Bytes)), r.Kept.Files)
			if r.Over > 0 {
				fmt.Fprintf(a.Out, "%s over the size asked for are in use, or younger than a day.\n", humanize.IBytes(uint64(r.Over)))
			}
			return nil
		},
	}
	c.Flags().StringVar(&size, "size", "", "evict until the cache takes at most this much")
	c.Flags().DurationVar(&age, "age", 0, "evict results that were not used for this long")
	c.Flags().IntVar(&keep, "keep-runs", cache.DefaultKeepRuns, "runs of each pipeline whose results are kept")
	c.Flags().BoolVar(&dry, "dry-run", false, "delete nothing, say what would go")
	c.Flags().BoolVar(&now, "now", false, "delete at once instead of through the trash")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
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
				fmt.Fprintf(a.Out, "%d results, %d blobs, %d records looked at; %s hashed; %d problems", r.Entries, r.Blobs, r.Records, humanize.IBytes(uint64(r.Hashed.Bytes)), len(r.Problems))
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
	c.Flags().StringVar(&subset, "subset", "", "hash the K-th of N parts of the blobs, such as 1/10")
	c.Flags().BoolVar(&repair, "repair", false, "drop damaged records and set damaged blobs aside")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
