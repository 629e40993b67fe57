package planner

import "fmt"

// Keep has everything stored that the actions of the nodes at the given
// addresses yield, also what would be given up once nothing pending reads it,
// hidden states for one: a later plan that reads it then finds the bytes. It is
// to be called before Build.
func (e *Expansion) Keep(addresses []string) error {
	for _, addr := range addresses {
		found, err := e.Find(addr)
		if err != nil {
			return err
		}
		for _, n := range found {
			if n.Source() != "" || !n.Needed {
				return fmt.Errorf("-keep %s: it computes nothing in this run, so that there is nothing to keep; name a verb's block that runs, such as quantize.w4", addr)
			}
			n.keep = true
		}
	}
	return nil
}
