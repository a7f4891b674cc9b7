package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BaseNamespace is where the first layers of all tenants are, each named after its tenant.
const BaseNamespace = "islet-tenants"

// EnvironmentLayerName is what an environment's own layer is called in its namespace.
const EnvironmentLayerName = "environment"

// ConfigSet is one layer of configuration: what holds in all environments of a tenant (base, in the namespace islet-tenants and named
// after the tenant), in one environment (named environment, in its namespace), or for one application there (named after it). A
// later layer's entry stands for an earlier one's of the same key.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=cfg,categories=islet
// +kubebuilder:printcolumn:name="Layer",type=string,JSONPath=`.spec.layer`
// +kubebuilder:printcolumn:name="Revision",type=string,JSONPath=`.status.revision`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Why",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 40",message="the name of a layer has at most 40 characters: it is part of the names of what is made of it"
// +kubebuilder:validation:XValidation:rule="(self.spec.layer == 'Environment') == (self.metadata.name == 'environment' && self.spec.layer != 'Base')",message="an environment's own layer is called environment, and nothing else is"
type ConfigSet struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ConfigSetSpec `json:"spec"`
	// +optional
	Status ConfigSetStatus `json:"status,omitempty"`
}

// ConfigLayer is a layer's place: what comes later holds.
// +kubebuilder:validation:Enum=Base;Environment;Application
type ConfigLayer string

// The layers, in their order.
const (
	LayerBase        ConfigLayer = "Base"
	LayerEnvironment ConfigLayer = "Environment"
	LayerApplication ConfigLayer = "Application"
)

// ConfigSetSpec is what the layer says.
type ConfigSetSpec struct {
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a layer stays what it is"
	Layer ConfigLayer `json:"layer"`
	// +kubebuilder:validation:MaxItems=500
	// +listType=map
	// +listMapKey=key
	// +optional
	Entries []ConfigEntry `json:"entries,omitempty"`
	// Rules hold for what comes of all layers. Those of several layers hold together.
	// +kubebuilder:validation:MaxItems=500
	// +listType=map
	// +listMapKey=key
	// +optional
	Rules []ConfigRule `json:"rules,omitempty"`
	// Synced is what `appliance config sync` found and left here, by the environment that it took from: what has changed since is told
	// by it.
	// +kubebuilder:validation:MaxItems=20
	// +listType=map
	// +listMapKey=from
	// +optional
	Synced []ConfigSync `json:"synced,omitempty"`
}

// ConfigKind says what becomes of an entry.
// +kubebuilder:validation:Enum=Plain;Secret;File
type ConfigKind string

// The kinds of entries: a variable, a variable that is nobody's business, a file.
const (
	KindPlain  ConfigKind = "Plain"
	KindSecret ConfigKind = "Secret"
	KindFile   ConfigKind = "File"
)

