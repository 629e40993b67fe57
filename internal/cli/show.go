package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/spell"
)

func (a *app) showCmd() *cobra.Command {
	var asJSON, list bool
	c := &cobra.Command{
		Use: "show [flags] [RUN|PIPELINE]", Short: "Show what a run did and what came out",
		Long: `Prints the evaluations, gates, selections, exports and outputs of a run. A run is
named by its ID or the beginning of one, or by its pipeline's folder or file, whose
latest run is meant. Without a name it is the latest run of the pipeline in the
working folder, or of all if that is none.

-json prints the record as it was kept: per node its output's digest, whether it was
cached, seconds and peak memory, and all metrics.`,
		Example: "  compressc show\n  compressc show -list\n  compressc show -json 20260823T07 | jq .evaluations",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if list {
				return a.listRuns(args, asJSON)
			}
			id, raw, err := a.rawRecord(args)
			if err != nil {
				return err
			}
			if asJSON {
				return printRaw(a.Out, raw)
			}
			rec, err := parseRecord(id, raw)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.Out, "%s, %s\n\n", rec.Pipeline, rec.Time.Local().Format("2006-01-02 15:04:05"))
			a.showRecord(rec, true)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the record, or the list, as JSON")
	c.Flags().BoolVar(&list, "list", false, "list the runs on record, the latest first")
	return c
}

// rawRecord reads the record, as it was kept, of the run that the arguments mean.
func (a *app) rawRecord(args []string) (id string, raw []byte, err error) {
	s, err := a.openStore()
	if err != nil {
		return "", nil, err
	}
	defer s.Close()
	all, err := s.Runs()
	if err != nil {
		return "", nil, err
	}
	info, err := findRun(all, args)
	if err != nil {
		return "", nil, err
	}
	raw, err = s.Run(info.ID)
	return info.ID, raw, err
}

// recordOf is rawRecord, parsed.
func (a *app) recordOf(args []string) (*record.Record, error) {
	id, raw, err := a.rawRecord(args)
	if err != nil {
		return nil, err
	}
	return parseRecord(id, raw)
}

// parseRecord parses the record of a run.
func parseRecord(id string, raw []byte) (*record.Record, error) {
	rec := &record.Record{}
	if err := json.Unmarshal(raw, rec); err != nil {
		return nil, fmt.Errorf("the record of run %s is of another version: %w", id, err)
	}
	return rec, nil
}

// ofPipeline returns the runs of the pipeline that the argument names, all
// without one.
func ofPipeline(all []cache.RunInfo, args []string) []cache.RunInfo {
	if len(args) == 0 {
		return all
	}
	var out []cache.RunInfo
	for _, r := range all {
		if names(args[0], r) {
			out = append(out, r)
		}
	}
	return out
}

// names reports whether a folder or file is the run's pipeline.
func names(path string, r cache.RunInfo) bool {
	name := pipelineName(path)
	return r.Pipeline == name || filepath.Dir(r.Pipeline) == name && isPipelineFile(r.Pipeline)
}

func isPipelineFile(name string) bool {
	return strings.HasSuffix(name, ".pipeline.hcl") || strings.HasSuffix(name, ".pipeline.hcl.json")
}

// findRun finds the run that the arguments mean, among all, the latest first.
func findRun(all []cache.RunInfo, args []string) (cache.RunInfo, error) {
	finished := slices.DeleteFunc(slices.Clone(all), func(r cache.RunInfo) bool { return r.Open })
	if len(args) == 0 {
		for _, r := range finished {
			if names(".", r) {
				return r, nil
			}
		}
		if matches, err := filepath.Glob("*.pipeline.hcl*"); err == nil && len(matches) > 0 {
			return cache.RunInfo{}, errors.New("the pipeline in this folder has not been run yet; compressc run does that, and compressc show -list lists the runs of others")
		}
		if len(finished) == 0 {
			return cache.RunInfo{}, errors.New("nothing has been run with this cache yet")
		}
		return finished[0], nil
	}
	var found []cache.RunInfo
	for _, r := range all {
		if strings.HasPrefix(r.ID, args[0]) {
			found = append(found, r)
		}
	}
	switch {
	case len(found) == 1 && found[0].Open:
		return found[0], fmt.Errorf("run %s of %s is under way, or was killed: it has left no record. Run the pipeline again to go on from there", found[0].ID, found[0].Pipeline)
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return found[0], fmt.Errorf("%d runs begin with %q: %s", len(found), args[0], idList(found))
	}
	for _, r := range finished {
		if names(args[0], r) {
			return r, nil
		}
	}
	if _, err := os.Stat(args[0]); err == nil {
		return cache.RunInfo{}, fmt.Errorf("%s has not been run with this cache", args[0])
	}
	if len(finished) == 0 {
		return cache.RunInfo{}, fmt.Errorf("there is no run %q; nothing has been run with this cache yet", args[0])
	}
	ids := make([]string, len(finished))
	for i, r := range finished {
		ids[i] = r.ID
	}
	hint := didyoumean.Hint(args[0], ids)
	if hint == "" {
		hint = " The latest are " + idList(finished) + "."
	}
	return cache.RunInfo{}, fmt.Errorf("there is no run %q.%s", args[0], hint)
}

// idList names the first few runs.
func idList(list []cache.RunInfo) string {
	var ids []string
	for _, r := range list[:min(len(list), 5)] {
		ids = append(ids, r.ID)
	}
	text := strings.Join(ids, ", ")
	if len(list) > 5 {
		text += fmt.Sprintf(" and %d more", len(list)-5)
	}
	return text
}

// runLine is a run in the list; its JSON is a contract.
type runLine struct {
	ID       string    `json:"id"`
	Pipeline string    `json:"pipeline"`
	Time     time.Time `json:"time"`
	// Status is "open" for a run that is under way or was killed.
	Status  string  `json:"status"`
	Seconds float64 `json:"seconds"`
	Cached  int     `json:"cached"`
	Run     int     `json:"run"`
}

func (a *app) listRuns(args []string, asJSON bool) error {
	s, err := a.openStore()
	if err != nil {
		return err
	}
	defer s.Close()
	all, err := s.Runs()
	if err != nil {
		return err
	}
	lines := []runLine{}
	for _, r := range ofPipeline(all, args) {
		l := runLine{ID: r.ID, Pipeline: r.Pipeline, Time: r.Time, Status: "open"}
		if !r.Open {
			raw, err := s.Run(r.ID)
			if errors.Is(err, cache.ErrNotFound) {
				continue // taken by a gc meanwhile
			}
			if err != nil {
				return err
			}
			rec, err := parseRecord(r.ID, raw)
			if err != nil {
				return err
			}
			l.Status, l.Seconds, l.Cached, l.Run = rec.Status, rec.Seconds, rec.Actions.Cached, rec.Actions.Run
		}
		lines = append(lines, l)
	}
	if asJSON {
		return printJSON(a.Out, lines)
	}
	if len(lines) == 0 {
		fmt.Fprintln(a.Out, "No runs.")
		return nil
	}
	t := newTable(7, "run", "", "status", ">cached", ">run", ">time", "pipeline")
	for _, l := range lines {
		status := cell{l.Status, green}
		if l.Status != record.OK {
			status.color = red
		}
		t.cells(cell{text: l.ID}, cell{humanize.Time(l.Time), dim}, status, cell{text: fmt.Sprint(l.Cached)}, cell{text: fmt.Sprint(l.Run)}, cell{text: spell.Seconds(l.Seconds)}, cell{text: l.Pipeline})
	}
	t.write(a.Out, "", a.colored(a.Out))
	return nil
}
