package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"islet/appliance/kube"
	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

func newReleaseCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "release", Short: "Make and list releases: what orders bring from one environment to the next", GroupID: groupPaaS,
		Long: `A release is a version of an application: its images by digest, and how they run. It never changes. It is made from an application
in the first environment of a tenant; release orders bring the very same to the others. The same kind can be had by kubectl:
releases.islet.dev. Run on a server.`,
		Example: `  appliance release create press-dev hello 1.1 --image islet.internal/samples/hello@sha256:...
  appliance release list press-dev
  appliance release show press-dev hello-1.1`,
	}
	cmd.AddCommand(newReleaseCreateCommand(env), newReleaseListCommand(env), newReleaseShowCommand(env))
	return cmd
}

// asFlag lets a command speak for a member.
func asFlag(cmd *cobra.Command) *string {
	return cmd.Flags().String("as", "", "`USER` to do it as, with the rights and the name of that user (default: the site's administrator)")
}

// openPlatformAs is a server's access in somebody's name; empty is the administrator's.
func openPlatformAs(user string) (client.Client, error) {
	site, err := openCluster()
	if err != nil || user == "" {
		return site.client, err
	}
	config := kube.Config(site.access)
	config.Impersonate.UserName = user
	return kube.NewClient(config)
}

// releaseView is the JSON form of a release.
type releaseView struct {
	Environment  string            `json:"environment"`
	Name         string            `json:"name"`
	Application  string            `json:"application"`
	Version      string            `json:"version"`
	Notes        string            `json:"notes,omitempty"`
	PromotedFrom string            `json:"promotedFrom,omitempty"` // the environment that it was brought here from
	Made         metav1.Time       `json:"made"`
	Images       map[string]string `json:"images"` // by component
}

// promotedFrom is the annotation of a release that an order has brought from another environment.
const promotedFrom = "islet.dev/promoted-from"

func viewRelease(r v1alpha1.Release) releaseView {
	v := releaseView{Environment: r.Namespace, Name: r.Name, Application: r.Spec.Application, Version: r.Spec.Version, Notes: r.Spec.Notes,
		PromotedFrom: r.Annotations[promotedFrom], Made: r.CreationTimestamp, Images: map[string]string{}}
	for _, c := range r.Spec.Template.Components {
		v.Images[c.Name] = c.Image
	}
	return v
}

func newReleaseCreateCommand(env *Env) *cobra.Command {
	var images []string
	var notes, hooks string
	cmd := &cobra.Command{
		Use: "create TENANT-NAME APPLICATION VERSION", Short: "Make a release from an application as it is, with other images", Args: cobra.ExactArgs(3), ValidArgsFunction: completeApps,
		Long: `Makes a release called APPLICATION-VERSION from what the application is in this environment, with the images that --image names. The
digests are those of ` + "`appliance image list`" + `. Nothing runs yet: that is for an order.

The file of --hooks is a list of programs that each order runs, such as a migration before anything is changed, or a test of the new release:

  - {name: migrate, when: Before, command: [/app, migrate], retries: 2}
  - {name: try, when: Verify, command: [/app, smoke-test, "http://shop$(SERVICE_ENDING)/"]}`,
		Example: `  appliance release create press-dev hello 1.1 --image islet.internal/samples/hello@sha256:...
  appliance release create press-dev shop 2.0 --image web=registry/shop/web@sha256:... --image api=registry/shop/api@sha256:... --notes "new cart"`,
	}
	cmd.Flags().StringArrayVar(&images, "image", nil, "`[COMPONENT=]IMAGE` by digest; the name is not needed where there is one component")
	cmd.Flags().StringVar(&notes, "notes", "", "`TEXT` for people")
	cmd.Flags().StringVar(&hooks, "hooks", "", "YAML `FILE` with a list of hooks; the fields are those of kubectl explain release.spec.hooks")
	as, format := asFlag(cmd), AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		list, err := readHooks(hooks)
		if err != nil {
			return err
		}
		r, err := createRelease(cmd.Context(), *as, args, images, v1alpha1.ReleaseSpec{Notes: notes, Hooks: list})
		if err != nil {
			return err
		}
		return env.Print(*format, viewRelease(r), func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "release %s is made; `appliance order create %s %s` rolls it out\n", r.Name, r.Namespace, r.Name)
			return err
		})
	}
	return cmd
}

// readHooks reads a list of hooks; none if no file is named.
func readHooks(file string) (list []v1alpha1.Hook, err error) {
	if file == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if err := yaml.UnmarshalStrict(raw, &list); err != nil {
		return nil, Exit(CodeConfig, Advise(fmt.Errorf("%s: %w", file, err), "it is a list; its fields are those of `appliance kubectl explain release.spec.hooks`"))
	}
	return list, nil
}

