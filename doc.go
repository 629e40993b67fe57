// Package compressc is the root of the module; the program is cmd/compressc.
package compressc
