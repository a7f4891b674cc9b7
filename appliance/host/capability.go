package host

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Capabilities is the effective set of this process, one bit each as in /proc/PID/status.
type Capabilities uint64

// The capabilities something is adapted to. Numbers are the kernel's (linux/capability.h).
const (
	CapNetAdmin    = 12
	CapSysAdmin    = 21
	CapSysResource = 24
	CapSysModule   = 16
)

// Has reports whether the process holds the capability.
func (c Capabilities) Has(number int) bool { return c&(1<<number) != 0 }

// MarshalJSON prints the set as /proc does.
func (c Capabilities) MarshalJSON() ([]byte, error) {
	return json.Marshal(fmt.Sprintf("%016x", uint64(c)))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (c *Capabilities) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	value, err := strconv.ParseUint(text, 16, 64)
	if err != nil {
		return fmt.Errorf("read capability set %q: %w", text, err)
	}
	*c = Capabilities(value)
	return nil
}

func parseCapabilities(status map[string]string) (Capabilities, error) {
	value, err := strconv.ParseUint(status["CapEff"], 16, 64)
	if err != nil {
		return 0, fmt.Errorf("read CapEff of /proc/self/status: %w", err)
	}
	return Capabilities(value), nil
}
