package datastore

import (
	"fmt"

	"islet/appliance/atomicfile"
	"islet/appliance/pki"
)

// initial is what a member starts from that has no log yet.
type initial struct {
	cluster string // as etcd's initial-cluster takes it
	state   string // new or existing
}

const (
	// quotaBytes is where etcd takes no more writes. A site of this size keeps a few hundred MiB.
	quotaBytes = 4 << 30
	// The members of a site share their disks and processors with everything else on it: etcd's own 100 ms and 1 s make
	// leaders change under load. A lost leader is replaced within two election timeouts.
	heartbeatMillis = 250
	electionMillis  = 2500
	// maxLearners lets a site of three become one of five at once.
	maxLearners = 2
)

// etcdConfig is etcd's configuration file. Keys are compacted by the API server.
const etcdConfig = `name: %[1]s
data-dir: %[2]s
listen-peer-urls: %[3]s
initial-advertise-peer-urls: %[3]s
listen-client-urls: https://%[4]s,%[5]s
advertise-client-urls: %[5]s
listen-metrics-urls: http://127.0.0.1:%[6]d
initial-cluster: %[7]s
initial-cluster-state: %[8]s
initial-cluster-token: islet
strict-reconfig-check: true
heartbeat-interval: %[9]d
election-timeout: %[10]d
quota-backend-bytes: %[11]d
max-learners: %[12]d
feature-gates: InitialCorruptCheck=true,CompactHashCheck=true
enable-grpc-gateway: false
tls-min-version: TLS1.2
client-transport-security:
  client-cert-auth: true
  trusted-ca-file: %[13]s
  cert-file: %[14]s
  key-file: %[15]s
peer-transport-security:
  client-cert-auth: true
  trusted-ca-file: %[13]s
  cert-file: %[16]s
  key-file: %[17]s
force-new-cluster: %[18]t
log-level: warn
log-outputs: [stderr]
`

func (p Params) writeEtcdConfig(path string, start initial) error {
	e := p.Etcd
	clients := fmt.Sprintf("https://%s:%d", e.Address, ClientPort)
	text := fmt.Sprintf(etcdConfig, e.NodeName, EtcdDir(p.Layout), peerURL(e.Address), localClients, clients, MetricsPort,
		start.cluster, start.state, heartbeatMillis, electionMillis, quotaBytes, maxLearners, e.PKI.Authority(pki.EtcdCA).CertFile(),
		e.PKI.CertFile(leafEtcdServer), e.PKI.KeyFile(leafEtcdServer), e.PKI.CertFile(leafEtcdPeer), e.PKI.KeyFile(leafEtcdPeer),
		p.recovering())
	return atomicfile.WriteIfChanged(path, []byte(text), 0o600)
}
