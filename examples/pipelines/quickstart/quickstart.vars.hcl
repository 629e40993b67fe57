model           = "model"
calibration     = "text/train.txt"
test            = "text/test.txt"
sequence_length = 256
ranks           = [4, 8, 16, 32]

retrain = {
  steps         = 40
  learning_rate = 1e-3
}
