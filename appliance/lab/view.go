package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Name is the lab's name.
func (l *Lab) Name() string { return l.record.Name }

// Subnet is the lab's network. The switch has its first address.
func (l *Lab) Subnet() netip.Prefix { return l.record.Subnet }

// Dir is where the lab keeps the disks and logs of its hosts.
func (l *Lab) Dir() string { return l.layout.labDir(l.record.Name) }

// Hosts returns the lab's hosts in the order of its spec.
func (l *Lab) Hosts() []*Host {
	hosts := make([]*Host, 0, len(l.record.Hosts))
	for _, record := range l.record.Hosts {
		hosts = append(hosts, &Host{lab: l, record: record})
	}
	return hosts
}

// Host returns a host by its name, or ErrNotFound.
func (l *Lab) Host(name string) (*Host, error) {
	i := slices.IndexFunc(l.record.Hosts, func(h hostRecord) bool { return h.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: host %s in lab %s", ErrNotFound, name, l.record.Name)
	}
	return &Host{lab: l, record: l.record.Hosts[i]}, nil
}

// Escapes counts the attempts to reach something outside the lab since it was made.
func (l *Lab) Escapes() (Escapes, error) {
	escapes := Escapes{NoRoute: map[string]uint64{}}
	var errs []error
	for _, host := range l.Hosts() {
		n, err := host.NoRouteCount()
		escapes.NoRoute[host.Name()] = n
		errs = append(errs, err)
	}
	strays, err := l.StrayFrames()
	escapes.StrayFrames = strays
	return escapes, errors.Join(append(errs, err)...)
}

// StrayFrames is the switch's part of Escapes.
func (l *Lab) StrayFrames() (n uint64, err error) {
	filter, err := openFilter(l.layout.switchNetns(l.record.Name))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, filter.close()) }()
	return filter.strays()
}
