package footprint

import (
	"os"
	"runtime"
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const sample = `00400000-00401000 r-xp 00000000 fe:00 42         /opt/a program
Size:                  4 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00401000-00403000 r--p 00001000 fe:00 42         /opt/relocated
Anonymous:             4 kB
00403000-00404000 rw-p 00003000 fe:00 42         /opt/data
Anonymous:             0 kB
00404000-00405000 r--s 00003000 fe:00 42         /opt/shared
c000000000-c000400000 rw-p 00000000 00:00 0
Anonymous:          4096 kB
7ffd0000-7ffd1000 r-xp 00000000 00:00 0          [vdso]
`
	regions, err := parse([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if want := (region{0x401000, 0x403000, "r--p", "/opt/relocated", 4}); len(regions) != 6 || regions[1] != want {
		t.Errorf("%+v; want the second of 6 to be %+v", regions, want)
	}
	var untouched []string
	for _, r := range regions {
		if r.isUntouchedFile() {
			untouched = append(untouched, r.path)
		}
	}
	if want := []string{"/opt/a program"}; !slices.Equal(untouched, want) {
		t.Errorf("to give back: %q, want %q", untouched, want)
	}
	for _, bad := range []string{"x-y r-xp 0 0 0 /a\n", "1-2 r-xp 0 0 0 /a\nAnonymous: x kB\n"} {
		if _, err := parse([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// What was given back is there again when it is used: this program's own code and constants.
func TestShrink(t *testing.T) {
	if err := shrink(); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	if regions, err := parse(smaps); err != nil || len(regions) < 5 {
		t.Errorf("%d regions, %v", len(regions), err)
	}
}
