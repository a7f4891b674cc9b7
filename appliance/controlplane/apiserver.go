package controlplane

import (
	"context"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"time"

	"islet/appliance/atomicfile"
	"islet/appliance/component"
	"islet/appliance/pki"
)

// admissionConfig sets the default Pod Security level for namespaces that carry no label. The
// platform's own namespaces hold what needs the host: the gateway, storage, monitoring.
const admissionConfig = `apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    defaults:
      enforce: %[1]q
      enforce-version: latest
      warn: restricted
      warn-version: latest
      audit: restricted
      audit-version: latest
    exemptions:
      namespaces: [kube-system, islet-system]
`

// auditPolicy keeps who changed what, never the content of secrets, and drops the chatter of the
// platform's own components, which would otherwise be all there is.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:kube-proxy", "system:kube-scheduler", "system:kube-controller-manager", "islet:daemon", "islet:network"]
  verbs: [get, list, watch]
- level: None
  userGroups: ["system:nodes", "system:serviceaccounts"]
  verbs: [get, list, watch]
- level: None
  nonResourceURLs: ["/healthz*", "/livez*", "/readyz*", "/version", "/openapi/*"]
- level: None
  resources:
  - group: coordination.k8s.io
    resources: [leases]
  - group: ""
    resources: [events]
  - group: events.k8s.io
    resources: [events]
- level: None
  userGroups: ["system:nodes"]
  resources:
  - group: ""
    resources: [nodes/status, pods/status]
- level: Metadata
  resources:
  - group: ""
    resources: [secrets, configmaps, serviceaccounts/token]
  - group: authentication.k8s.io
    resources: [tokenreviews]
- level: Request
  verbs: [create, update, patch, delete, deletecollection]
- level: Metadata
`

const encryptionConfig = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - secretbox:
      keys:
      - name: key1
        secret: %s
  - identity: {}
`

// APIServer returns the API server's unit. It is ready when /readyz says so.
func APIServer(p Params, ready func(ctx context.Context) error) component.Unit {
	return component.Unit{New: func() component.Component {
		spec := p.Child(APIServerName, p.apiServerArgs()...)
		spec.Needs = []string{p.Datastore}
		spec.Prepare = func(context.Context) error { return p.writeAPIServerFiles() }
		spec.Probe, spec.Check = ready, ready
		// A graceful stop waits for long watches, up to a minute. Everything that watches is
		// stopped first, so what is left after this is not worth the wait.
		spec.StopTimeout = 5 * time.Second
		return component.NewProcess(spec)
	}}
}

func (p Params) generated(name string) string {
	return filepath.Join(p.Layout.Generated(), APIServerName, name)
}

func (p Params) writeAPIServerFiles() error {
	key, err := p.PKI.Secret(pki.EncryptionSecret, pki.EncryptionBytes)
	if err != nil {
		return err
	}
	files := map[string]string{
		"admission.yaml":  fmt.Sprintf(admissionConfig, p.PodSecurity),
		"audit.yaml":      auditPolicy,
		"encryption.yaml": fmt.Sprintf(encryptionConfig, base64.StdEncoding.EncodeToString(key)),
	}
	for name, content := range files {
		if err := atomicfile.WriteIfChanged(p.generated(name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (p Params) apiServerArgs() []string {
	cert, key := p.PKI.CertFile, p.PKI.KeyFile
	saKey, saPub := p.PKI.KeyFile("service-account"), filepath.Join(p.Layout.PKI(), "service-account.pub")
	issuer := "https://kubernetes.default.svc." + p.ClusterDomain
	return append([]string{
		"--advertise-address=" + p.Address.String(),
		"--bind-address=0.0.0.0",
		fmt.Sprintf("--secure-port=%d", SecurePort),
		"--etcd-servers=" + p.DatastoreURL,
		"--service-cluster-ip-range=" + p.ServiceCIDR.String(),
		"--service-node-port-range=" + p.NodePortRange,

		"--anonymous-auth=false",
		"--allow-privileged=true", // Pod Security decides, by namespace
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--admission-control-config-file=" + p.generated("admission.yaml"),
		"--encryption-provider-config=" + p.generated("encryption.yaml"),
		"--profiling=false",
		"--tls-min-version=VersionTLS12",

		"--tls-cert-file=" + cert(leafAPIServer),
		"--tls-private-key-file=" + key(leafAPIServer),
		"--client-ca-file=" + p.PKI.Authority(pki.ClientCA).CertFile(),
		"--kubelet-certificate-authority=" + p.PKI.Authority(pki.ClusterCA).CertFile(),
		"--kubelet-client-certificate=" + cert(leafKubeletClient),
		"--kubelet-client-key=" + key(leafKubeletClient),
		"--kubelet-preferred-address-types=InternalIP,Hostname",
		"--service-account-issuer=" + issuer,
		"--service-account-signing-key-file=" + saKey,
		"--service-account-key-file=" + saPub,

		"--requestheader-client-ca-file=" + p.PKI.Authority(pki.FrontProxyCA).CertFile(),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + cert(leafFrontProxy),
		"--proxy-client-key-file=" + key(leafFrontProxy),
		"--enable-aggregator-routing=true",

		"--audit-policy-file=" + p.generated("audit.yaml"),
		"--audit-log-path=" + filepath.Join(p.Layout.Logs(), "audit", "audit.log"),
		"--audit-log-mode=batch",
		fmt.Sprintf("--audit-log-maxsize=%d", p.Audit.MaxSizeMiB),
		fmt.Sprintf("--audit-log-maxbackup=%d", p.Audit.MaxBackups),
		fmt.Sprintf("--audit-log-maxage=%d", p.Audit.MaxAgeDays),
	}, p.datastoreArgs()...)
}

// datastoreArgs say how the datastore is reached where it is not a socket.
func (p Params) datastoreArgs() []string {
	if p.DatastoreLeaf == "" {
		return nil
	}
	return []string{
		"--etcd-cafile=" + p.PKI.Authority(pki.EtcdCA).CertFile(),
		"--etcd-certfile=" + p.PKI.CertFile(p.DatastoreLeaf),
		"--etcd-keyfile=" + p.PKI.KeyFile(p.DatastoreLeaf),
	}
}
