package arch

// Coupling says where a factor on a site's inputs can come from: which tensors
// produce them in a way that a division by s there is a division of what the
// site's layers read, so that multiplying the columns of these layers by s gives
// the block's output again, exactly but for rounding.
//
// There are three rules. What a norm yields is proportional to its gain (and
// bias). What the heads yield is a mixture of the rows of v, whatever the
// attention weights: with grouped queries one value channel serves the same
// channel of several query heads, which therefore share a factor. What enters
// down is act(gate)·up, proportional to up; an MLP without a gate has no such
// rule, as its activation is not linear.
type Coupling struct {
	Site string
	// Free is the number of factors that can be chosen.
	Free int
	// Vectors are tensors [Free] of the block, by name, of which entry j is
	// divided by factor j.
	Vectors []string
	// Rows, if not "", is the linear layer of which output j is divided by
	// factor j: weights, bias and side paths.
	Rows string
	// Columns are the linear layers that read the site.
	Columns []string

	group, dim int // of grouped queries; group 0: channel j has factor j
}

// Of returns which factor holds for channel j of the site.
func (c Coupling) Of(j int) int {
	if c.group == 0 {
		return j
	}
	head := j / c.dim
	return head/c.group*c.dim + j%c.dim
}

// Expand returns the factors of all width channels of the site.
func (c Coupling) Expand(s []float32, width int) []float32 {
	out := make([]float32, width)
	for j := range out {
		out[j] = s[c.Of(j)]
	}
	return out
}

// Couplings returns what can be scaled in a block, in the order of Sites.
func (c *Config) Couplings() []Coupling {
	var out []Coupling
	norm := func(gain, bias string) []string {
		if c.NormBias {
			return []string{gain, bias}
		}
		return []string{gain}
	}
	for _, site := range Sites() {
		if site == SiteMLPMid && c.Plain {
			continue
		}
		k := Coupling{Site: site, Free: c.SiteWidth(site)}
		switch site {
		case SiteAttnIn:
			k.Vectors = norm(InputNormName, InputNormBiasName)
		case SiteAttnOut:
			k.Rows, k.Free = "self_attn.v_proj", c.KVDim()
			k.group, k.dim = c.Heads/c.KVHeads, c.HeadDim
		case SiteMLPIn:
			k.Vectors = norm(PostNormName, PostNormBiasName)
		case SiteMLPMid:
			k.Rows = "mlp.up_proj"
		}
		for _, l := range c.Linears() {
			if l.Site == site {
				k.Columns = append(k.Columns, l.Name)
			}
		}
		out = append(out, k)
	}
	return out
}

// Coupling returns the coupling of a site, false where it has none.
func (c *Config) Coupling(site string) (Coupling, bool) {
	for _, k := range c.Couplings() {
		if k.Site == site {
			return k, true
		}
	}
	return Coupling{}, false
}
