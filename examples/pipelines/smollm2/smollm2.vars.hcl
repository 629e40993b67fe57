# The model, as the Hugging Face tools keep it after
#
#   hf download HuggingFaceTB/SmolLM2-135M-Instruct
#
# A folder or a GGUF file elsewhere does as well:
#
#   compressc run -var model=/models/smollm2-135m-instruct.gguf examples/pipelines/smollm2
#
# A quarter of an hour on two cores. The text is the quickstart's; for a model that
# is to be used, calibrate on text like that which it will see.
model           = "hf://HuggingFaceTB/SmolLM2-135M-Instruct"
calibration     = "../quickstart/text/train.txt"
test            = "../quickstart/text/test.txt"
sequence_length = 512
ranks           = [16, 32, 64, 128]

retrain = {
  steps         = 40
  learning_rate = 5e-4
}
