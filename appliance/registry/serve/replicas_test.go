package serve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"islet/appliance/registry/client"
	"islet/appliance/registry/content"
)

const app = "registry.islet.internal/team/app"

// A push survives the loss of the server that took it as soon as its client has an answer.
func TestPushSurvivesItsServer(t *testing.T) {
	t.Parallel()
	s := newSite(t, 3).start()
	one := newImage(t, "one")
	if copies := s.servers[0].push(app, "v1", one); copies != 2 {
		t.Errorf("%d copies", copies)
	}
	s.servers[0].stop()
	if err := os.RemoveAll(s.servers[0].settings.Dir); err != nil {
		t.Fatal(err)
	}
	for i, server := range s.servers[1:] {
		for _, reference := range []string{"v1", one.digest().String()} {
			if err := server.pull(app, reference, one); err != nil {
				t.Errorf("server %d, %s: %v", i+1, reference, err)
			}
		}
	}
	// The one that lost everything gets it back.
	s.servers[0].start()
	await(t, func() error {
		if !strings.Contains(s.servers[0].stored(), one.digest().Encoded()) {
			return errors.New("the image is not back")
		}
		return nil
	})
}

// Without a server to copy to, a push is taken, the lack is told of, and made up for.
func TestPushWhilePeersAreAway(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	first, second := s.servers[0], s.servers[1]
	first.start()
	one := newImage(t, "one")
	if copies := first.push(app, "v1", one); copies != 1 {
		t.Errorf("%d copies", copies)
	}
	if status := first.status(); !slices.Equal(status.Alone, []string{app}) || status.Peers != 1 {
		t.Errorf("status %+v", status)
	}
	second.start()
	await(t, func() error {
		if status := first.status(); len(status.Alone) > 0 {
			return fmt.Errorf("status %+v", status)
		}
		return nil
	})
	first.stop()
	if err := second.pull(app, "v1", one); err != nil {
		t.Error(err)
	}
}

func (s *server) status() client.Status {
	s.t.Helper()
	status, err := s.as("agent").Status(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return status
}

// A server on its own lacks nothing.
func TestOneServer(t *testing.T) {
	t.Parallel()
	server := newSite(t, 1).start().servers[0]
	if copies := server.push(app, "v1", newImage(t, "one")); copies != 1 {
		t.Errorf("%d copies", copies)
	}
	if status := server.status(); len(status.Alone) > 0 || status.Peers != 0 || status.Repositories != 1 {
		t.Errorf("status %+v", status)
	}
}

// What goes on one server goes on all, and a server that was away does not bring it back.
func TestDeletionIsReplicated(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2).start()
	first, second := s.servers[0], s.servers[1]
	first.push(app, "v1", newImage(t, "one"))
	first.push(app, "v2", newImage(t, "two"))
	second.stop()
	if err := first.as("peer").Delete(t.Context(), app, "v1"); err != nil {
		t.Fatal(err)
	}
	second.start()
	await(t, func() error {
		all, err := second.as("agent").Repositories(t.Context(), app)
		if err != nil {
			return err
		}
		if tags := all[app].TagNames(); !slices.Equal(tags, []string{"v2"}) {
			return fmt.Errorf("tags %v", tags)
		}
		return nil
	})
	if _, _, err := first.as("agent").Manifest(t.Context(), app, "v1"); !errors.Is(err, content.ErrUnknown) {
		t.Errorf("it is back: %v", err)
	}
}

// A blob that went missing on the disk is fetched from another server when it is asked for.
func TestMissingBlobIsFetched(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2).start()
	one := newImage(t, "one")
	s.servers[0].push(app, "v1", one)
	if err := os.Remove(filepath.Join(s.servers[0].settings.Dir, "blobs/sha256", digest.FromBytes(one.layer).Encoded())); err != nil {
		t.Fatal(err)
	}
	if err := s.servers[0].pull(app, "v1", one); err != nil {
		t.Error(err)
	}
	// A peer is told what is here, and no more: two servers that lack the same would ask each other for ever.
	never := digest.FromString("never pushed")
	if _, err := s.servers[0].as("agent").Blob(t.Context(), app, never); !errors.Is(err, content.ErrUnknown) {
		t.Errorf("a blob that nobody has: %v", err)
	}
}

// Both servers take pushes to one repository while they cannot see each other; afterwards both have both.
func TestPushesToBothSides(t *testing.T) {
	t.Parallel()
	s := newSite(t, 2)
	first, second := s.servers[0], s.servers[1]
	one, two := newImage(t, "one"), newImage(t, "two")
	first.start()
	first.push(app, "v1", one)
	first.stop()
	second.start()
	second.push(app, "v2", two)
	first.start()
	for _, server := range s.servers {
		for tag, want := range map[string]image{"v1": one, "v2": two} {
			await(t, func() error { return server.pull(app, tag, want) })
		}
	}
}
