//go:build !amd64 && !arm64

package vmath

func active() *table { return &goTable }
