// Package v1alpha1 are the kinds of the platform that operators say aloud: tenants, their environments, and what runs there.
// They are ordinary kinds of the Kubernetes API: what can be checked is checked by their schemas, before anything is stored.
//
// +kubebuilder:object:generate=true
// +groupName=islet.dev
package v1alpha1

//go:generate controller-gen object paths=. crd output:crd:dir=../../../images/manifests/paas
