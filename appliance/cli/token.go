package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/audit"
	"islet/appliance/config"
	"islet/appliance/controlplane"
	"islet/appliance/join"
	"islet/appliance/kube"
	"islet/appliance/kube/client"
	"islet/appliance/kubeconfig"
	"islet/appliance/pki"
	"islet/appliance/server"
)

func newTokenCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "token",
		Short:   "Make, list and revoke the tokens with which machines join",
		GroupID: groupRun,
		Long: `A join token lets a machine into this site: it names the servers, pins the site's authority and proves that somebody
with this machine's root rights wanted it. The site keeps a hash of its secret only. Run on a server.`,
		Example: `  appliance token create
  appliance token create --uses 4 --ttl 2h --note "hall 3"
  appliance token list
  appliance token revoke h3x0c9ja`,
	}
	cmd.AddCommand(newTokenCreateCommand(env), newTokenListCommand(env), newTokenRevokeCommand(env))
	return cmd
}

// cluster is what a server's operator may use: the API as its administrator, and the authorities.
type cluster struct {
	client client.Client
	pki    *pki.Store
	config config.Config
	access kubeconfig.Access // the administrator's
}

// openCluster refuses on a machine that is no server.
func openCluster() (cluster, error) {
	if err := requireRoot("use the site's administrator certificate"); err != nil {
		return cluster{}, err
	}
	c, l, err := installed()
	if err != nil {
		return cluster{}, err
	}
	if c.Node.Role != config.RoleServer {
		return cluster{}, Exit(CodeNotServer, Advise(errors.New("this node is an agent: it may not administer the site"), "run the command on a server"))
	}
	store, err := pki.OpenJoined(l.PKI(), time.Time{}, nil)
	if err != nil {
		return cluster{}, Advise(err, "the authorities are made when `appliance server` first starts")
	}
	port := controlplane.SecurePort
	if c.Datastore.Store.Several() {
		port = controlplane.BalancerPort
	}
	access := controlplane.Params{PKI: store}.AccessAt(port, controlplane.LeafAdmin)
	way := kube.Config(access)
	way.UserAgent = audit.Agent(person(), os.Args[1:])
	kubernetes, err := kube.NewClient(way)
	return cluster{kubernetes, store, c, access}, err
}

type tokenCreateFlags struct {
	role   string
	ttl    time.Duration
	uses   int
	note   string
	format *Format
}

func newTokenCreateCommand(env *Env) *cobra.Command {
	f := new(tokenCreateFlags)
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token and print it once", Args: cobra.NoArgs,
		Long: `Makes a token and prints it; it cannot be shown again. It is good for one machine and one day unless told otherwise,
and can be typed: capitals, spaces and line breaks do not matter, and a typing error is noticed.`,
		Example: `  appliance token create
  appliance token create --uses 4 --ttl 2h --note "hall 3"
  TOKEN=$(appliance token create -o json | jq -r .token)`,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.role, "role", string(config.RoleAgent), "`ROLE` of the nodes that it lets in: agent or server")
	flags.DurationVar(&f.ttl, "ttl", 24*time.Hour, "`TIME` after which it is no longer good")
	flags.IntVar(&f.uses, "uses", 1, "`NUMBER` of machines that it is good for")
	flags.StringVar(&f.note, "note", "", "`TEXT` to know it by")
	if err := cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]cobra.Completion{"agent", "server"}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag was added above
	}
	f.format = AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), env) }
	return cmd
}

func checkTTL(ttl time.Duration) error {
	const longest = 30 * 24 * time.Hour
	if ttl < time.Minute || ttl > longest {
		return Exit(CodeUsage, fmt.Errorf("--ttl %s: want 1m to %s", ttl, longest))
	}
	return nil
}

// tokenReport is the JSON form of a new token.
type tokenReport struct {
	Token string `json:"token"`
	join.Record
}

