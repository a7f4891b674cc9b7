package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// Labels on everything that came from a bundle.
const (
	// LabelSource names the bundle that an image came from.
	LabelSource = "dev.islet.source"
	// labelPinned keeps the kubelet's image collection away (LESSONS 1).
	labelPinned  = "io.cri-containerd.pinned"
	labelManaged = "io.cri-containerd.image"
	// labelSeen is rewritten at each start of containerd. The write makes the CRI plug-in take the
	// image up: at its own start it passes over images whose layer blobs it cannot find, and ours
	// are in the bundle, not in containerd's store (ADR 0004).
	labelSeen = "dev.islet.seen"
)

// Blobs is where image content comes from. Both methods verify digests.
type Blobs interface {
	Blob(ctx context.Context, d digest.Digest) (io.ReadCloser, error)
	ReadBlob(ctx context.Context, d digest.Digest, limit int64) ([]byte, error)
}

// Image is an image that a bundle carries.
type Image struct {
	Reference  string // name:tag
	Descriptor ocispec.Descriptor
	Source     string // which bundle
}

// metadataLimit bounds manifests and configs, which are held in memory.
const metadataLimit = 4 << 20

func connect(socket string) (*containerd.Client, error) {
	return containerd.New(socket, containerd.WithDefaultNamespace(Namespace), containerd.WithTimeout(2*time.Second))
}

// importer brings images from a bundle into containerd. Layers are unpacked straight from the
// bundle into snapshots; no compressed copy is kept.
type importer struct {
	client *containerd.Client
	blobs  Blobs
	tmp    string // directory for mounts while layers are written
	epoch  string // value of labelSeen for this start of containerd
}

// present tells whether the image is complete: both of its names, its metadata and its snapshot.
func (m *importer) present(ctx context.Context, image Image) (bool, error) {
	for _, name := range names(image) {
		have, err := m.client.ImageService().Get(ctx, name)
		if errdefs.IsNotFound(err) || err == nil && have.Target.Digest != image.Descriptor.Digest {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	config, err := m.client.GetImage(ctx, image.Reference)
	if err != nil {
		return false, err
	}
	unpacked, err := config.IsUnpacked(ctx, snapshotter)
	if errdefs.IsNotFound(err) { // the manifest or config blob went missing
		return false, nil
	}
	return unpacked, err
}

// names are the references an image is known by: name:tag, and name@digest, which is how manifests
// name it.
func names(image Image) []string {
	repository := image.Reference
	for i := len(repository) - 1; i > 0 && repository[i] != '/'; i-- {
		if repository[i] == ':' {
			repository = repository[:i]
			break
		}
	}
	return []string{image.Reference, repository + "@" + image.Descriptor.Digest.String()}
}

// run imports one image and returns the number of unpacked bytes written.
func (m *importer) run(ctx context.Context, image Image) (written int64, err error) {
	ctx, release, err := m.client.WithLease(namespaces.WithNamespace(ctx, Namespace))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, release(context.WithoutCancel(ctx))) }()

	manifestJSON, manifest, err := readJSON[ocispec.Manifest](ctx, m.blobs, image.Descriptor)
	if err != nil {
		return 0, err
	}
	configJSON, config, err := readJSON[ocispec.Image](ctx, m.blobs, manifest.Config)
	if err != nil {
		return 0, err
	}
	if len(config.RootFS.DiffIDs) != len(manifest.Layers) {
		return 0, fmt.Errorf("image %s: %d layers but %d diff ids", image.Reference, len(manifest.Layers), len(config.RootFS.DiffIDs))
	}
	for i, layer := range manifest.Layers {
		n, err := m.unpack(ctx, layer, config.RootFS.DiffIDs[:i+1])
		written += n
		if err != nil {
			return written, fmt.Errorf("unpack layer %d of %s: %w", i, image.Reference, err)
		}
	}
	if err := m.store(ctx, configJSON, manifest.Config, map[string]string{
		"containerd.io/gc.ref.snapshot." + snapshotter: identity.ChainID(config.RootFS.DiffIDs).String(),
	}); err != nil {
		return written, err
	}
	if err := m.store(ctx, manifestJSON, image.Descriptor, map[string]string{
		"containerd.io/gc.ref.content.config": manifest.Config.Digest.String(),
	}); err != nil {
		return written, err
	}
	return written, m.record(ctx, image)
}

