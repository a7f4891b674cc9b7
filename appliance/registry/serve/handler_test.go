package serve

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/appliance/registry/client"
)

// person is a client with a password, as docker is one.
type person struct {
	server     *server
	http       *http.Client
	name, word string
}

func (s *server) person(name, word string) *person {
	s.t.Helper()
	servers, err := pool(s.settings.ServerCA)
	if err != nil {
		s.t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: servers, MinVersion: tls.VersionTLS13}}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &person{s, &http.Client{Transport: transport}, name, word}
}

// ask sends a request and returns the status, the header and the body of the answer.
func (p *person) ask(method, path string, body []byte, header ...string) (int, http.Header, string) {
	t := p.server.t
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+p.server.settings.Listen[0].String()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if p.name != "" {
		req.SetBasicAuth(p.name, p.word)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := p.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(got)
}

// expect is ask for an answer with the given status.
func (p *person) expect(status int, method, path string, body []byte, header ...string) (http.Header, string) {
	p.server.t.Helper()
	got, answered, text := p.ask(method, path, body, header...)
	if got != status {
		p.server.t.Errorf("%s %s: %d, want %d: %s", method, path, got, status, text)
	}
	return answered, text
}

func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	server := newSite(t, 1).start().servers[0]
	nobody, wrong, viewer, ci := server.person("", ""), server.person("ci", "guess"), server.person("viewer", "secret"), server.person("ci", "secret")
	for _, p := range []*person{nobody, wrong} {
		header, body := p.expect(http.StatusUnauthorized, http.MethodGet, "/v2/", nil)
		if !strings.HasPrefix(header.Get("WWW-Authenticate"), "Basic ") || !strings.Contains(body, "UNAUTHORIZED") {
			t.Errorf("%v %s", header, body)
		}
		p.expect(http.StatusUnauthorized, http.MethodGet, client.RepositoriesPath, nil)
		p.expect(http.StatusUnauthorized, http.MethodPost, "/v2/app/blobs/uploads/", nil)
	}
	for _, p := range []*person{viewer, ci} {
		p.expect(http.StatusOK, http.MethodGet, "/v2/", nil)
		p.expect(http.StatusForbidden, http.MethodPost, client.NoticePath, []byte("{}"))
		p.expect(http.StatusForbidden, http.MethodPost, client.SweepPath, nil)
	}
	viewer.expect(http.StatusForbidden, http.MethodPost, "/v2/app/blobs/uploads/", nil)
	viewer.expect(http.StatusForbidden, http.MethodDelete, "/v2/app/manifests/v1", nil)
	if _, err := server.as("agent").PutManifest(t.Context(), app, "v1", v1.MediaTypeImageManifest, newImage(t, "one").manifest); !errors.Is(err, client.ErrRefused) {
		t.Errorf("an agent pushes: %v", err)
	}
	// A certificate of another authority opens nothing, whatever it says.
	if _, err := server.as("stranger").Status(t.Context()); err == nil {
		t.Error("a stranger is let in")
	}
	writeFile(t, server.settings.Users, Users{})
	ci.expect(http.StatusUnauthorized, http.MethodGet, "/v2/", nil)
}

