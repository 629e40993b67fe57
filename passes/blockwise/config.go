package blockwise

import (
	"encoding/json"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/arch"
)

// PutConfig stores, as the output "config", what change makes of the configuration
// in the input of that name.
func PutConfig(c *action.Context, change func(*arch.Config) *arch.Config) error {
	raw, err := c.Input("config").Bytes("config.json")
	if err != nil {
		return err
	}
	cfg, err := arch.ParseConfig(raw)
	if err != nil {
		return err
	}
	if raw, err = change(cfg).JSON(); err != nil {
		return err
	}
	return c.Output("config").PutJSON("config.json", json.RawMessage(raw))
}
