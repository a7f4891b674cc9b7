package join

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"islet/appliance/kube/client"
)

// Step is how far a rotation is. All nodes have taken a step before the next one begins.
type Step string

// The steps in their order.
const (
	// StepIssue: every node trusts the old authority and the new one, and has all its certificates from the new one. They
	// are shown together with one by which who knows the old authority only accepts them.
	StepIssue Step = "issue"
	// StepTrust: no node trusts the old authority any more. Its programs are started anew, servers one at a time.
	StepTrust Step = "trust"
	// StepFinish: nothing that the old authority has signed is shown any more.
	StepFinish Step = "finish"
	// StepDone is a rotation that has ended.
	StepDone Step = "done"
)

var steps = []Step{StepIssue, StepTrust, StepFinish, StepDone}

func (s Step) next() Step { return steps[min(slices.Index(steps, s)+1, len(steps)-1)] }

// ErrRotating is returned where a rotation is unfinished.
var ErrRotating = errors.New("a rotation of authorities is unfinished")

// Rotation is one change of authorities.
type Rotation struct {
	Authorities []Successor   `json:"authorities"`
	Started     time.Time     `json:"started"`
	Overlap     time.Duration `json:"overlap"` // between StepTrust being taken by all nodes and StepFinish
	Step        Step          `json:"step"`
	Since       time.Time     `json:"since"`                // when the step began
	Taken       time.Time     `json:"taken,omitzero"`       // when all nodes had taken it
	Restarting  string        `json:"restarting,omitempty"` // the server whose turn it is
}

// Successor is a new authority among those of a rotation.
type Successor struct {
	Name  string `json:"name"`
	Old   []byte `json:"old"`           // PEM
	New   []byte `json:"new"`           // PEM
	Cross []byte `json:"cross"`         // PEM: New as Old has signed it
	Key   []byte `json:"key,omitempty"` // of New, sealed; gone when the rotation is done
}

// Certificates is what a node is to have at a step, in the form of pki.Store.Authorities: current, changed for those
// authorities that are rotated.
func (r Rotation) Certificates(step Step, current map[string][]byte) map[string][]byte {
	out := maps.Clone(current)
	for _, s := range r.Authorities {
		cross := s.Name + ".cross"
		out[s.Name], out[cross] = s.New, s.Cross
		switch step {
		case StepIssue:
			out[s.Name] = slices.Concat(s.New, s.Old)
		case StepFinish, StepDone:
			delete(out, cross)
		}
	}
	return out
}

// Names are those of the authorities that are rotated.
func (r Rotation) Names() []string {
	var out []string
	for _, s := range r.Authorities {
		out = append(out, s.Name)
	}
	return out
}

// Unfinished says whether there is something left to do.
func (r Rotation) Unfinished() bool { return r.Step != "" && r.Step != StepDone }

// Rotations keeps the last rotation of a site, which each server carries on.
type Rotations struct {
	Client    client.Client
	Namespace string
}

const currentRotation = "current"

func (r Rotations) records() records[Rotation] {
	return records[Rotation]{client: r.Client, namespace: r.Namespace, kind: "rotation"}
}

// Last returns the last rotation; one without a step if there never was any.
func (r Rotations) Last(ctx context.Context) (Rotation, error) {
	last, err := r.records().get(ctx, currentRotation)
	if apierrors.IsNotFound(err) {
		return Rotation{}, nil
	}
	return last, err
}

// Start begins a rotation. It returns ErrRotating if one is unfinished.
func (r Rotations) Start(ctx context.Context, authorities []Successor, overlap time.Duration) (Rotation, error) {
	now := Clock(nil).now()
	fresh := Rotation{Authorities: authorities, Started: now, Overlap: overlap, Step: StepIssue, Since: now}
	_, err := r.records().change(ctx, currentRotation, func(old *Rotation) error {
		if old.Unfinished() {
			return fmt.Errorf("%w: of %v, at step %q", ErrRotating, old.Names(), old.Step)
		}
		*old = fresh
		return nil
	})
	if apierrors.IsNotFound(err) {
		err = r.records().create(ctx, currentRotation, fresh)
	}
	return fresh, err
}

// Take notes that all nodes have taken a step, and goes on to the next one when its time has come. Whoever finds it so may
// call it: a step that another has ended meanwhile is left alone.
func (r Rotations) Take(ctx context.Context, step Step) (Rotation, error) {
	return r.records().change(ctx, currentRotation, func(rotation *Rotation) error {
		now := Clock(nil).now()
		if rotation.Step != step {
			return nil
		}
		if rotation.Taken.IsZero() {
			rotation.Taken = now
		}
		if step == StepTrust && now.Before(rotation.Taken.Add(rotation.Overlap)) {
			return nil
		}
		rotation.Step, rotation.Since, rotation.Taken, rotation.Restarting = step.next(), now, time.Time{}, ""
		if rotation.Step == StepDone {
			for i := range rotation.Authorities {
				rotation.Authorities[i].Key = nil
			}
		}
		return nil
	})
}

// errNotNow ends a change that is not to be made.
var errNotNow = errors.New("not now")

// Turn gives the turn to restart to a server, if no other has it. free says of a server that has it whether it is none of
// the site's any more.
func (r Rotations) Turn(ctx context.Context, server string, free func(string) bool) (mine bool, err error) {
	_, err = r.records().change(ctx, currentRotation, func(rotation *Rotation) error {
		if rotation.Step != StepTrust || rotation.Restarting != "" && rotation.Restarting != server && !free(rotation.Restarting) {
			return errNotNow
		}
		rotation.Restarting = server
		return nil
	})
	if errors.Is(err, errNotNow) {
		return false, nil
	}
	return err == nil, err
}

// EndTurn is called by a server that is ready again.
func (r Rotations) EndTurn(ctx context.Context, server string) error {
	_, err := r.records().change(ctx, currentRotation, func(rotation *Rotation) error {
		if rotation.Restarting != server {
			return errNotNow
		}
		rotation.Restarting = ""
		return nil
	})
	if errors.Is(err, errNotNow) {
		err = nil
	}
	return err
}
