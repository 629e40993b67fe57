package reapi

// Bound is how many executions are followed at once by now; 0 if nothing is
// known yet.
func (c *Client) Bound() float64 {
	c.executions.mu.Lock()
	defer c.executions.mu.Unlock()
	return c.executions.limit
}
