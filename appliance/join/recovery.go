package join

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"islet/appliance/kube/client"
)

// RecoveryKey is the public half of the key that a site's backups are sealed for, and since when.
type RecoveryKey struct {
	Recipient string    `json:"recipient"`
	Since     time.Time `json:"since"`
}

// Recovery keeps it where all servers find it: each seals backups, and any may have been where the key was made.
type Recovery struct {
	Client    client.Client
	Namespace string
}

const recoveryID = "key"

func (r Recovery) records() records[RecoveryKey] {
	return records[RecoveryKey]{client: r.Client, namespace: r.Namespace, kind: "recovery"}
}

// Agree tells the site of a server's key, the zero value where it has none, and returns the later one of the two.
func (r Recovery) Agree(ctx context.Context, own RecoveryKey) (RecoveryKey, error) {
	site, err := r.records().get(ctx, recoveryID)
	switch {
	case apierrors.IsNotFound(err) && own.Recipient == "":
		return own, nil
	case apierrors.IsNotFound(err):
		return own, r.records().create(ctx, recoveryID, own)
	case err != nil || site.Recipient == own.Recipient || !own.Since.After(site.Since):
		return site, err
	}
	return r.records().change(ctx, recoveryID, func(k *RecoveryKey) error {
		if own.Since.After(k.Since) {
			*k = own
		}
		return nil
	})
}
