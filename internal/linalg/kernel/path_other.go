//go:build !amd64 && !arm64

package kernel

func tables() []*table { return []*table{&goTable} }
