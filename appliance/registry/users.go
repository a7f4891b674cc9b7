package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"islet/appliance/kube/client"
	"islet/appliance/registry/serve"
)

// What is refused about users.
var (
	ErrUserName = errors.New("not a name for a user of the registry: letters, digits, dots and dashes, 64 at most")
	ErrUserHere = errors.New("the registry has a user of that name")
	ErrNoUser   = errors.New("the registry has no user of that name")
)

const (
	usersSecret = "registry-users"
	usersKey    = "users.json"
)

var userName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9.-]{0,63}$`)

// Users keeps who has a password for the registries of a site, in a secret of the cluster: every server's registry knows
// the same. The daemons copy it to files, so that it holds while Kubernetes is down.
type Users struct {
	Client    client.Client
	Namespace string
}

// List returns all users by name.
func (u Users) List(ctx context.Context) (serve.Users, error) {
	_, users, err := u.read(ctx)
	return users, err
}

// Add makes a user and returns the password, which is kept nowhere.
func (u Users) Add(ctx context.Context, name string, push bool) (password string, err error) {
	if !userName.MatchString(name) {
		return "", fmt.Errorf("%w: %.80q", ErrUserName, name)
	}
	password = rand.Text()
	return password, u.change(ctx, func(users serve.Users) error {
		if _, here := users[name]; here {
			return fmt.Errorf("%w: %s", ErrUserHere, name)
		}
		users[name] = serve.User{Hash: serve.Hash(password), Push: push}
		return nil
	})
}

// Remove takes a user's access away.
func (u Users) Remove(ctx context.Context, name string) error {
	return u.change(ctx, func(users serve.Users) error {
		if _, here := users[name]; !here {
			return fmt.Errorf("%w: %.80q", ErrNoUser, name)
		}
		delete(users, name)
		return nil
	})
}

// read returns the secret too, empty if there is none yet.
func (u Users) read(ctx context.Context) (*corev1.Secret, serve.Users, error) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: usersSecret, Namespace: u.Namespace}}
	users := serve.Users{}
	err := u.Client.Get(ctx, client.ObjectKeyFromObject(secret), secret)
	if apierrors.IsNotFound(err) {
		return secret, users, nil
	}
	if err == nil && len(secret.Data[usersKey]) > 0 {
		err = json.Unmarshal(secret.Data[usersKey], &users)
	}
	return secret, users, err
}

// change applies an edit, again if another server was quicker.
func (u Users) change(ctx context.Context, edit func(serve.Users) error) error {
	busy := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	return retry.OnError(retry.DefaultBackoff, busy, func() error {
		secret, users, err := u.read(ctx)
		if err != nil {
			return err
		}
		if err := edit(users); err != nil {
			return err
		}
		data, err := json.Marshal(users)
		if err != nil {
			return err
		}
		secret.Data = map[string][]byte{usersKey: data}
		if secret.ResourceVersion == "" {
			return u.Client.Create(ctx, secret)
		}
		return u.Client.Update(ctx, secret)
	})
}
