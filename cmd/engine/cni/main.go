// Command cni is the CNI plug-ins of the platform, by argv[0].
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	fmt.Println(filepath.Base(os.Args[0]))
}