func (f *tokenCreateFlags) run(ctx context.Context, env *Env) error {
	const most = 1000
	if err := checkTTL(f.ttl); err != nil {
		return err
	}
	switch {
	case f.uses < 1 || f.uses > most:
		return Exit(CodeUsage, fmt.Errorf("--uses %d: want 1 to %d", f.uses, most))
	case f.role != string(config.RoleAgent) && f.role != string(config.RoleServer):
		return Exit(CodeUsage, fmt.Errorf("--role %s: want agent or server", f.role))
	}
	site, err := openCluster()
	if err != nil {
		return err
	}
	if err := server.NoServersError(site.config); err != nil && config.Role(f.role) == config.RoleServer {
		return Advise(err, "make a token for an agent; a site of three servers is installed with datastore.store: etcd")
	}
	servers, err := siteServers(ctx)
	if err != nil {
		return err
	}
	token, err := join.NewToken(config.Role(f.role), join.PinOf(site.pki.Authority(pki.NodeCA).Cert), servers)
	if err != nil {
		return err
	}
	record, err := server.Tokens(site.client).Create(ctx, token, f.ttl, f.uses, f.note)
	if err != nil {
		return explainCluster(err)
	}
	return env.Print(*f.format, tokenReport{token.String(), record}, func(w io.Writer) error {
		fmt.Fprintf(env.Stdio.Err, "On the new machine, until %s:\n", record.Expires.Local().Format(time.DateTime))
		_, err := fmt.Fprintf(w, "appliance join --token %s\n", token.String())
		return err
	})
}

// siteServers is where machines find a server of the site: this one, and then the others that it knows.
func siteServers(ctx context.Context) ([]netip.AddrPort, error) {
	d, err := daemon()
	if err != nil {
		return nil, err
	}
	status, err := d.Status(ctx)
	if err != nil {
		return nil, explainDaemon(err)
	}
	own, err := netip.ParseAddr(status.Node.Address)
	if err != nil {
		return nil, err
	}
	servers := []netip.AddrPort{netip.AddrPortFrom(own, join.DefaultPort)}
	for _, s := range status.Servers {
		if s.Address.Addr() != own {
			servers = append(servers, netip.AddrPortFrom(s.Address.Addr(), join.DefaultPort))
		}
	}
	return servers, nil
}

// explainCluster adds what to do when the Kubernetes API does not answer.
func explainCluster(err error) error {
	return Advise(err, "see `appliance status`: the Kubernetes API must be ready")
}

func newTokenListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the tokens: what each is good for, and whom it let in", Args: cobra.NoArgs,
		Long:    `Lists the tokens, the newest first. One that is no longer good is kept for a week, so that it can be seen why.`,
		Example: "  appliance token list\n  appliance token list -o json | jq '.[].uses'",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		site, err := openCluster()
		if err != nil {
			return err
		}
		list, err := server.Tokens(site.client).List(cmd.Context())
		if err != nil {
			return explainCluster(err)
		}
		if list == nil {
			list = []join.Record{}
		}
		return env.Print(*format, list, func(w io.Writer) error { return printTokens(w, list, time.Now()) })
	}
	return cmd
}

func printTokens(out io.Writer, list []join.Record, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tROLE\tUSED\tSTATE\tLET IN\tNOTE")
	for _, r := range list {
		state := "good until " + r.Expires.Local().Format(time.DateTime)
		if err := r.Refusal(join.Use{}, now); err != nil {
			state = strings.TrimPrefix(err.Error(), "the join token ")
		}
		var in []string
		for _, u := range r.Uses {
			in = append(in, u.Node)
		}
		fmt.Fprintf(w, "%s\t%s\t%d of %d\t%s\t%s\t%s\n", r.ID, r.Role, len(r.Uses), r.MaxUses, state, strings.Join(in, " "), r.Note)
	}
	return w.Flush()
}

func newTokenRevokeCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "Make a token useless from now on", Args: cobra.ExactArgs(1), ValidArgsFunction: completeTokens,
		Long:    `Makes a token useless. Nodes that it let in stay; ` + "`appliance node remove`" + ` removes those.`,
		Example: "  appliance token revoke h3x0c9ja",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := join.ParseID(args[0])
		if err != nil {
			return Exit(CodeUsage, err)
		}
		site, err := openCluster()
		if err != nil {
			return err
		}
		record, err := server.Tokens(site.client).Revoke(cmd.Context(), id)
		if errors.Is(err, join.ErrUnknownToken) {
			return Advise(err, "see `appliance token list`")
		}
		if err != nil {
			return explainCluster(err)
		}
		return env.Print(*format, record, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "token %s is revoked\n", record.ID)
			return err
		})
	}
	return cmd
}

// completeTokens offers the ids of the tokens that are of use yet.
func completeTokens(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var ids []cobra.Completion
	if site, err := openCluster(); err == nil && len(args) == 0 {
		list, _ := server.Tokens(site.client).List(cmd.Context()) // no API: nothing to offer
		for _, record := range list {
			ids = append(ids, cobra.CompletionWithDesc(record.ID, record.Note))
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
