package vip

import (
	"bytes"
	"net/netip"
	"slices"
	"text/template"
)

// keepalivedConfig: with adverts every half second an address moves within 1.9 s of its holder's death. Three adverts must be
// missing, and a server of lower rank waits a little longer, so that two never take it at once. nopreempt: a server that
// comes back does not take back. min_ttl: packets from beyond a router cannot pretend to be a server. The track files are
// reversed, for a missing file to read as "no".
var keepalivedConfig = template.Must(template.New("").Parse(`# Written by the appliance at every start.
global_defs {
    router_id {{.NodeName}}
    vrrp_version 3
    vrrp_priority -10
    vrrp_check_unicast_src
    vrrp_garp_master_delay 1
    vrrp_garp_master_repeat 3
    vrrp_garp_master_refresh 30
}
{{range .Instances}}
track_file {{.Purpose}} {
    file "{{.TrackFile}}"
    weight 0 reverse
}

vrrp_instance {{.Purpose}} {
    state BACKUP
    nopreempt
    interface {{$.Interface}}
    virtual_router_id {{.RouterID}}
    priority {{.Priority}}
    advert_int 0.5
    unicast_src_ip {{$.IP}}
    unicast_peer {
{{- range .Peers}}
        {{.}} min_ttl 255
{{- end}}
    }
    track_file {
        {{.Purpose}}
    }
    virtual_ipaddress {
        {{.IP}}/32 dev {{$.Interface}}
    }
}
{{end}}`))

// instance is what keepalived is told of one address.
type instance struct {
	Address
	TrackFile string
	Priority  int
	Peers     []netip.Addr
}

// config renders keepalived's configuration.
func (k *Keeper) config(peers []netip.Addr) ([]byte, error) {
	data := struct {
		*Keeper
		Instances []instance
	}{Keeper: k}
	for i, a := range k.Addresses {
		to := peers
		if len(peers) == 0 {
			// Without a peer keepalived would fall back to multicast. What is sent to an address that is held here never leaves
			// the machine, and nothing reads it.
			to = []netip.Addr{a.IP}
		}
		data.Instances = append(data.Instances, instance{a, k.trackFile(a.Purpose), k.priority(i, peers), to})
	}
	var out bytes.Buffer
	err := keepalivedConfig.Execute(&out, data)
	return out.Bytes(), err
}

// priority differs between the servers, and its order between the addresses: what a dead server held is taken by two others,
// where there are two.
func (k *Keeper) priority(address int, peers []netip.Addr) int {
	const first, step, last = 200, 10, 10
	servers := append(slices.Clone(peers), k.IP)
	slices.SortFunc(servers, netip.Addr.Compare)
	rank := slices.Index(servers, k.IP)
	if address%2 == 1 {
		rank = len(servers) - 1 - rank
	}
	return max(last, first-step*rank)
}
