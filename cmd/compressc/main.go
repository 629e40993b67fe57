// Command compressc plans and runs pipelines that compress language models.
package main

import (
	"os"

	"github.com/compressc/compressc/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
