package record

import "encoding/json"

// Table is what a report measured of many things, a row each. It stands in a
// report's JSON under "table".
type Table struct {
	Columns []string `json:"columns"`
	// Rows hold numbers and strings by column; null is not finite, and what is
	// missing does not apply.
	Rows []map[string]any `json:"rows"`
}

// Table returns the table in the evaluation's report, nil where it has none.
func (e Evaluation) Table() *Table {
	var r struct {
		Table *Table `json:"table"`
	}
	if json.Unmarshal(e.Report, &r) != nil || r.Table == nil || len(r.Table.Columns) == 0 {
		return nil
	}
	return r.Table
}
