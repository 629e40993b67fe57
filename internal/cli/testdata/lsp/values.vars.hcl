sparsity = 0.4
