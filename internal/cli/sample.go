package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/compressc/compressc/executor"
)

// defaultSample is the fraction of results on record that runs compare without
// being asked to.
const defaultSample = 500

// parseSample reads -verify-sample: 1/N, 0 for none, "" for the default, which
// is bound to cost little.
func parseSample(text string) (executor.Sample, error) {
	switch text {
	case "":
		return executor.Sample{OneIn: defaultSample}, nil
	case "0":
		return executor.Sample{}, nil
	}
	over, ok := strings.CutPrefix(text, "1/")
	n, err := strconv.Atoi(over)
	if !ok || err != nil || n < 1 {
		return executor.Sample{}, fmt.Errorf("-verify-sample %s: expected 1/N, such as 1/100, or 0", text)
	}
	return executor.Sample{OneIn: n, Whole: true}, nil
}
