package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/appliance/component"
)

// ImagesName is the name of the image importer in the supervisor.
const ImagesName = "images"

const (
	// reconcileInterval is how often a missing image is looked for and restored (LESSONS 1).
	reconcileInterval = 5 * time.Minute
	// retryInterval is the same after a pass in which an image could not be imported.
	retryInterval = 10 * time.Second
)

// Stats is what the last pass of the importer did.
type Stats struct {
	Images   int   `json:"images"`
	Imported int   `json:"imported"`
	Bytes    int64 `json:"bytes"` // unpacked bytes written since the daemon started
}

// Images keeps the bundle's images in containerd. It is shared by all runs of its component.
type Images struct {
	Socket string
	Blobs  Blobs
	List   []Image // in the order of import: the sandbox image first
	TmpDir string  // for mounts while a layer is written; made when missing
	Log    *slog.Logger

	mu     sync.Mutex
	stats  Stats
	failed error // of the last pass
}

// Stats tells what has been imported since the daemon started.
func (s *Images) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// importing is the importer as a component. It is ready after the first pass: what waits for it would otherwise wait for
// ever where one image of many is damaged. Its health tells of that one.
type importing struct {
	component.Task
	images *Images
}

// Check implements component.Checker.
func (c importing) Check(context.Context) error {
	c.images.mu.Lock()
	defer c.images.mu.Unlock()
	return c.images.failed
}

// Unit returns the importer's unit.
func (s *Images) Unit() component.Unit {
	return component.Unit{New: func() component.Component {
		return importing{component.Task{TaskName: ImagesName, TaskNeeds: []string{Name}, Do: s.run}, s}
	}}
}

func (s *Images) run(ctx context.Context, ready func()) error {
	if err := clearMounts(s.TmpDir); err != nil {
		return fmt.Errorf("place for mounts while layers are written: %w", err)
	}
	client, err := connect(s.Socket)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx = namespaces.WithNamespace(ctx, Namespace)
	for ctx.Err() == nil {
		if err := s.once(ctx, client, ready); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// once makes one pass, then waits until it is time for another: an image was deleted, containerd has
// ended, or the reconcile interval is over. The stream is opened first, so that no deletion falls
// between the pass and the wait.
func (s *Images) once(ctx context.Context, client *containerd.Client, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	events, ended := client.EventService().Subscribe(ctx, `topic=="/images/delete"`)
	// The successor of a containerd that has ended must be shown the images again, hence the epoch.
	m := &importer{client: client, blobs: s.Blobs, tmp: s.TmpDir, epoch: strconv.FormatInt(time.Now().UnixNano(), 36)}
	err := s.pass(ctx, m)
	if ctx.Err() == nil && !errdefs.IsUnavailable(err) { // else containerd went away in the middle: that is no failure of ours
		s.note(err)
		ready()
		again := reconcileInterval
		if err != nil {
			again = retryInterval
		}
		select {
		case <-ctx.Done():
		case <-events:
		case <-ended: //nolint:errcheck // the stream ended, whatever the reason
		case <-time.After(again):
		}
	}
	return waitServing(ctx, client)
}

// note keeps how a pass went, and logs what is news.
func (s *Images) note(err error) {
	s.mu.Lock()
	before := s.failed
	s.failed = err
	s.mu.Unlock()
	if err != nil && (before == nil || before.Error() != err.Error()) {
		s.Log.Error("images not imported", "error", err)
	}
}

// pass imports what is missing and refreshes the rest.
func (s *Images) pass(ctx context.Context, m *importer) error {
	var failed []error
	imported := 0
	for _, image := range s.List {
		present, err := m.present(ctx, image)
		if err != nil {
			return err
		}
		var written int64
		begun := time.Now()
		if present {
			err = m.record(ctx, image)
		} else {
			written, err = m.run(ctx, image)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			failed = append(failed, err)
		case !present:
			imported++
			s.Log.Info("image imported", "image", image.Reference, "bytes", written, "took", time.Since(begun).Round(time.Millisecond))
		}
		s.mu.Lock()
		s.stats.Bytes += written
		s.mu.Unlock()
	}
	s.mu.Lock()
	s.stats.Images, s.stats.Imported = len(s.List), s.stats.Imported+imported
	s.mu.Unlock()
	return errors.Join(failed...)
}

// waitServing waits for containerd to be back; the client reconnects by itself.
func waitServing(ctx context.Context, client interface {
	IsServing(ctx context.Context) (bool, error)
}) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		attempt, cancel := context.WithTimeout(ctx, time.Second)
		serving, err := client.IsServing(attempt)
		cancel()
		if err == nil && serving {
			return nil
		}
	}
}

// SortForStart puts the images that a node cannot do without first, then the rest by name.
func SortForStart(list []Image, first ...string) {
	rank := func(i Image) int {
		if n := slices.Index(first, i.Reference); n >= 0 {
			return n
		}
		return len(first)
	}
	slices.SortStableFunc(list, func(a, b Image) int { return rank(a) - rank(b) })
}

func readJSON[T any](ctx context.Context, blobs Blobs, desc ocispec.Descriptor) ([]byte, T, error) {
	var into T
	data, err := blobs.ReadBlob(ctx, desc.Digest, metadataLimit)
	if err != nil {
		return nil, into, err
	}
	if err := json.Unmarshal(data, &into); err != nil {
		return nil, into, fmt.Errorf("decode %s: %w", desc.Digest, err)
	}
	return data, into, nil
}

// Present is an image as containerd has it.
type Present struct {
	Reference string
	Digest    string
	Source    string // the bundle it came from; empty for others
	Pinned    bool
	Unpacked  bool
}

// ListImages asks the containerd that listens on socket for its images, one row per name:tag.
func ListImages(ctx context.Context, socket string) ([]Present, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client, err := connect(socket)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	list, err := client.ListImages(ctx)
	if err != nil {
		return nil, err
	}
	var out []Present
	for _, i := range list {
		if strings.Contains(i.Name(), "@") || strings.HasPrefix(i.Name(), "sha256:") {
			continue // other names of the same
		}
		unpacked, err := i.IsUnpacked(ctx, snapshotter)
		if err != nil {
			unpacked = false // its metadata is missing: not usable
		}
		labels := i.Labels()
		out = append(out, Present{i.Name(), i.Target().Digest.String(), labels[LabelSource], labels[labelPinned] == "pinned", unpacked})
	}
	return out, nil
}
