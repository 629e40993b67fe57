variable "base" {
  type        = model
  description = "what is quantised"
}

quantize "rtn" "small" {
  model      = var.base
  group_size = 32
}

output "small" {
  value       = quantize.small
  description = "eight times smaller"
}
