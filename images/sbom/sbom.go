// Package sbom says what an engine or an image is made of, as CycloneDX documents.
package sbom

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
	"github.com/opencontainers/go-digest"
)

// MediaType is that of a document, and the artifact type under which it is attached to its subject.
const MediaType = "application/vnd.cyclonedx+json"

// Document collects what its subject is made of.
type Document struct {
	Name    string
	Version string
	Subject digest.Digest // of the manifest that the document describes
	Created time.Time
	Files   []File
}

// File is one executable, library or other file with what is in it.
type File struct {
	Path   string
	Digest digest.Digest
	Parts  []Component // the first is the file's own module or package
}

// Component is a Go module, a Debian package, or a source of our own.
type Component struct {
	Name     string
	Version  string
	PURL     string
	SHA256   string   // in hex; may be empty
	Licenses []string // SPDX identifiers where the text was recognised, else names; may be empty
}

// Encode returns the document as JSON. The same document gives the same bytes.
func (d Document) Encode() ([]byte, error) {
	bom := cdx.NewBOM()
	// The subject's digest names the document; a random serial number would make every build differ.
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte(d.Subject)).URN()
	root := cdx.Component{
		BOMRef: string(d.Subject), Type: cdx.ComponentTypeContainer, Name: d.Name, Version: d.Version,
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: d.Subject.Encoded()}},
	}
	bom.Metadata = &cdx.Metadata{Timestamp: d.Created.UTC().Format(time.RFC3339), Component: &root}
	components, dependencies := d.content()
	bom.Components, bom.Dependencies = &components, &dependencies
	var out bytes.Buffer
	if err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return nil, fmt.Errorf("encode SBOM of %s: %w", d.Name, err)
	}
	return out.Bytes(), nil
}

// content lists files and the distinct components in them, and which file holds which component.
func (d Document) content() ([]cdx.Component, []cdx.Dependency) {
	var components []cdx.Component
	var dependencies []cdx.Dependency
	var fileRefs []string
	seen := map[string]bool{}
	for _, file := range d.Files {
		ref := "file:" + file.Path
		fileRefs = append(fileRefs, ref)
		components = append(components, cdx.Component{
			BOMRef: ref, Type: cdx.ComponentTypeFile, Name: file.Path,
			Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: file.Digest.Encoded()}},
		})
		var parts []string
		for _, part := range file.Parts {
			parts = append(parts, part.ref())
			if !seen[part.ref()] {
				seen[part.ref()] = true
				components = append(components, part.component())
			}
		}
		dependencies = append(dependencies, cdx.Dependency{Ref: ref, Dependencies: &parts})
	}
	dependencies = append(dependencies, cdx.Dependency{Ref: string(d.Subject), Dependencies: &fileRefs})
	slices.SortFunc(components, func(a, b cdx.Component) int { return cmp.Compare(a.BOMRef, b.BOMRef) })
	slices.SortFunc(dependencies, func(a, b cdx.Dependency) int { return cmp.Compare(a.Ref, b.Ref) })
	return components, dependencies
}

func (c Component) ref() string { return cmp.Or(c.PURL, c.Name+"@"+c.Version) }

func (c Component) component() cdx.Component {
	out := cdx.Component{
		BOMRef: c.ref(), Type: cdx.ComponentTypeLibrary, Name: c.Name, Version: c.Version, PackageURL: c.PURL,
	}
	if c.SHA256 != "" {
		out.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: c.SHA256}}
	}
	if len(c.Licenses) > 0 {
		var licenses cdx.Licenses
		for _, name := range c.Licenses {
			license := &cdx.License{Name: name}
			if isSPDX[name] {
				license = &cdx.License{ID: name}
			}
			licenses = append(licenses, cdx.LicenseChoice{License: license})
		}
		out.Licenses = &licenses
	}
	return out
}

// ErrNoDocument is returned for bytes that are not a CycloneDX document.
var ErrNoDocument = errors.New("not a CycloneDX document")

// Components lists name and version of what an encoded document names, files apart.
func Components(content []byte) ([]Component, error) {
	var bom cdx.BOM
	if err := json.Unmarshal(content, &bom); err != nil {
		return nil, errors.Join(ErrNoDocument, err)
	}
	if bom.BOMFormat != cdx.BOMFormat || bom.Components == nil {
		return nil, ErrNoDocument
	}
	var out []Component
	for _, c := range *bom.Components {
		if c.Type != cdx.ComponentTypeFile {
			out = append(out, Component{Name: c.Name, Version: c.Version, PURL: c.PackageURL})
		}
	}
	return out, nil
}
