package cli

import (
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"islet/bundle"
)

func newBundleCommand(e *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "bundle",
		GroupID: groupTool,
		Short:   "Create, look at, check and compare bundles",
		Long: `A bundle is the one file that carries software into a site: an OCI image layout with a signed table of contents.
The appliance executable carries one inside it; a file of its own carries an upgrade or an application release.
Where FILE is left out, the bundle inside this executable is meant, or the one that --bundle names.`,
		Example: `  appliance bundle inspect islet-0.2.0.bundle
  appliance bundle verify islet-0.2.0.bundle
  appliance bundle diff /usr/local/bin/appliance islet-0.2.0.bundle`,
	}
	cmd.AddCommand(newBundleCreateCommand(e), newBundleInspectCommand(e), newBundleVerifyCommand(e),
		newBundleExtractCommand(e), newBundleDiffCommand(e), newBundleKeygenCommand(e))
	return cmd
}

// bundleSummary is a bundle as commands print it.
type bundleSummary struct {
	File       string             `json:"file"`
	Name       string             `json:"name"`
	Version    string             `json:"version"`
	Kind       string             `json:"kind"`
	Created    time.Time          `json:"created"`
	Format     uint32             `json:"formatVersion"`
	Digest     digest.Digest      `json:"digest"` // of the index
	Size       int64              `json:"size"`
	Offset     int64              `json:"offset"` // in the file
	Blobs      int                `json:"blobs"`
	BlobBytes  int64              `json:"blobBytes"`
	Signature  bundle.Signature   `json:"signature"`
	Components []componentSummary `json:"components"`
}

type componentSummary struct {
	Kind      bundle.Kind   `json:"kind"`
	Name      string        `json:"name"`
	Version   string        `json:"version,omitempty"`
	Digest    digest.Digest `json:"digest"`
	Reference string        `json:"reference,omitempty"`
	Subject   digest.Digest `json:"subject,omitempty"`
}

func summarize(r *bundle.Reader) *bundleSummary {
	x := r.Index()
	s := &bundleSummary{
		File: r.Source(), Name: x.Name, Version: x.Version, Kind: x.Kind, Created: x.Created, Format: x.FormatVersion,
		Digest: r.Digest(), Size: r.Size(), Offset: r.Offset(), Blobs: len(x.Blobs), Signature: r.Signature(),
		Components: summarizeComponents(x.Components),
	}
	for _, b := range x.Blobs {
		s.BlobBytes += b.Size
	}
	return s
}

func summarizeComponents(components []bundle.Component) []componentSummary {
	all := []componentSummary{}
	for _, c := range components {
		all = append(all, componentSummary{
			Kind: c.Kind, Name: c.Name, Version: c.Version, Digest: c.Descriptor.Digest, Reference: c.Reference, Subject: c.Subject,
		})
	}
	return all
}

// optionalFile returns the only argument, or "" for the default bundle.
func optionalFile(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}