// record writes the image's names, pinned and labelled with their source; it also refreshes them.
func (m *importer) record(ctx context.Context, image Image) error {
	for _, name := range names(image) {
		entry := images.Image{Name: name, Target: image.Descriptor, Labels: map[string]string{
			labelPinned: "pinned", labelManaged: "managed", LabelSource: image.Source, labelSeen: m.epoch,
		}}
		_, err := m.client.ImageService().Update(ctx, entry)
		if errdefs.IsNotFound(err) {
			_, err = m.client.ImageService().Create(ctx, entry)
		}
		if err != nil {
			return fmt.Errorf("record image %s: %w", name, err)
		}
	}
	return nil
}

// unpack makes the snapshot of the layer whose chain is diffs, from the bundle, in place.
func (m *importer) unpack(ctx context.Context, layer ocispec.Descriptor, diffs []digest.Digest) (int64, error) {
	snap := m.client.SnapshotService(snapshotter)
	chain := identity.ChainID(diffs).String()
	if _, err := snap.Stat(ctx, chain); err == nil || !errdefs.IsNotFound(err) {
		return 0, err
	}
	parent := ""
	if len(diffs) > 1 {
		parent = identity.ChainID(diffs[:len(diffs)-1]).String()
	}
	// A snapshot with this key is what a killed import left behind.
	key := "import-" + chain
	if err := snap.Remove(ctx, key); err != nil && !errdefs.IsNotFound(err) {
		return 0, err
	}
	mounts, err := snap.Prepare(ctx, key, parent)
	if err != nil {
		return 0, err
	}
	written, err := m.apply(ctx, layer, diffs[len(diffs)-1], mounts)
	if err != nil {
		return written, errors.Join(err, snap.Remove(context.WithoutCancel(ctx), key))
	}
	err = snap.Commit(ctx, chain, key, snapshots.WithLabels(map[string]string{LabelSource: "bundle"}))
	if errdefs.IsAlreadyExists(err) { // two images share the layer and were imported side by side
		return written, snap.Remove(ctx, key)
	}
	return written, err
}

// apply writes the layer into mounts, verifies its diff id and makes it durable: the snapshot's
// record is synchronous, so the files it speaks of must be on disk first.
func (m *importer) apply(ctx context.Context, layer ocispec.Descriptor, diff digest.Digest, mounts []mount.Mount) (written int64, err error) {
	blob, err := m.blobs.Blob(ctx, layer.Digest)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	plain, err := compression.DecompressStream(blob)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, plain.Close()) }()
	verifier := diff.Verifier()
	tee := io.TeeReader(plain, verifier)
	err = m.withMount(mounts, func(root string) error {
		if written, err = archive.Apply(ctx, root, tee); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, tee); err != nil { // what follows the tar's end counts too
			return err
		}
		if !verifier.Verified() {
			return fmt.Errorf("layer %s does not unpack to %s", layer.Digest, diff)
		}
		return syncFilesystem(root)
	})
	return written, err
}

func syncFilesystem(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

// store puts a small blob into the content store.
func (m *importer) store(ctx context.Context, data []byte, desc ocispec.Descriptor, labels map[string]string) error {
	cs := m.client.ContentStore()
	w, err := content.OpenWriter(ctx, cs, content.WithRef("islet-"+desc.Digest.String()), content.WithDescriptor(desc))
	if err == nil {
		if err := w.Truncate(0); err != nil {
			return errors.Join(err, w.Close())
		}
		if _, err := w.Write(data); err != nil {
			return errors.Join(err, w.Close())
		}
		err = errors.Join(w.Commit(ctx, desc.Size, desc.Digest, content.WithLabels(labels)), w.Close())
	}
	if !errdefs.IsAlreadyExists(err) {
		return err
	}
	info := content.Info{Digest: desc.Digest, Labels: labels}
	fields := make([]string, 0, len(labels))
	for k := range labels {
		fields = append(fields, "labels."+k)
	}
	_, err = cs.Update(ctx, info, fields...)
	return err
}
