package join

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestCheckVersion(t *testing.T) {
	t.Parallel()
	site := Hello{Version: "1.2.0"}
	for version, says := range map[string]string{"1.2.0": "", "1.3.0": "the site runs version 1.2.0, this is 1.3.0"} {
		err := CheckVersion(site, version)
		if (err == nil) != (says == "") || err != nil && (!errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", version, err, says)
		}
	}
}

func TestCheckClock(t *testing.T) {
	t.Parallel()
	for skew, says := range map[time.Duration]string{
		0: "", SkewLimit: "", -SkewLimit: "",
		SkewLimit + time.Second:  "this machine's is 12h0m1s behind the site's",
		-SkewLimit - time.Second: "this machine's is 12h0m1s ahead of the site's",
	} {
		err := CheckClock(skew)
		if (err == nil) != (says == "") || err != nil && (!errors.Is(err, ErrClock) || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", skew, err, says)
		}
	}
}

func TestCheckReached(t *testing.T) {
	t.Parallel()
	server, here := netip.MustParseAddr("10.77.0.11"), netip.MustParseAddr("10.77.0.12")
	if err := CheckReached(server, here, nil); err != nil {
		t.Error(err)
	}
	err := CheckReached(server, here, map[uint16]string{10250: "timeout", 80: "refused"})
	want := "a port is not reachable: 10.77.0.11 cannot reach 10.77.0.12:80 (refused); 10.77.0.11 cannot reach 10.77.0.12:10250 (timeout)"
	if !errors.Is(err, ErrUnreachable) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
