package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/kube/client"
)

// headsName is the ConfigMap in which all servers keep how far their chains have come: what one of them loses or takes back, the
// others' copies of the datastore still have.
var headsName = client.ObjectKey{Namespace: "islet-system", Name: "audit-heads"}

// ErrBehind is returned for a head that is before what was published of its chain.
var ErrBehind = errors.New("the audit log has fewer entries than this server had signed")

// Published are the heads of all chains.
func Published(ctx context.Context, c client.Client) ([]Head, error) {
	var kept corev1.ConfigMap
	if err := c.Get(ctx, headsName, &kept); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	var out []Head
	for _, key := range slices.Sorted(maps.Keys(kept.Data)) {
		var h Head
		if err := json.Unmarshal([]byte(kept.Data[key]), &h); err != nil {
			return nil, fmt.Errorf("the head %s: %w", key, err)
		}
		out = append(out, h)
	}
	return out, nil
}

// Publish keeps a head, unless a later one of its chain is kept.
func Publish(ctx context.Context, c client.Client, h Head) error {
	heads, err := Published(ctx, c)
	if err != nil {
		return err
	}
	for _, have := range heads {
		if have.Chain == h.Chain && (have.Seq > h.Seq || have.Seq == h.Seq && have.Hash != h.Hash) {
			return ErrBehind
		}
	}
	raw, err := json.Marshal(h)
	if err != nil {
		return err
	}
	data := map[string]string{strings.ReplaceAll(h.Chain, "/", "."): string(raw)}
	patch, err := json.Marshal(map[string]any{"data": data})
	if err != nil {
		return err
	}
	kept := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: headsName.Namespace, Name: headsName.Name}}
	err = c.Patch(ctx, kept, client.MergePatch(patch))
	if apierrors.IsNotFound(err) {
		kept.Data = data
		err = c.Create(ctx, kept)
	}
	return err
}
