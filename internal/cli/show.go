package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/compressc/compressc/internal/record"
)

func (a *app) showCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "show [RUN]", Short: "Show what a run did and what came out", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.openStore()
			if err != nil {
				return err
			}
			defer s.Close()
			var raw []byte
			if len(args) == 1 {
				raw, err = s.Run(args[0])
			} else {
				_, raw, err = s.LatestRun("")
			}
			if err != nil {
				return err
			}
			if asJSON {
				var v any
				if err := json.Unmarshal(raw, &v); err != nil {
					return err
				}
				return printJSON(a.Out, v)
			}
			var rec record.Record
			if err := json.Unmarshal(raw, &rec); err != nil {
				return err
			}
			a.printRecord(&rec, false)
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the record as JSON")
	return c
}

func (a *app) printRecord(rec *record.Record, _ bool) {
	for _, e := range rec.Evaluations {
		fmt.Fprintf(a.Out, "%s %v", e.Name, e.Point)
		for n, m := range e.Metrics {
			if m != nil {
				fmt.Fprintf(a.Out, " %s=%.4f", n, *m)
			}
		}
		fmt.Fprintln(a.Out)
	}
	for _, n := range rec.Nodes {
		if n.Error != "" {
			fmt.Fprintf(a.Out, "%s: %s\n", n.Name, n.Error)
		}
	}
	fmt.Fprintf(a.Out, "%s: %d actions, %d cached, %d run, %.1f s, peak %d MB\n", rec.Status, rec.Actions.Total, rec.Actions.Cached, rec.Actions.Run, rec.Seconds, rec.PeakAnonBytes>>20)
}
