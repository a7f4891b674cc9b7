package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/config"
	"islet/appliance/fetch"
	"islet/appliance/host"
	"islet/appliance/install"
	"islet/appliance/join"
	"islet/appliance/kubelet"
	"islet/appliance/plan"
	"islet/appliance/preflight"
	"islet/appliance/reset"
	"islet/appliance/setup"
	"islet/appliance/wizard"
)

type joinFlags struct {
	setupFlags
	token   string
	name    string
	address string
	labels  map[string]string
	pool    string
	config  string
	plan    bool
	// setClock agrees to a clock that is set to the site's.
	setClock bool
	patient  time.Duration
	fetched  *fetch.Result // what it took, where this file is not whole
}

func newJoinCommand(env *Env) *cobra.Command {
	cmd, _ := newJoin(env)
	return cmd
}

// newJoin is the command, and what its flags are read into.
func newJoin(env *Env) (*cobra.Command, *joinFlags) {
	f := new(joinFlags)
	cmd := &cobra.Command{
		Use:     "join --token TOKEN",
		Short:   "Make this machine a node of a site that is there already",
		GroupID: groupRun,
		Args:    cobra.NoArgs,
		Long: `Asks the site named in the token to let this machine in, installs this program and starts the node. A server of the
site makes the token: ` + "`appliance token create`" + `. On a terminal, without a token, it asks for it.

This program may be the bare executable, without the bundle that the site runs: what is missing then comes from the
servers of the site once they have let this machine in, and is compared with the bundle's signed digests.

Before anything is changed it checks that what answers is the site that made the token, that both run the same version,
that the clocks agree, that the name and the address are free, and that the ports are open both ways. What is refused
leaves nothing behind, and the token can be used again. So it can after an interruption: run the same command again.`,
		Example: `  appliance join                                             asks for the token
  appliance join --token islet-04g0m2k9-...
  appliance join --token islet-04g0m2k9-... --plan           check everything, and print every side effect
  appliance join --token islet-04g0m2k9-... --name press2 --address 10.0.0.12 --labels example.com/hall=3
  appliance join --token islet-04g0m2k9-... --config press.yaml
  appliance join --token -                                   read the token from standard input`,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.token, "token", "", "the `TOKEN`; - reads it from standard input")
	flags.StringVar(&f.name, "name", "", "`NAME` of the node (default: the first label of the hostname)")
	flags.StringVar(&f.address, "address", "", "IPv4 `ADDRESS` of the node (default: the one from which the site is reached)")
	flags.StringToStringVar(&f.labels, "labels", nil, "Kubernetes labels of the node, `KEY=VALUE,...`")
	flags.StringVar(&f.config, "config", "", "answer `FILE` of which node, kubelet, logs and paths count; the rest is the site's")
	flags.StringVar(&f.pool, "pool", "", "`NAME` of the group of machines that the node belongs to")
	flags.BoolVar(&f.plan, "plan", false, "check everything, print every side effect, and do nothing")
	flags.BoolVar(&f.setClock, "set-clock", false, "set this machine's clock to the site's, where they differ")
	flags.DurationVar(&f.patient, "approval-wait", time.Hour, "wait this `long` where somebody has to approve")
	f.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.start(cmd.Context(), env) }
	return cmd, f
}

// start asks what was not given, where there is somebody to ask.
func (f *joinFlags) start(ctx context.Context, env *Env) error {
	in, person := terminal(env)
	if f.token != "" || !person || f.plan || *f.format != FormatText {
		return explainJoin(f.run(ctx, env, f.lines(env)))
	}
	if err := requireRoot("make this machine a node"); err != nil {
		return err
	}
	given := [][2]string{{wizard.Action, wizard.ActionJoin}, {"node.name", f.name}, {"node.address", f.address}}
	return interview{env: env, begun: beginning{given: given}, lines: f.lines, do: f.follow}.run(ctx, in)
}

// follow does what a wizard was answered, with all else as the flags say.
func (f *joinFlags) follow(ctx context.Context, env *Env, o wizard.Order, d setup.Driver) error {
	if !o.Join {
		i := installFlags{setupFlags: f.setupFlags}
		return i.follow(ctx, env, o, d)
	}
	now := *f
	now.token, now.name, now.address = o.Token, o.Name, o.Address
	return explainJoin(now.run(ctx, env, d))
}

