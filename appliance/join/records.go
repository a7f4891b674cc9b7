package join

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"islet/appliance/kube/client"
)

// records keeps values of one kind as secrets of the cluster, so that each server knows all of them. The secrets are
// encrypted at rest and seen by administrators only.
type records[T any] struct {
	client    client.Client
	namespace string
	kind      string // names the secrets, their type and label, such as "join-token"
}

// Clock tells the time in whole seconds of UTC; nil is the machine's clock.
type Clock func() time.Time

func (c Clock) now() time.Time {
	if c == nil {
		c = time.Now
	}
	return c().UTC().Truncate(time.Second)
}

const recordKey = "record.json"

func (s records[T]) label() string { return "islet.dev/" + s.kind }

func (s records[T]) secret(id string) *corev1.Secret {
	return &corev1.Secret{
		Type:       corev1.SecretType(s.label()),
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: s.kind + "-" + id, Labels: map[string]string{s.label(): ""}},
	}
}

func (s records[T]) put(secret *corev1.Secret, value T) error {
	encoded, err := json.Marshal(value)
	secret.Data = map[string][]byte{recordKey: encoded}
	return err
}

func (s records[T]) value(secret *corev1.Secret) (T, error) {
	var value T
	if err := json.Unmarshal(secret.Data[recordKey], &value); err != nil {
		return value, fmt.Errorf("secret %s/%s is damaged, delete it: %w", secret.Namespace, secret.Name, err)
	}
	return value, nil
}

// create adds a record; one with the same id must not be there.
func (s records[T]) create(ctx context.Context, id string, value T) error {
	secret := s.secret(id)
	if err := s.put(secret, value); err != nil {
		return err
	}
	return s.client.Create(ctx, secret)
}

// get returns the record; an error of the API that says "not found" if there is none.
func (s records[T]) get(ctx context.Context, id string) (T, error) {
	secret := s.secret(id)
	if err := s.client.Get(ctx, client.ObjectKeyFromObject(secret), secret); err != nil {
		var none T
		return none, err
	}
	return s.value(secret)
}

func (s records[T]) list(ctx context.Context) ([]T, error) {
	var secrets corev1.SecretList
	if err := s.client.List(ctx, &secrets, client.InNamespace(s.namespace), client.HasLabels(s.label())); err != nil {
		return nil, err
	}
	var out []T
	for i := range secrets.Items {
		value, err := s.value(&secrets.Items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, value)
	}
	return out, nil
}

// change reads, changes and writes a record, and starts over when somebody else has written it meanwhile.
func (s records[T]) change(ctx context.Context, id string, do func(*T) error) (T, error) {
	var value T
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		secret := s.secret(id)
		err := s.client.Get(ctx, client.ObjectKeyFromObject(secret), secret)
		if err != nil {
			return err
		}
		if value, err = s.value(secret); err != nil {
			return err
		}
		if err := do(&value); err != nil {
			return err
		}
		if err := s.put(secret, value); err != nil {
			return err
		}
		return s.client.Update(ctx, secret)
	})
	return value, err
}

func (s records[T]) remove(ctx context.Context, id string) error {
	return client.IgnoreNotFound(s.client.Delete(ctx, s.secret(id)))
}
