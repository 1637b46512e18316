// The bench's EBS endpoint: speaks as much of the EBS direct APIs as uploads and downloads need, and costs next to
// nothing, so that what is measured is the client. Also the flood that measures the endpoint's own ceiling.
//
//	endpoint serve [-tls DIR]      prints the address it listens on; ends when its standard input closes
//	endpoint flood -address A ...  sends the same block over and over, neither read nor hashed; prints MiB/s
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "serve":
		err = serve(os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "flood":
		err = flood(os.Args[2:])
	default:
		err = fmt.Errorf("usage: endpoint serve|flood [flags]")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
