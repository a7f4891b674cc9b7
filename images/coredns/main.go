// Command coredns is CoreDNS with the plug-ins that a site without an outside can use.
package main

import (
	"slices"

	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
)

func main() {
	// Upstream's list keeps the order in which plug-ins see a request; a directive that it lists and that is not
	// linked would be accepted by the parser and then fail without a useful word.
	dnsserver.Directives = slices.DeleteFunc(dnsserver.Directives, func(name string) bool { return !linked[name] })
	coremain.Run()
}
