package arch

import "encoding/json"

// readOwn reads the keys of our own, for what those of a family cannot say.
func (c *Config) readOwn(h *hfConfig) error {
	for _, read := range []func(*hfConfig) error{c.readShapes, c.readNorms, c.readAdapters} {
		if err := read(h); err != nil {
			return err
		}
	}
	return nil
}

// setOwn writes the keys of our own where they say anything.
func (c *Config) setOwn(raw map[string]json.RawMessage, set func(string, any) error) error {
	for _, write := range []func(map[string]json.RawMessage, func(string, any) error) error{c.setShapes, c.setNorms, c.setAdapters} {
		if err := write(raw, set); err != nil {
			return err
		}
	}
	return nil
}