// createRelease makes a release of an application as it is; spec has what is not in the application.
func createRelease(ctx context.Context, as string, args, images []string, spec v1alpha1.ReleaseSpec) (v1alpha1.Release, error) {
	var r v1alpha1.Release
	c, err := openPlatformAs(as)
	if err != nil {
		return r, err
	}
	var a v1alpha1.Application
	if err := c.Get(ctx, client.ObjectKey{Namespace: args[0], Name: args[1]}, &a); err != nil {
		return r, explainAPI(err)
	}
	r.Namespace, r.Name = a.Namespace, a.Name+"-"+args[2]
	r.Spec = spec
	r.Spec.Application, r.Spec.Version, r.Spec.Template = a.Name, args[2], a.Spec.ApplicationTemplate
	for _, text := range images {
		if err := setImage(&a, &r.Spec.Template, text); err != nil {
			return r, err
		}
	}
	return r, explainAPI(c.Create(ctx, &r))
}

// setImage reads [COMPONENT=]IMAGE.
func setImage(a *v1alpha1.Application, t *v1alpha1.ApplicationTemplate, text string) error {
	name, image, named := strings.Cut(text, "=")
	if !named {
		name, image = t.Components[0].Name, text
		if len(t.Components) > 1 {
			return Exit(CodeUsage, fmt.Errorf("--image %s: of which component? %s has %s", text, a.Name, strings.Join(componentNames(a), ", ")))
		}
	}
	i := slices.Index(componentNames(a), name)
	if i < 0 {
		return Exit(CodeNoObject, fmt.Errorf("--image %s: %s has no component %s, but %s", text, a.Name, name, strings.Join(componentNames(a), ", ")))
	}
	t.Components[i].Image = image
	return nil
}

func newReleaseListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [TENANT-NAME]", Short: "List the releases of an environment, or of all", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeEnvironments,
		Long:    "Lists the releases that are known in an environment, the newest first, with where they came from.",
		Example: "  appliance release list press-dev\n  appliance release list -o json | jq '.[].images'",
	}
	return listing(env, cmd, releases, printReleases)
}

func releases(ctx context.Context, c client.Client, environment string) ([]releaseView, error) {
	var list v1alpha1.ReleaseList
	if err := c.List(ctx, &list, client.InNamespace(environment)); err != nil {
		return nil, explainAPI(err)
	}
	out := []releaseView{}
	for _, r := range list.Items {
		out = append(out, viewRelease(r))
	}
	slices.SortFunc(out, func(a, b releaseView) int {
		return cmp.Or(strings.Compare(a.Environment, b.Environment), strings.Compare(a.Application, b.Application), b.Made.Compare(a.Made.Time), strings.Compare(b.Name, a.Name))
	})
	return out, nil
}

func printReleases(out io.Writer, list []releaseView) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ENVIRONMENT\tRELEASE\tMADE\tFROM\tNOTES")
	for _, r := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Environment, r.Name, r.Made.UTC().Format("2006-01-02 15:04"), cmp.Or(r.PromotedFrom, "here"), r.Notes)
	}
	return w.Flush()
}

func newReleaseShowCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show TENANT-NAME RELEASE", Short: "Show a release: its images, and where it came from", Args: cobra.ExactArgs(2), ValidArgsFunction: completeReleases,
		Long:    "Shows which image each component of a release has, by digest.",
		Example: "  appliance release show press-dev hello-1.1",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := openPlatform()
		if err != nil {
			return err
		}
		var r v1alpha1.Release
		if err := c.Get(cmd.Context(), client.ObjectKey{Namespace: args[0], Name: args[1]}, &r); err != nil {
			return explainAPI(err)
		}
		v := viewRelease(r)
		return env.Print(*format, v, func(w io.Writer) error {
			if err := printReleases(w, []releaseView{v}); err != nil {
				return err
			}
			for _, c := range r.Spec.Template.Components {
				fmt.Fprintf(w, "%s: %s\n", c.Name, c.Image)
			}
			return nil
		})
	}
	return cmd
}

// completeReleases offers environments, and then the releases in the one that was given.
func completeReleases(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return completeEnvironments(cmd, args, typed)
	}
	var names []cobra.Completion
	if c, err := openPlatform(); err == nil && len(args) == 1 {
		list, _ := releases(cmd.Context(), c, args[0]) // no API: nothing to offer
		for _, r := range list {
			names = append(names, cobra.CompletionWithDesc(r.Name, r.Notes))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