// lines is what writes of a join line by line. The token is the consent.
func (f *joinFlags) lines(env *Env) setup.Driver {
	return &lines{env: env, format: *f.format, setsClock: f.setClock}
}

// run is a join, whoever drives it.
func (f *joinFlags) run(ctx context.Context, env *Env, d setup.Driver) (err error) {
	f.driver = d
	token, err := f.readToken(ctx, env)
	if err != nil {
		return err
	}
	if err := requireRoot("make this machine a node"); err != nil {
		return err
	}
	options, err := f.begin(env)
	if err != nil {
		return err
	}
	if _, err := os.Stat(options.ConfigPath); err == nil {
		return Exit(CodeExists, Advise(fmt.Errorf("this machine is a node already: it has %s", options.ConfigPath),
			"see `appliance status`; to join another site, `appliance reset` first"))
	}
	own, err := f.own()
	if err != nil {
		return err
	}
	d.Tell(setup.Asking)
	client, hello, err := f.knock(ctx, env, token)
	if err != nil {
		return err
	}
	defer client.Close()
	a, err := f.application(ctx, token, own, client.Local)
	if err != nil {
		return err
	}
	in, err := f.resume(ctx, token, a, own, &options)
	if err != nil {
		return err
	}
	defer in.close()
	c := in.config
	if !in.admitted() {
		if c, err = f.apply(ctx, client, a, own, &options); err != nil {
			return err
		}
	}
	if err := f.checkMachine(ctx, env, preflight.Input{Config: c, Layout: options.Target.Layout, Joins: true}); err != nil {
		return err
	}
	if err := f.complete(ctx, env, hello, in.offer(client, a), a.Address, &options); err != nil {
		return err
	}
	d.Tell(setup.Planning)
	options.Site = &install.Site{Name: c.Site.Name, Done: in.admitted(), Enter: func(ctx context.Context) error {
		err := f.enter(ctx, client, a, options.Target.Layout)
		if err == nil && options.Fetch != nil {
			err = noteJoining(a, own, options)
		}
		return err
	}}
	steps, err := install.NewPlan(ctx, options)
	if err != nil {
		return err
	}
	if f.plan {
		return env.Print(*f.format, installReport{Steps: steps}, func(w io.Writer) error { return printInstallPlan(w, steps) })
	}
	record := f.record(env, options.Target.Layout, plan.Join, "join")
	defer func() { endRecord(env, record, err) }()
	if err := f.driver.Ask(ctx, setup.Plan{Steps: steps, Answers: options.Config, Join: true}); err != nil {
		return err
	}
	if err := f.do(ctx, steps); err != nil {
		if rest, ok := errors.AsType[*unfetched](err); ok {
			return rest.explain(d)
		}
		return f.undo(ctx, options.Target, err)
	}
	if err := forgetJoining(options.Target.Layout); err != nil {
		return err
	}
	return f.finish(ctx, env, options, installReport{Steps: steps, Fetched: f.fetched})
}

func (f *joinFlags) readToken(ctx context.Context, env *Env) (join.Token, error) {
	text := f.token
	switch text {
	case "":
		return join.Token{}, Exit(CodeUsage, Advise(errors.New("a token is needed"), "make one on a server of the site: appliance token create"))
	case "-":
		line, err := ask(ctx, env, env.Stdio.In, "")
		if err != nil {
			return join.Token{}, err
		}
		text = line
	}
	return join.ParseToken(text)
}

// knock finds the site and checks what needs no secret.
func (f *joinFlags) knock(ctx context.Context, env *Env, token join.Token) (*join.Client, join.Hello, error) {
	client, hello, err := join.Dial(ctx, token)
	if err != nil {
		return nil, hello, err
	}
	if err := join.CheckVersion(hello, env.Build.Version); err != nil {
		client.Close()
		return nil, hello, adviseCopy(err, hello)
	}
	if err := f.agreeOnTime(ctx, client, host.ShiftClock); err != nil {
		client.Close()
		return nil, hello, err
	}
	return client, hello, Advise(join.CheckClock(client.Skew), "set this machine's clock: "+setClock(client.Skew))
}

