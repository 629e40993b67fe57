package record

// Graph is a directed acyclic graph of a pipeline's blocks, or of its nodes.
// Boxes stand in an order in which each comes after those it is made of.
type Graph struct {
	Boxes []Box  `json:"boxes"`
	Edges []Edge `json:"edges"`
}

// Box is a block, or a block at one point.
type Box struct {
	Address string `json:"address"`
	// Kind is the block type: "model", "prune", "gate".
	Kind   string `json:"kind"`
	Method string `json:"method,omitempty"`
	// Points is how many points of the sweeps the box stands for.
	Points int `json:"points"`
}

// Edge leads from one box to another, by index.
type Edge struct {
	From int `json:"from"`
	To   int `json:"to"`
	// Gates edges decide whether a box is brought about, and give it nothing.
	Gates bool `json:"gates,omitempty"`
}