// ConfigEntry is one key and its value.
//
// +kubebuilder:validation:XValidation:rule="self.kind == 'Secret' ? (has(self.sealed) && !has(self.value)) : (has(self.value) && !has(self.sealed))",message="a secret has a sealed value (appliance config seal), all else a plain one"
type ConfigEntry struct {
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][-._A-Za-z0-9]*$`
	// +kubebuilder:validation:MaxLength=200
	Key string `json:"key"`
	// +kubebuilder:default=Plain
	Kind ConfigKind `json:"kind"`
	// +kubebuilder:validation:MaxLength=262144
	// +optional
	Value *string `json:"value,omitempty"`
	// Sealed is a value that servers of the site alone can read. It is good for one key of one tenant.
	// +kubebuilder:validation:MaxLength=400000
	// +optional
	Sealed *string `json:"sealed,omitempty"`
	// Pinned keeps `appliance config sync` from taking this value elsewhere, and from putting another in its place.
	// +optional
	Pinned bool `json:"pinned,omitempty"`
}

// ConfigType is what a value is.
// +kubebuilder:validation:Enum=String;Integer;Number;Boolean;JSON
type ConfigType string

// The types of values. All are kept as text.
const (
	TypeString  ConfigType = "String"
	TypeInteger ConfigType = "Integer"
	TypeNumber  ConfigType = "Number"
	TypeBoolean ConfigType = "Boolean"
	TypeJSON    ConfigType = "JSON"
)

// ConfigRule says what a key may be.
type ConfigRule struct {
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][-._A-Za-z0-9]*$`
	// +kubebuilder:validation:MaxLength=200
	Key string `json:"key"`
	// +optional
	Type ConfigType `json:"type,omitempty"`
	// Kind is the only one that the entry may have, such as Secret.
	// +optional
	Kind ConfigKind `json:"kind,omitempty"`
	// Enum are all values that are allowed; none means any.
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Enum []string `json:"enum,omitempty"`
	// Pattern is a regular expression (RE2) for the whole value.
	// +kubebuilder:validation:MaxLength=500
	// +optional
	Pattern string `json:"pattern,omitempty"`
	// Min and Max bound a number; of anything else they bound the number of characters.
	// +optional
	Min *int64 `json:"min,omitempty"`
	// +optional
	Max *int64 `json:"max,omitempty"`
	// Required says that there is no going without.
	// +optional
	Required bool `json:"required,omitempty"`
	// Description is for people.
	// +kubebuilder:validation:MaxLength=500
	// +optional
	Description string `json:"description,omitempty"`
}

// ConfigSync is what was alike, or left different on purpose, when two environments were last synchronised.
type ConfigSync struct {
	// +kubebuilder:validation:MaxLength=63
	From string      `json:"from"`
	At   metav1.Time `json:"at"`
	// +kubebuilder:validation:MaxItems=1000
	// +listType=map
	// +listMapKey=key
	// +optional
	Keys []ConfigSynced `json:"keys,omitempty"`
}

// ConfigSynced are the digests of both values of a key, empty where there was none.
type ConfigSynced struct {
	// +kubebuilder:validation:MaxLength=200
	Key string `json:"key"`
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Left string `json:"left,omitempty"`
	// +kubebuilder:validation:MaxLength=64
	// +optional
	Right string `json:"right,omitempty"`
}

// ConfigSetStatus is what the controller has made of this layer and those before it.
type ConfigSetStatus struct {
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Revision names the values that hold. It stays what it was while what is asked for is not valid.
	// +optional
	Revision string `json:"revision,omitempty"`
	// Variables and Files are ConfigMaps, Secrets is a Secret, of that revision; empty where there is nothing to put in.
	// +optional
	Variables string `json:"variables,omitempty"`
	// +optional
	Files string `json:"files,omitempty"`
	// +optional
	Secrets string `json:"secrets,omitempty"`
	// Sources tell for each key of the revision where its value comes from.
	// +optional
	Sources []ConfigSource `json:"sources,omitempty"`
	// History are the revisions, the newest first.
	// +optional
	History []ConfigRevision `json:"history,omitempty"`
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ConfigSource is where a key's value comes from.
type ConfigSource struct {
	Key   string      `json:"key"`
	Kind  ConfigKind  `json:"kind"`
	Layer ConfigLayer `json:"layer"`
	// Digest is the value's, by the site's own key: equal values have equal ones, and nobody can guess by them.
	Digest string `json:"digest"`
}

// ConfigRevision is one of the revisions that there were.
type ConfigRevision struct {
	Revision string      `json:"revision"`
	At       metav1.Time `json:"at"`
	// Changed are the keys that differ from the revision before.
	// +optional
	Changed []string `json:"changed,omitempty"`
}

// ConfigSetList is a list of layers.
// +kubebuilder:object:root=true
type ConfigSetList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ConfigSet `json:"items"`
}

// Entry is the layer's own entry of that key, nil if there is none.
func (s *ConfigSetSpec) Entry(key string) *ConfigEntry {
	for i := range s.Entries {
		if s.Entries[i].Key == key {
			return &s.Entries[i]
		}
	}
	return nil
}