// agreeOnTime sets this machine's clock to the site's, where it is off and somebody wants that.
func (f *joinFlags) agreeOnTime(ctx context.Context, client *join.Client, shift func(time.Duration) error) error {
	if client.Skew.Abs() <= join.SkewWarning {
		return nil
	}
	err := setup.ErrDecline
	if !f.plan {
		err = f.driver.Ask(ctx, setup.Skew{Ahead: client.Skew})
	}
	switch {
	case errors.Is(err, setup.ErrDecline):
		f.note("the clock of this machine is %s; it can be set with: %s", join.Behind(client.Skew), setClock(client.Skew))
		return nil
	case err != nil:
		return err
	}
	if err := shift(client.Skew); err != nil {
		return Advise(err, "set it by hand, then run the same command again: "+setClock(client.Skew))
	}
	f.note("the clock of this machine was %s, and is set", join.Behind(client.Skew))
	client.Skew = 0
	return nil
}

// adviseCopy tells where the right file is.
func adviseCopy(err error, hello join.Hello) error {
	return Advise(err, "copy the file from the site: "+install.ThisMachine().Executable+" on "+hello.Node)
}

// setClock is the command that puts this machine's clock where the site's is.
func setClock(skew time.Duration) string {
	return "date -u -s '" + time.Now().Add(skew).UTC().Format(time.DateTime) + "' && hwclock -w"
}

// own is what this machine says of itself: the answer file that was given, and the flags on top of it.
func (f *joinFlags) own() (config.Config, error) {
	c := config.Default()
	if f.config != "" {
		var err error
		if c, err = loadConfig(f.config); err != nil {
			return c, err
		}
	}
	labels := map[string]string{}
	maps.Copy(labels, c.Node.Labels)
	maps.Copy(labels, f.labels)
	if f.pool != "" {
		labels[kubelet.PoolLabel] = f.pool
	}
	c.Node.Labels = labels
	if f.name != "" {
		c.Node.Name = f.name
	}
	if f.address != "" {
		address, err := netip.ParseAddr(f.address)
		if err != nil {
			return c, Exit(CodeUsage, fmt.Errorf("--address: %w", err))
		}
		c.Node.Address = address
	}
	return c, nil
}

// application says who this machine wants to be.
func (f *joinFlags) application(ctx context.Context, token join.Token, own config.Config, local netip.Addr) (join.Application, error) {
	facts, err := host.Gather(ctx)
	if err != nil && facts.Hostname == "" {
		return join.Application{}, err
	}
	return applicationOf(token, own, local, facts)
}

// applicationOf is what a machine with these facts applies with, where it reaches the site from local.
func applicationOf(token join.Token, own config.Config, local netip.Addr, facts host.Facts) (join.Application, error) {
	c := own
	c.Node.Role = token.Role
	if !c.Node.Address.IsValid() {
		c.Node.Address = local
	}
	derived := config.Derived{}
	_, err := c.Validate()
	if err == nil {
		derived, err = config.Derive(c, facts)
	}
	if err != nil {
		return join.Application{}, Exit(CodeConfig, Advise(err, "--name, --address and --labels choose others"))
	}
	return join.Application{
		TokenID: token.ID, Secret: token.Secret, Role: token.Role, Node: derived.NodeName, Address: derived.Address,
		Labels: own.Node.Labels, Taints: own.Node.Taints,
	}, nil
}

// note tells of something that a person should know.
func (f *joinFlags) note(format string, args ...any) {
	f.driver.Tell(setup.Note(fmt.Sprintf(format, args...)))
}

// withOwn is the site's answer file for this machine with what the machine decides itself. Each is right alone; fields of the
// one may still rule out what the other says.
func withOwn(site, own config.Config) (config.Config, error) {
	site.Kubelet, site.Logs, site.Paths = own.Kubelet, own.Logs, own.Paths
	_, err := site.Validate()
	return site, err
}

// undo leaves the machine as it was: nothing of the node runs yet.
func (f *joinFlags) undo(ctx context.Context, target reset.Target, cause error) error {
	if err := undoTo(ctx, target); err != nil {
		return errors.Join(cause, Advise(fmt.Errorf("what was done so far could not be undone: %w", err), "run `appliance reset`"))
	}
	f.note("what was done so far is undone; the same command may be run again")
	return cause
}

func undoTo(ctx context.Context, target reset.Target) error {
	r, err := reset.New(target, reset.Options{})
	if err == nil {
		err = r.Run(context.WithoutCancel(ctx), func(reset.Step, error) {})
	}
	if errors.Is(err, reset.ErrNotNode) {
		return nil
	}
	return err
}
