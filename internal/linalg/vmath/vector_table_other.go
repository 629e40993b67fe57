//go:build !amd64

package vmath

func active() *table { return &goTable }
