package tenancy

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/paas/v1alpha1"
)

// Managed marks what the platform has made in an environment's namespace, and removes again. Its value is ofEnvironment for what makes
// up the environment itself; what is made for something in it has another.
const Managed = "islet.dev/managed"

const ofEnvironment = "true"

// names of objects of which there is one in each namespace.
const (
	quotaName  = "islet"
	limitsName = "islet"
)

// Domain is what the names of applications of an environment end in.
func Domain(e *v1alpha1.Environment, site string) string {
	if e.Spec.Domain != "" {
		return e.Spec.Domain
	}
	return e.Spec.Name + "." + e.Spec.Tenant + "." + site
}

// objects are all that an environment consists of, its namespace first. An environment that is refused gets nothing to run with.
func objects(t *v1alpha1.Tenant, e *v1alpha1.Environment, refused bool) []client.Object {
	out := []client.Object{namespace(e)}
	if quota := e.Spec.Quota; refused || len(quota) > 0 {
		if refused {
			quota = corev1.ResourceList{corev1.ResourcePods: resource.MustParse("0")}
		}
		out = append(out, &corev1.ResourceQuota{TypeMeta: kind("v1", "ResourceQuota"), ObjectMeta: in(e, quotaName), Spec: corev1.ResourceQuotaSpec{Hard: quota}})
	}
	if d := e.Spec.Container; d != nil {
		out = append(out, &corev1.LimitRange{TypeMeta: kind("v1", "LimitRange"), ObjectMeta: in(e, limitsName), Spec: corev1.LimitRangeSpec{
			Limits: []corev1.LimitRangeItem{{Type: corev1.LimitTypeContainer, DefaultRequest: d.Requests, Default: d.Limits}},
		}})
	}
	out = append(out, policies(e)...)
	return append(out, bindings(t, e)...)
}

func kind(version, name string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: version, Kind: name}
}

func in(e *v1alpha1.Environment, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: e.Name, Name: name, Labels: map[string]string{Managed: ofEnvironment}}
}

func namespace(e *v1alpha1.Environment) client.Object {
	r := e.Rules()
	labels := map[string]string{
		Managed:                              ofEnvironment,
		v1alpha1.LabelTenant:                 e.Spec.Tenant,
		v1alpha1.LabelEnvironment:            e.Spec.Name,
		v1alpha1.LabelClass:                  string(e.Spec.Class),
		v1alpha1.LabelMinReplicas:            strconv.Itoa(int(r.MinReplicas)),
		"pod-security.kubernetes.io/enforce": r.PodSecurity,
		"pod-security.kubernetes.io/warn":    r.PodSecurity,
	}
	if r.Approvals > 0 {
		labels[v1alpha1.LabelApprovals] = strconv.Itoa(int(r.Approvals))
	}
	return &corev1.Namespace{TypeMeta: kind("v1", "Namespace"), ObjectMeta: metav1.ObjectMeta{Name: e.Name, Labels: labels}}
}

// policies let nothing in and out but what applications need: each other within the environment, the names of services, and what
// comes in through the gateway.
func policies(e *v1alpha1.Environment) []client.Object {
	both := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	inside := []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}
	policy := func(name string, types []networkingv1.PolicyType, ingress []networkingv1.NetworkPolicyIngressRule, egress []networkingv1.NetworkPolicyEgressRule) client.Object {
		return &networkingv1.NetworkPolicy{TypeMeta: kind("networking.k8s.io/v1", "NetworkPolicy"), ObjectMeta: in(e, name), Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: types, Ingress: ingress, Egress: egress,
		}}
	}
	return []client.Object{
		policy("islet-nothing", both, nil, nil),
		policy("islet-inside", both, []networkingv1.NetworkPolicyIngressRule{{From: inside}}, []networkingv1.NetworkPolicyEgressRule{{To: inside}}),
		policy("islet-names", both[1:], nil, []networkingv1.NetworkPolicyEgressRule{{
			To: pods("kube-system", "k8s-app", "kube-dns"), Ports: ports(corev1.ProtocolUDP, corev1.ProtocolTCP),
		}}),
		policy("islet-gateway", both[:1], []networkingv1.NetworkPolicyIngressRule{{From: pods("islet-system", "app", "gateway")}}, nil),
	}
}

// pods are those of a namespace that have a label.
func pods(namespace, label, value string) []networkingv1.NetworkPolicyPeer {
	return []networkingv1.NetworkPolicyPeer{{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
		PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{label: value}},
	}}
}

