package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"islet/appliance/config"
	"islet/appliance/imagefile"
	"islet/appliance/layout"
	"islet/appliance/progress"
	"islet/appliance/registry"
	"islet/appliance/registry/client"
)

func newImageUploadCommand(env *Env) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:               "upload FILE",
		Short:             "Put the images of an archive into the site's registry",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeFiles,
		Long: `Reads an archive that ` + "`docker save`" + ` or its like wrote, or an OCI image layout in a tar file, plain or compressed with
gzip or zstd, and puts its images into the registry of this server, from which the other servers fetch them. Any node can
then run them under the name that they have in the archive, or that --as gives. Run on a server.

The archive is checked before anything is sent. What the registry has already is not sent again.`,
		Example: `  docker save -o shop.tar shop:1.4
  appliance image upload shop.tar
  appliance image upload shop.tar.zst --as registry.islet.internal/shop/web:1.4`,
	}
	cmd.Flags().StringVar(&as, "as", "", "`NAME` of the image, if the archive holds one only")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		l, err := registryServer()
		if err != nil {
			return err
		}
		rows, err := upload(cmd.Context(), env, l, args[0], as)
		if err != nil {
			return explainRegistry(err)
		}
		return env.Print(*format, rows, func(w io.Writer) error { return printUploaded(w, rows) })
	}
	return cmd
}

// registryServer is the layout of this node, which must be a server.
func registryServer() (layout.Layout, error) {
	if err := requireRoot("use the certificate of this server"); err != nil {
		return layout.Layout{}, err
	}
	c, l, err := installed()
	if err != nil {
		return l, err
	}
	if c.Node.Role != config.RoleServer {
		err = Exit(CodeNotServer, Advise(errors.New("this node is an agent: the registry is on the servers"), "run the command on a server"))
	}
	return l, err
}

// explainRegistry tells an operator how to get a silent registry back, and what to do about an archive that is refused.
func explainRegistry(err error) error {
	switch {
	case errors.Is(err, client.ErrUnreachable):
		return Advise(err, "`appliance status` tells how the registry is; it starts with the appliance")
	case errors.Is(err, imagefile.ErrNotArchive):
		return Advise(err, "name a file that `docker save` wrote, or a tar of an OCI image layout")
	case errors.Is(err, imagefile.ErrTruncated), errors.Is(err, imagefile.ErrDamaged):
		return Advise(err, "copy the file again and compare its SHA-256 with the source; make it anew if that is the same")
	case errors.Is(err, imagefile.ErrPlatform):
		return Advise(err, "save the image for linux/amd64: `docker pull --platform linux/amd64 NAME`, then `docker save`")
	case errors.Is(err, imagefile.ErrName):
		return Advise(err, "give it a name with --as, such as registry.islet.internal/team/app:1.0")
	}
	return err
}

// uploadedRow is a line of the result of `image upload`.
type uploadedRow struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Bytes     int64  `json:"bytes"`  // of its layers and its config
	Copies    int    `json:"copies"` // servers that hold it by now, as far as was waited for
}

func upload(ctx context.Context, env *Env, l layout.Layout, path, as string) ([]uploadedRow, error) {
	reporter := progress.New(env.Stdio.Err)
	reading := reporter.Start("check "+path, 0)
	file, err := imagefile.Open(ctx, path, reading.Set)
	reading.Done(err)
	if err != nil {
		return nil, err
	}
	images, err := named(file, as)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	to, err := registry.Dial(l)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	u := uploader{to: to, reporter: reporter}
	if err := u.sendBlobs(ctx, file, images); err != nil {
		return nil, err
	}
	return u.sendManifests(ctx, images)
}

// named gives each image its names, in full. An image without a name cannot be asked for.
func named(file *imagefile.File, as string) ([]imagefile.Image, error) {
	images := file.Images
	if as != "" {
		if len(images) != 1 {
			return nil, Exit(CodeUsage, fmt.Errorf("--as names one image, the archive holds %d", len(images)))
		}
		images[0].Names = []string{as}
	}
	for i := range images {
		if len(images[i].Names) == 0 {
			return nil, fmt.Errorf("image %s has none: %w", images[i].Root().Digest, imagefile.ErrName)
		}
		for n, name := range images[i].Names {
			full, err := imagefile.FullName(name)
			if err != nil {
				return nil, err
			}
			images[i].Names[n] = full
		}
	}
	return images, nil
}

// uploader sends an archive to a registry.
type uploader struct {
	to       *client.Client
	reporter *progress.Reporter
}

// sendBlobs sends the blobs that the registry lacks. Blobs belong to no repository there: each is sent once.
func (u uploader) sendBlobs(ctx context.Context, file *imagefile.File, images []imagefile.Image) error {
	lacking := map[digest.Digest]string{}
	for _, image := range images {
		repository, _, err := imagefile.Split(image.Names[0])
		if err != nil {
			return err
		}
		for _, b := range image.Blobs {
			has, err := u.to.HasBlob(ctx, repository, b.Digest)
			if err != nil {
				return err
			}
			if !has {
				lacking[b.Digest] = repository
			}
		}
	}
	if len(lacking) == 0 {
		return nil
	}
	task := u.reporter.Start("upload", 0)
	wanted := func(d digest.Digest) bool { return lacking[d] != "" }
	err := file.Blobs(ctx, task.Set, wanted, func(d digest.Digest, size int64, r io.Reader) error {
		return u.to.PutBlob(ctx, lacking[d], d, size, r)
	})
	task.Done(err)
	return err
}

// sendManifests makes the images known by their names, which needs all blobs to be there.
func (u uploader) sendManifests(ctx context.Context, images []imagefile.Image) ([]uploadedRow, error) {
	rows := []uploadedRow{}
	for _, image := range images {
		row := uploadedRow{Digest: image.Root().Digest.String()}
		for _, b := range image.Blobs {
			row.Bytes += b.Size
		}
		for _, name := range image.Names {
			repository, tag, err := imagefile.Split(name)
			if err != nil {
				return rows, err
			}
			for i, m := range image.Manifests {
				reference := m.Digest.String()
				if i == len(image.Manifests)-1 {
					reference = tag
				}
				if row.Copies, err = u.to.PutManifest(ctx, repository, reference, m.MediaType, m.Raw); err != nil {
					return rows, fmt.Errorf("image %s: %w", name, err)
				}
			}
			row.Reference = name
			rows = append(rows, row)
		}
	}
	return rows, nil
}

func printUploaded(out io.Writer, rows []uploadedRow) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tDIGEST\tSIZE\tSERVERS")
	for _, r := range rows {
		servers := "this one"
		if r.Copies > 1 {
			servers = "this and others"
		}
		fmt.Fprintf(w, "%s\t%.19s\t%s\t%s\n", r.Reference, r.Digest, progress.Bytes(r.Bytes), servers)
	}
	return w.Flush()
}
