package content

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// SiteHost is the host in the names of images that are pushed under no other: registry.islet.internal/team/app. It is the
// same at every site, so that what names an image in a test runs in production unchanged.
const SiteHost = "registry.islet.internal"

// A full name is a host, with its port if it has one, and a path as the distribution specification has it. What a record's
// directory is called follows from it, so nothing may pass here that is no plain name.
var (
	namePattern = regexp.MustCompile(`^[a-z0-9]+([.-][a-z0-9]+)*(:[0-9]{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+$`)
	tagPattern  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
)

const maxName = 255

// CheckName refuses what is not the full name of a repository: registry.example/team/app.
func CheckName(name string) error {
	if len(name) > maxName || !namePattern.MatchString(name) {
		return fmt.Errorf("%.300q is not the name of a repository", name)
	}
	return nil
}

// IsName says whether a text is the full name of a repository.
func IsName(name string) bool { return CheckName(name) == nil }

// CheckTag refuses what is not a tag.
func CheckTag(tag string) error {
	if !tagPattern.MatchString(tag) {
		return fmt.Errorf("%.200q is not a tag", tag)
	}
	return nil
}

// FullName is the name of the repository that a request for path means. host is the registry that the client believes to
// talk to, empty if it did not say: containerd does, in the parameter "ns".
//
// A path that begins with the name of a host is a full name already. So everything here can also be had by clients that
// cannot say another host than the one they dial: 192.0.2.1:5000/docker.io/library/nginx.
func FullName(host, path string) (string, error) {
	first, _, below := strings.Cut(path, "/")
	name := SiteHost + "/" + path
	switch {
	case host != "" && !isOwn(host):
		name = host + "/" + path
	case below && strings.Contains(first, "."):
		name = path
	}
	return name, CheckName(name)
}

// isOwn says whether a host is another way to say SiteHost: with a port, or an address of a server.
func isOwn(host string) bool {
	name, _, _ := strings.Cut(host, ":")
	if name == SiteHost || name == "localhost" {
		return true
	}
	if _, err := netip.ParseAddrPort(host); err == nil {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// SplitName is the host and the path of a full name.
func SplitName(name string) (host, path string) {
	host, path, _ = strings.Cut(name, "/")
	return host, path
}