func ports(protocols ...corev1.Protocol) []networkingv1.NetworkPolicyPort {
	const dns = 53
	var out []networkingv1.NetworkPolicyPort
	for _, p := range protocols {
		port := intstr.FromInt32(dns)
		out = append(out, networkingv1.NetworkPolicyPort{Protocol: &p, Port: &port})
	}
	return out
}

// bindings give members their roles. A shell in a container is a role of its own: the class decides over it.
func bindings(t *v1alpha1.Tenant, e *v1alpha1.Environment) []client.Object {
	subjects := map[string][]rbacv1.Subject{}
	for _, m := range t.Spec.Members {
		s := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: m.Kind, Name: m.Name}
		subjects[string(m.Role)] = append(subjects[string(m.Role)], s)
		if e.Rules().Exec == v1alpha1.ExecAllowed && (m.Role == v1alpha1.RoleOwner || m.Role == v1alpha1.RoleDeployer) {
			subjects["shell"] = append(subjects["shell"], s)
		}
	}
	var out []client.Object
	for _, role := range []string{string(v1alpha1.RoleOwner), string(v1alpha1.RoleDeployer), string(v1alpha1.RoleViewer), string(v1alpha1.RoleAuditor), "shell"} {
		if len(subjects[role]) == 0 {
			continue
		}
		out = append(out, &rbacv1.RoleBinding{TypeMeta: kind("rbac.authorization.k8s.io/v1", "RoleBinding"), ObjectMeta: in(e, "islet-"+role),
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "islet:" + role}, Subjects: subjects[role]})
	}
	return out
}

// access lets the members of a tenant see it and its environments, and no other.
func access(t *v1alpha1.Tenant, environments []string) []client.Object {
	name := "islet:tenant:" + t.Name
	meta := metav1.ObjectMeta{Name: name, Labels: map[string]string{Managed: ofEnvironment, v1alpha1.LabelTenant: t.Name}}
	read := []string{"get"}
	rules := []rbacv1.PolicyRule{{APIGroups: []string{v1alpha1.Group}, Resources: []string{"tenants"}, ResourceNames: []string{t.Name}, Verbs: read}}
	if len(environments) > 0 { // a rule without names would be about all
		rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{v1alpha1.Group}, Resources: []string{"environments"}, ResourceNames: environments, Verbs: read})
	}
	var subjects []rbacv1.Subject
	for _, m := range t.Spec.Members {
		subjects = append(subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: m.Kind, Name: m.Name})
	}
	return append(baseAccess(t, meta), []client.Object{
		&rbacv1.ClusterRole{TypeMeta: kind("rbac.authorization.k8s.io/v1", "ClusterRole"), ObjectMeta: meta, Rules: rules},
		&rbacv1.ClusterRoleBinding{TypeMeta: kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"), ObjectMeta: meta,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}, Subjects: subjects},
	}...)
}

// baseAccess lets members at the base of the tenant's configuration, and at no other tenant's beside it.
func baseAccess(t *v1alpha1.Tenant, meta metav1.ObjectMeta) []client.Object {
	var out []client.Object
	meta.Namespace = v1alpha1.BaseNamespace
	for _, may := range []struct {
		part  string
		verbs []string
		roles []v1alpha1.Role
	}{
		{":read", []string{"get"}, []v1alpha1.Role{v1alpha1.RoleViewer, v1alpha1.RoleAuditor}},
		{":write", []string{"get", "update", "patch"}, []v1alpha1.Role{v1alpha1.RoleOwner, v1alpha1.RoleDeployer}},
	} {
		own := meta
		own.Name += may.part
		var subjects []rbacv1.Subject
		for _, m := range t.Spec.Members {
			if slices.Contains(may.roles, m.Role) {
				subjects = append(subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: m.Kind, Name: m.Name})
			}
		}
		out = append(out,
			&rbacv1.Role{TypeMeta: kind("rbac.authorization.k8s.io/v1", "Role"), ObjectMeta: own, Rules: []rbacv1.PolicyRule{
				{APIGroups: []string{v1alpha1.Group}, Resources: []string{"configsets"}, ResourceNames: []string{t.Name}, Verbs: may.verbs},
			}},
			&rbacv1.RoleBinding{TypeMeta: kind("rbac.authorization.k8s.io/v1", "RoleBinding"), ObjectMeta: own,
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: own.Name}, Subjects: subjects})
	}
	return out
}
