package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// errScalar says that text does not have the form of its type; the decoder adds which form is wanted.
var errScalar = errors.New("wrong form")

// Duration is a time.Duration written as 90s, 5m or 12h.
type Duration time.Duration

// UnmarshalText reads Go's duration syntax. A bare number is refused: its unit would be a guess.
func (d *Duration) UnmarshalText(text []byte) error {
	value, err := time.ParseDuration(string(text))
	if err != nil || value < 0 {
		return errScalar
	}
	*d = Duration(value)
	return nil
}

// MarshalText writes the duration without zero parts: 1h, not 1h0m0s.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string {
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// Size is a number of bytes written as 512Mi, 10Gi or plain bytes. The suffixes are those of
// Kubernetes quantities: Ki is 1024, k is 1000.
type Size int64

var sizeUnits = []struct {
	suffix string
	factor int64
}{
	{"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10},
	{"T", 1e12}, {"G", 1e9}, {"M", 1e6}, {"k", 1e3}, {"", 1},
}

// UnmarshalText reads a whole number with an optional suffix.
func (s *Size) UnmarshalText(text []byte) error {
	for _, unit := range sizeUnits {
		digits, found := strings.CutSuffix(string(text), unit.suffix)
		if !found {
			continue
		}
		value, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || int64(value) > math.MaxInt64/unit.factor {
			return errScalar
		}
		*s = Size(int64(value) * unit.factor)
		return nil
	}
	return errScalar
}

// MarshalText writes the size exactly, with the largest binary suffix that divides it.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Size) String() string {
	for _, unit := range sizeUnits[:4] {
		if s != 0 && int64(s)%unit.factor == 0 {
			return strconv.FormatInt(int64(s)/unit.factor, 10) + unit.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// CPU is processor time in thousandths of a processor, written as 250m or as whole processors.
type CPU int64

// UnmarshalText reads 250m, 1 or 0.5; nothing finer than a thousandth.
func (c *CPU) UnmarshalText(text []byte) error {
	if digits, found := strings.CutSuffix(string(text), "m"); found {
		value, err := strconv.ParseUint(digits, 10, 31)
		*c = CPU(value)
		return scalarError(err)
	}
	whole, fraction, _ := strings.Cut(string(text), ".")
	if len(fraction) > 3 || strings.ContainsAny(fraction, "+-") {
		return errScalar
	}
	units, err := strconv.ParseUint(whole, 10, 20)
	if err != nil {
		return errScalar
	}
	thousandths, err := strconv.ParseUint((fraction + "000")[:3], 10, 31)
	*c = CPU(units*1000 + thousandths)
	return scalarError(err)
}

func scalarError(err error) error {
	if err != nil {
		return errScalar
	}
	return nil
}

// MarshalText writes whole processors as such and the rest in thousandths.
func (c CPU) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (c CPU) String() string {
	if c%1000 == 0 {
		return strconv.FormatInt(int64(c)/1000, 10)
	}
	return strconv.FormatInt(int64(c), 10) + "m"
}

// PortRange is first-last, both included.
type PortRange struct{ First, Last uint16 }

// UnmarshalText reads 30000-32767.
func (p *PortRange) UnmarshalText(text []byte) error {
	from, to, found := strings.Cut(string(text), "-")
	first, err1 := strconv.ParseUint(from, 10, 16)
	last, err2 := strconv.ParseUint(to, 10, 16)
	if !found || err1 != nil || err2 != nil || first == 0 || first > last {
		return errScalar
	}
	*p = PortRange{First: uint16(first), Last: uint16(last)}
	return nil
}

// MarshalText writes first-last.
func (p PortRange) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

func (p PortRange) String() string { return fmt.Sprintf("%d-%d", p.First, p.Last) }

// Contains reports whether port is in the range.
func (p PortRange) Contains(port uint16) bool { return p.First <= port && port <= p.Last }

// Taint keeps pods away from a node unless they tolerate it.
type Taint struct{ Key, Value, Effect string }

// UnmarshalText reads key=value:Effect or key:Effect, as kubectl taint does.
func (t *Taint) UnmarshalText(text []byte) error {
	pair, effect, found := strings.Cut(string(text), ":")
	key, value, _ := strings.Cut(pair, "=")
	switch effect {
	case "NoSchedule", "PreferNoSchedule", "NoExecute":
	default:
		return errScalar
	}
	if !found || !isLabelKey(key) || !isLabelValue(value) {
		return errScalar
	}
	*t = Taint{Key: key, Value: value, Effect: effect}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (t Taint) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

func (t Taint) String() string {
	if t.Value == "" {
		return t.Key + ":" + t.Effect
	}
	return t.Key + "=" + t.Value + ":" + t.Effect
}
