# What must hold of the pipeline: compressc test examples/pipelines/quickstart

# A model of another size, to see what would come out, without its weights.
run "an_8b_model_fits_into_6_gb" {
  mock "model.base" {
    architecture        = "llama"
    hidden_size         = 4096
    intermediate_size   = 14336
    num_hidden_layers   = 32
    num_attention_heads = 32
    num_key_value_heads = 8
    vocab_size          = 128256
  }

  assert {
    condition     = quantize.packed.size < 6.5e9
    error_message = "${quantize.packed.size} bytes"
  }
}

run "half_of_the_weights_are_zero" {
  assert {
    condition = quantize.packed.sparsity == 0.5
  }
}

run "groups_that_do_not_divide_are_refused" {
  variables {
    group_size = 100
  }

  expect_failures = [quantize.packed]
}
