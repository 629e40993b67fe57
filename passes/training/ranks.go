package training

import (
	"fmt"
	"strings"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/train"
	"github.com/compressc/compressc/passes"
)

// A budget's ranks are known after the run: whoever takes the updates out of
// the state reports them, block by block.

const ranksPrefix = "ranks"

func ranksOutput(block int) string { return fmt.Sprint(ranksPrefix, block) }

func isRanks(output string) bool { return strings.HasPrefix(output, ranksPrefix) }

// rankedBlocks are those whose ranks a budget changes.
func (s *Spec) rankedBlocks() (blocks []int) {
	for b, ls := range s.Linears {
		if s.Budget != nil && len(ls) > 0 {
			blocks = append(blocks, b)
		}
	}
	return blocks
}

// ranksDeclared declares a block's report as an output.
func ranksDeclared(name string) action.Output {
	return action.Output{Name: name, Class: action.Durable, Bytes: 512}
}

// ranksReport is where a block's report is found.
func ranksReport(block int, a *action.Action, output string) passes.LayerReport {
	return passes.LayerReport{Block: block, Ref: action.Ref{Action: a, Output: output}}
}

// putRanks reports the ranks of a block's updates in a final state.
func putRanks(out *artifact.Builder, st train.State, prefix string, linears []Linear) error {
	ranks := train.Ranks(st)
	report := map[string]map[string]float64{}
	for _, l := range linears {
		n, ok := ranks[prefix+l.Name]
		if !ok {
			return fmt.Errorf("the state holds no update of %s%s", prefix, l.Name)
		}
		report[l.Name] = map[string]float64{"rank": float64(n)}
	}
	return out.PutJSON("report", report)
}