// TestPushAndPull walks through the workflows of the distribution specification 1.1.
func TestPushAndPull(t *testing.T) {
	t.Parallel()
	server := newSite(t, 1).start().servers[0]
	p := server.person("ci", "secret")
	one := newImage(t, "one")
	sum := func(b []byte) string { return digest.FromBytes(b).String() }

	// in chunks
	header, _ := p.expect(http.StatusAccepted, http.MethodPost, "/v2/team/app/blobs/uploads/", nil)
	at := header.Get("Location")
	p.expect(http.StatusAccepted, http.MethodPatch, at, one.layer[:1], "Content-Range", "0-0")
	p.expect(http.StatusRequestedRangeNotSatisfiable, http.MethodPatch, at, one.layer[2:], "Content-Range", "2-2")
	if header, _ := p.expect(http.StatusNoContent, http.MethodGet, at, nil); header.Get("Range") != "0-0" {
		t.Errorf("range %s", header.Get("Range"))
	}
	p.expect(http.StatusAccepted, http.MethodPatch, at, one.layer[1:], "Content-Range", "1-2")
	header, _ = p.expect(http.StatusCreated, http.MethodPut, at+"?digest="+sum(one.layer), nil)
	if _, body := p.expect(http.StatusOK, http.MethodGet, header.Get("Location"), nil); body != string(one.layer) {
		t.Errorf("layer %q", body)
	}
	p.expect(http.StatusNotFound, http.MethodGet, at, nil)

	// not without all of its blobs
	header, body := p.expect(http.StatusNotFound, http.MethodPut, "/v2/team/app/manifests/v1", one.manifest, "Content-Type", v1.MediaTypeImageManifest)
	if !strings.Contains(body, "MANIFEST_BLOB_UNKNOWN") {
		t.Errorf("%v %s", header, body)
	}

	// at once, with a wrong digest and with the right one
	p.expect(http.StatusBadRequest, http.MethodPost, "/v2/team/app/blobs/uploads/?digest="+sum([]byte("x")), one.config)
	p.expect(http.StatusCreated, http.MethodPost, "/v2/team/app/blobs/uploads/?digest="+sum(one.config), one.config)
	// from another repository
	p.expect(http.StatusCreated, http.MethodPost, "/v2/team/other/blobs/uploads/?mount="+sum(one.config)+"&from=team/app", nil)
	p.expect(http.StatusAccepted, http.MethodPost, "/v2/team/other/blobs/uploads/?mount="+sum([]byte("x"))+"&from=team/app", nil)

	for _, tag := range []string{"v1", "v2", "V3", "latest", sum(one.manifest)} {
		header, _ := p.expect(http.StatusCreated, http.MethodPut, "/v2/team/app/manifests/"+tag, one.manifest, "Content-Type", v1.MediaTypeImageManifest)
		if header.Get("Docker-Content-Digest") != sum(one.manifest) {
			t.Errorf("%v", header)
		}
		header, body := p.expect(http.StatusOK, http.MethodGet, "/v2/team/app/manifests/"+tag, nil)
		if body != string(one.manifest) || header.Get("Content-Type") != v1.MediaTypeImageManifest {
			t.Errorf("%v %s", header, body)
		}
	}
	header, body = p.expect(http.StatusOK, http.MethodHead, "/v2/team/app/manifests/v1", nil)
	if body != "" || header.Get("Content-Length") != fmt.Sprint(len(one.manifest)) {
		t.Errorf("%v %q", header, body)
	}
	if header, _ := p.expect(http.StatusOK, http.MethodHead, "/v2/team/app/blobs/"+sum(one.layer), nil); header.Get("Content-Length") != "3" {
		t.Errorf("%v", header)
	}
	if _, body := p.expect(http.StatusPartialContent, http.MethodGet, "/v2/team/app/blobs/"+sum(one.layer), nil, "Range", "bytes=1-"); body != "ne" {
		t.Errorf("a part: %q", body)
	}
	p.lists()
	p.refusals(one)
	p.deletes(one)
}

func (p *person) lists() {
	t := p.server.t
	t.Helper()
	var tags struct {
		Name string
		Tags []string
	}
	get := func(path string, into any) http.Header {
		header, body := p.expect(http.StatusOK, http.MethodGet, path, nil)
		if err := json.Unmarshal([]byte(body), into); err != nil {
			t.Errorf("%s: %v in %s", path, err, body)
		}
		return header
	}
	if get("/v2/team/app/tags/list", &tags); !slices.Equal(tags.Tags, []string{"latest", "v1", "v2", "V3"}) || tags.Name != app {
		t.Errorf("tags %+v", tags)
	}
	header := get("/v2/team/app/tags/list?n=2", &tags)
	if next := header.Get("Link"); !slices.Equal(tags.Tags, []string{"latest", "v1"}) || !strings.Contains(next, "last=v1") || !strings.HasSuffix(next, `; rel="next"`) {
		t.Errorf("tags %+v, next %s", tags, next)
	}
	if get("/v2/team/app/tags/list?n=2&last=v1", &tags); !slices.Equal(tags.Tags, []string{"v2", "V3"}) {
		t.Errorf("tags %+v", tags)
	}
	p.expect(http.StatusNotFound, http.MethodGet, "/v2/team/none/tags/list", nil)
	var all struct{ Repositories []string }
	if get("/v2/_catalog", &all); !slices.Equal(all.Repositories, []string{app}) {
		t.Errorf("repositories %v", all.Repositories)
	}
	// Everything listed can be asked for as it is listed, and as containerd asks.
	p.expect(http.StatusOK, http.MethodGet, "/v2/"+app+"/manifests/v1", nil)
	p.expect(http.StatusOK, http.MethodGet, "/v2/team/app/manifests/v1?ns=registry.islet.internal", nil)
	p.expect(http.StatusNotFound, http.MethodGet, "/v2/team/app/manifests/v1?ns=docker.io", nil)
}

