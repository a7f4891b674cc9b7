package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"islet/appliance/addon"
	"islet/appliance/registry"
)

func newRegistryCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "registry",
		Short:   "Say who may push to and pull from the site's image registry",
		GroupID: groupTool,
		Long: `Every server has an image registry on port 5000, and all of them hold the same. Nodes use it with their certificates;
people and programs need a user. Its certificate is signed by the site's authority, site-ca.crt.`,
		Example: `  appliance registry user add ci --push
  docker login -u ci registry.islet.internal:5000`,
	}
	user := &cobra.Command{
		Use: "user", Short: "Make, list and remove users of the registry",
		Long:    `A user may pull every image, and with --push also push and delete. Run on a server.`,
		Example: "  appliance registry user add ci --push\n  appliance registry user list\n  appliance registry user remove ci",
	}
	user.AddCommand(newRegistryUserAddCommand(env), newRegistryUserListCommand(env), newRegistryUserRemoveCommand(env))
	cmd.AddCommand(user)
	return cmd
}

// openRegistryUsers is the site's list of users.
func openRegistryUsers() (registry.Users, error) {
	site, err := openCluster()
	return registry.Users{Client: site.client, Namespace: addon.Namespace}, err
}

// explainUser gives what is refused about users its exit code.
func explainUser(err error) error {
	switch {
	case errors.Is(err, registry.ErrUserName):
		return Exit(CodeUsage, err)
	case errors.Is(err, registry.ErrUserHere):
		return Exit(CodeExists, Advise(err, "remove it first to give it another password"))
	case errors.Is(err, registry.ErrNoUser):
		return Exit(CodeNoFile, Advise(err, "`appliance registry user list` shows the users"))
	}
	return explainCluster(err)
}

// registryUser is a user as the commands show it. The password is there when it was just made.
type registryUser struct {
	Name     string `json:"name"`
	Push     bool   `json:"push"`
	Password string `json:"password,omitempty"`
}

func newRegistryUserAddCommand(env *Env) *cobra.Command {
	var push bool
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Make a user and print its password once", Args: cobra.ExactArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		Long:    `Makes a user and prints its password, which cannot be shown again. It is good on all servers within seconds.`,
		Example: "  appliance registry user add ci --push\n  appliance registry user add viewer -o json | jq -r .password",
	}
	cmd.Flags().BoolVar(&push, "push", false, "the user may push and delete images too")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		users, err := openRegistryUsers()
		if err != nil {
			return err
		}
		password, err := users.Add(cmd.Context(), args[0], push)
		if err != nil {
			return explainUser(err)
		}
		return env.Print(*format, registryUser{args[0], push, password}, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, password)
			return err
		})
	}
	return cmd
}

func newRegistryUserListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the users of the registry", Args: cobra.NoArgs,
		Long:    `Lists the users and whether they may push. Nodes are not among them: they have certificates.`,
		Example: "  appliance registry user list",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		users, err := openRegistryUsers()
		if err != nil {
			return err
		}
		all, err := users.List(cmd.Context())
		if err != nil {
			return explainUser(err)
		}
		list := []registryUser{}
		for name, u := range all {
			list = append(list, registryUser{Name: name, Push: u.Push})
		}
		slices.SortFunc(list, func(a, b registryUser) int { return cmp.Compare(a.Name, b.Name) })
		return env.Print(*format, list, func(out io.Writer) error {
			w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "USER\tMAY PUSH")
			for _, u := range list {
				fmt.Fprintf(w, "%s\t%s\n", u.Name, yesNo(&u.Push))
			}
			return w.Flush()
		})
	}
	return cmd
}

func newRegistryUserRemoveCommand(env *Env) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Short: "Take a user's access away", Args: cobra.ExactArgs(1), ValidArgsFunction: completeUsers,
		Long:    `Removes a user. All servers refuse its password within seconds; what it pushed stays.`,
		Example: "  appliance registry user remove ci",
		RunE: func(cmd *cobra.Command, args []string) error {
			users, err := openRegistryUsers()
			if err == nil {
				err = users.Remove(cmd.Context(), args[0])
			}
			if err != nil {
				return explainUser(err)
			}
			_, err = fmt.Fprintf(env.Stdio.Out, "user %s is removed\n", args[0])
			return err
		},
	}
}

// completeUsers offers the users of the registry.
func completeUsers(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if users, err := openRegistryUsers(); err == nil && len(args) == 0 {
		all, _ := users.List(cmd.Context()) // no API: nothing to offer
		names = slices.Sorted(maps.Keys(all))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
