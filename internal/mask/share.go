package mask

// Sparsity returns the share of weights that the pattern removes.
func (p Pattern) Sparsity() float64 {
	if p.IsNM() {
		return 1 - float64(p.N)/float64(p.M)
	}
	return p.Fraction
}
