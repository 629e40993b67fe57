package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/record"
)

func (a *app) diffCmd() *cobra.Command {
	var in inputs
	var asJSON, detailed bool
	c := &cobra.Command{
		Use: "diff [flags] FROM TO [PIPELINE]", Short: "Say what changes between two revisions, plans or runs",
		Long: `Compares two things of one kind:

  revisions of the pipeline under git: compressc diff main HEAD pipelines/prod
  a revision and the working tree:     compressc diff main pipelines/prod
  plans that were saved, or printed:   compressc diff old.json new.json
  runs on record:                      compressc diff 20260823T07 20260824T07

and prints which blocks come, go and change, with which argument; how large the
models become; what it costs, in actions, time and memory; and of runs what was
measured, decided and written. Of a revision only the text, and what else is under
version control, is its own: sources that are not are those of the working tree.

With -detailed-exitcode the exit status is 2 if anything is different but the cost.`,
		Example: "  compressc diff HEAD .\n  compressc diff -json main HEAD pipelines/prod | jq .blocks",
		Args:    cobra.RangeArgs(2, 3),
		RunE: a.reporting(&asJSON, func(_ *cobra.Command, args []string) error {
			store, err := a.openStore()
			if err != nil {
				return err
			}
			defer store.Close()
			from, to, kind, err := a.sides(args, &in, store, asJSON)
			if err != nil {
				return err
			}
			r := compare(from, to, kind)
			if asJSON {
				err = printJSON(a.Out, r)
			} else {
				a.showDiff(r)
			}
			if err == nil && detailed && !r.Equal {
				err = exit(ExitWork)
			}
			return err
		}),
	}
	in.variables(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print the differences as JSON")
	c.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 if anything is different but the cost")
	return c
}

// sides finds out what the arguments name, and takes both.
func (a *app) sides(args []string, in *inputs, store *cache.Store, asJSON bool) (from, to *snapshot, kind string, err error) {
	if len(args) == 2 && isFile(args[0]) && isFile(args[1]) {
		if from, err = fileSnapshot(args[0]); err != nil {
			return nil, nil, "", err
		}
		if to, err = fileSnapshot(args[1]); err != nil {
			return nil, nil, "", err
		}
		if from.kind != to.kind {
			return nil, nil, "", fmt.Errorf("%s is of %s and %s of %s: there is nothing to compare", args[0], from.kind, args[1], to.kind)
		}
		return from, to, from.kind, nil
	}
	if len(args) == 2 {
		runs, err := store.Runs()
		if err != nil {
			return nil, nil, "", err
		}
		x, err1 := findRunID(runs, args[0])
		y, err2 := findRunID(runs, args[1])
		if x != nil && y != nil {
			if from, err = storedSnapshot(store, x.ID); err != nil {
				return nil, nil, "", err
			}
			to, err = storedSnapshot(store, y.ID)
			return from, to, "runs", err
		}
		if err := errors.Join(err1, err2); err != nil {
			return nil, nil, "", err
		}
		if (x != nil) != (y != nil) {
			other := args[0]
			if x != nil {
				other = args[1]
			}
			return nil, nil, "", fmt.Errorf("one is a run, and there is no run %q", other)
		}
	}
	from, to, err = a.revisions(args, in, store, asJSON)
	return from, to, "revisions", err
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// findRunID finds the run whose ID begins so, nil if there is none.
func findRunID(runs []cache.RunInfo, id string) (*cache.RunInfo, error) {
	var found *cache.RunInfo
	for i := range runs {
		if len(id) < 4 || len(runs[i].ID) < len(id) || runs[i].ID[:len(id)] != id {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("several runs begin with %q; compressc show -list lists them", id)
		}
		found = &runs[i]
	}
	if found != nil && found.Open {
		return nil, fmt.Errorf("run %s is under way, or was killed: it has left no record", found.ID)
	}
	return found, nil
}

func storedSnapshot(store *cache.Store, id string) (*snapshot, error) {
	raw, err := store.Run(id)
	if err != nil {
		return nil, err
	}
	rec, err := parseRecord(id, raw)
	if err != nil {
		return nil, err
	}
	return runSnapshot(rec), nil
}

// fileSnapshot reads a saved plan, or what plan -json, run -json or show -json
// printed.
func fileSnapshot(name string) (*snapshot, error) {
	src, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var head struct {
		Saved   string          `json:"compressc_plan"`
		Plan    json.RawMessage `json:"plan"`
		ID      string          `json:"id"`
		Work    *bool           `json:"work"`
		Version string          `json:"format_version"`
	}
	if err := json.Unmarshal(src, &head); err != nil {
		return nil, fmt.Errorf("%s is no plan and no record: %w", name, err)
	}
	if head.Saved != "" {
		src = head.Plan
		if err := json.Unmarshal(src, &head); err != nil {
			return nil, fmt.Errorf("%s: the plan in it: %w", name, err)
		}
	}
	if !bytes.HasPrefix([]byte(head.Version), []byte("1.")) {
		return nil, fmt.Errorf("%s is no plan and no record that this version knows: expected what plan -json, plan -out, run -json or show -json write", name)
	}
	var s *snapshot
	switch {
	case head.Work != nil:
		var r planReport
		if err := json.Unmarshal(src, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s = planSnapshot(name, &r)
	case head.ID != "":
		var r record.Record
		if err := json.Unmarshal(src, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s = runSnapshot(&r)
	default:
		return nil, fmt.Errorf("%s is no plan and no record: expected what plan -json, plan -out, run -json or show -json write", name)
	}
	s.name = name
	return s, nil
}
