package configuration

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/paas/configset"
	"islet/appliance/paas/v1alpha1"
)

// rendered is what a revision consists of; nil where it has nothing of the kind.
type rendered struct {
	revision         string
	variables, files *corev1.ConfigMap
	secrets          *corev1.Secret
}

// render makes the objects of a layer's revision. Their names carry it, so what refers to them refers to it alone.
func render(set *v1alpha1.ConfigSet, values []configset.Value) *rendered {
	out := &rendered{revision: configset.Revision(values)}
	immutable := true
	meta := func(part string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: set.Namespace, Name: part + "-" + set.Name + "-" + out.revision, Labels: map[string]string{
			v1alpha1.LabelConfig: set.Name, v1alpha1.LabelConfigRevision: out.revision,
		}}
	}
	texts := func(kind v1alpha1.ConfigKind) map[string]string {
		var data map[string]string
		for _, v := range values {
			if v.Kind == kind {
				if data == nil {
					data = map[string]string{}
				}
				data[v.Key] = v.Text
			}
		}
		return data
	}
	if data := texts(v1alpha1.KindPlain); data != nil {
		out.variables = &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: meta("config"), Immutable: &immutable, Data: data}
	}
	if data := texts(v1alpha1.KindFile); data != nil {
		out.files = &corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: meta("files"), Immutable: &immutable, Data: data}
	}
	if data := texts(v1alpha1.KindSecret); data != nil {
		bytes := map[string][]byte{}
		for key, text := range data {
			bytes[key] = []byte(text)
		}
		out.secrets = &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: meta("config"), Immutable: &immutable, Data: bytes}
	}
	return out
}

func (r *rendered) objects() []client.Object {
	var out []client.Object
	if r.variables != nil {
		out = append(out, r.variables)
	}
	if r.files != nil {
		out = append(out, r.files)
	}
	if r.secrets != nil {
		out = append(out, r.secrets)
	}
	return out
}

// content stands for what is in an object, its values and that they cannot be changed.
func content(o client.Object) string {
	var raw []byte
	switch o := o.(type) {
	case *corev1.ConfigMap:
		raw, _ = json.Marshal([]any{o.Data, o.Immutable}) // texts and a boolean
	case *corev1.Secret:
		raw, _ = json.Marshal([]any{o.Data, o.Immutable})
	}
	return fmt.Sprintf("%x", sha256.Sum256(raw))
}