func (p *person) refusals(one image) {
	put := func(status int, reference, mediaType, body string) {
		p.server.t.Helper()
		p.expect(status, http.MethodPut, "/v2/team/app/manifests/"+reference, []byte(body), "Content-Type", mediaType)
	}
	put(http.StatusBadRequest, digest.FromString("x").String(), v1.MediaTypeImageManifest, string(one.manifest))
	put(http.StatusBadRequest, "v9", v1.MediaTypeImageIndex, string(one.manifest))
	put(http.StatusBadRequest, "v9", "text/plain", "hello")
	put(http.StatusBadRequest, "-v9", v1.MediaTypeImageManifest, string(one.manifest))
	put(http.StatusBadRequest, "v9", v1.MediaTypeImageManifest, `{"schemaVersion":2,"config":{"digest":"sha256:../../etc/passwd"}}`)
	put(http.StatusRequestEntityTooLarge, "v9", v1.MediaTypeImageManifest, strings.Repeat(" ", 5<<20))
	p.expect(http.StatusBadRequest, http.MethodGet, "/v2/Team/app/manifests/v1", nil)
	p.expect(http.StatusBadRequest, http.MethodGet, "/v2/team/app/manifests/v1?ns=../..", nil)
	p.expect(http.StatusBadRequest, http.MethodGet, "/v2/team/app/blobs/sha256:00", nil)
	p.expect(http.StatusNotFound, http.MethodGet, "/v2/team/app/manifests/none", nil)
	p.expect(http.StatusNotFound, http.MethodPatch, "/v2/team/app/blobs/uploads/none", nil)
	p.expect(http.StatusMethodNotAllowed, http.MethodDelete, "/v2/team/app/blobs/"+digest.FromBytes(one.layer).String(), nil)
	p.expect(http.StatusNotFound, http.MethodGet, "/v2/team/app", nil)
}

func (p *person) deletes(one image) {
	p.expect(http.StatusAccepted, http.MethodDelete, "/v2/team/app/manifests/v1", nil)
	p.expect(http.StatusNotFound, http.MethodGet, "/v2/team/app/manifests/v1", nil)
	p.expect(http.StatusOK, http.MethodGet, "/v2/team/app/manifests/v2", nil)
	p.expect(http.StatusAccepted, http.MethodDelete, "/v2/team/app/manifests/"+one.digest().String(), nil)
	p.expect(http.StatusNotFound, http.MethodGet, "/v2/team/app/manifests/v2", nil)
	p.expect(http.StatusNotFound, http.MethodGet, "/v2/team/app/tags/list", nil)
}

// Signatures and SBOMs are found by what they are about.
func TestReferrers(t *testing.T) {
	t.Parallel()
	server := newSite(t, 1).start().servers[0]
	one := newImage(t, "one")
	server.push(app, "v1", one)
	empty := []byte("{}")
	signature, err := json.Marshal(v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, ArtifactType: "application/signature",
		Config:  v1.Descriptor{MediaType: v1.MediaTypeEmptyJSON, Digest: digest.FromBytes(empty), Size: 2},
		Layers:  []v1.Descriptor{{MediaType: v1.MediaTypeEmptyJSON, Digest: digest.FromBytes(empty), Size: 2}},
		Subject: &v1.Descriptor{MediaType: v1.MediaTypeImageManifest, Digest: one.digest(), Size: int64(len(one.manifest))},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := server.person("ci", "secret")
	p.expect(http.StatusCreated, http.MethodPost, "/v2/team/app/blobs/uploads/?digest="+digest.FromBytes(empty).String(), empty)
	header, _ := p.expect(http.StatusCreated, http.MethodPut, "/v2/team/app/manifests/"+digest.FromBytes(signature).String(), signature, "Content-Type", v1.MediaTypeImageManifest)
	if header.Get("OCI-Subject") != one.digest().String() {
		t.Errorf("%v", header)
	}
	for query, want := range map[string]int{"": 1, "?artifactType=application/signature": 1, "?artifactType=application/other": 0} {
		var index v1.Index
		_, body := p.expect(http.StatusOK, http.MethodGet, "/v2/team/app/referrers/"+one.digest().String()+query, nil)
		if err := json.Unmarshal([]byte(body), &index); err != nil || len(index.Manifests) != want || index.SchemaVersion != 2 {
			t.Errorf("%s: %s (%v)", query, body, err)
		}
	}
}

// What was pushed is there after a restart, and an upload that was interrupted is not.
func TestRestart(t *testing.T) {
	t.Parallel()
	server := newSite(t, 1).start().servers[0]
	one := newImage(t, "one")
	server.push(app, "v1", one)
	p := server.person("ci", "secret")
	header, _ := p.expect(http.StatusAccepted, http.MethodPost, "/v2/team/app/blobs/uploads/", nil)
	server.stop()
	server.start()
	if err := server.pull(app, "v1", one); err != nil {
		t.Error(err)
	}
	p.expect(http.StatusNotFound, http.MethodPatch, header.Get("Location"), []byte("x"))
	if left, err := filepath.Glob(filepath.Join(server.settings.Dir, "uploads/*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v (%v)", left, err)
	}
}
