package cli

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/config"
	"islet/appliance/lab"
	"islet/appliance/layout"
)

// labBundle is where hosts have the bundle, if it is a file apart from the executable.
const labBundle = "/usr/local/share/appliance/appliance.bundle"

type labUpFlags struct {
	name     string
	hosts    int
	configs  []string
	noServer bool
	join     bool
	servers  int
	keep     bool
	subnet   string
	mtu      int
	limits   lab.Limits
}

func (c *labCommands) upCommand() *cobra.Command {
	var flags labUpFlags
	cmd := &cobra.Command{
		Use: "up", Short: "Make a lab and boot its hosts", Args: cobra.NoArgs,
		Long: `up makes a lab of hosts node1, node2, ... and starts "appliance server" in each, kept running like a
systemd unit. It returns when the hosts have booted; "lab logs -f" shows how the servers come up.
The hosts run a copy of this very executable, so that a rebuild does not disturb them.`,
		Example: `  appliance lab up
  appliance lab up --name rehearsal --hosts 3 --config site.yaml
  appliance lab up --hosts 2 --config node1=first.yaml --config node2=second.yaml
  appliance lab up --hosts 3 --join                       one site: a server and two agents
  appliance lab up --hosts 5 --join --servers 3           one site: three servers and two agents
  appliance lab up --no-server --cpus 1 --memory 2048     a bare, small host`,
	}
	f := cmd.Flags()
	f.StringVar(&flags.name, "name", defaultLab, "`NAME` of the lab")
	f.IntVar(&flags.hosts, "hosts", 1, "`NUMBER` of hosts")
	f.StringArrayVar(&flags.configs, "config", nil, "answer `FILE` for all hosts, or HOST=FILE for one; may be repeated")
	f.BoolVar(&flags.noServer, "no-server", false, "boot the hosts with nothing running in them")
	f.BoolVar(&flags.join, "join", false, "make one site of the hosts: the first is its server, the others join it")
	f.IntVar(&flags.servers, "servers", 1, "with --join: `NUMBER` of hosts that become servers, 1, 3 or 5")
	f.BoolVar(&flags.keep, "keep", false, "if it fails, leave what is there for a look")
	f.StringVar(&flags.subnet, "subnet", "10.77.0.0/24", "IPv4 `PREFIX` of the lab; labs do not see each other and may share it")
	f.IntVar(&flags.mtu, "mtu", 1500, "largest packet, in `BYTES`, of the links")
	f.Float64Var(&flags.limits.CPUs, "cpus", 0, "processor `CORES` each host may use (default: all)")
	f.Int64Var(&flags.limits.MemoryMiB, "memory", 0, "memory each host may use, in `MIB` (default: all)")
	cmd.MarkFlagsMutuallyExclusive("join", "no-server")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		spec, err := c.spec(flags)
		if err != nil {
			return err
		}
		l, err := c.layout().Up(cmd.Context(), spec, c.env.Logger())
		if err != nil {
			return err
		}
		if flags.join {
			begun := time.Now()
			say := func(format string, args ...any) error {
				_, err := fmt.Fprintf(c.env.Stdio.Err, "%6.1fs  "+format+"\n", append([]any{time.Since(begun).Seconds()}, args...)...)
				return err
			}
			if err := c.joinAll(cmd.Context(), l, flags.servers, say); err != nil {
				return err
			}
		}
		view, err := viewLab(cmd.Context(), l)
		if err != nil {
			return err
		}
		return c.env.Print(*format, view, func(w io.Writer) error {
			if err := printLab(w, view); err != nil {
				return err
			}
			first := view.Name + "/" + view.Hosts[0].Name
			_, err := fmt.Fprintf(w, `
  appliance lab exec %[1]s          a shell in it
  appliance lab logs -f %[1]s       what its server says
  appliance lab down %[2]s                away with it
`, first, view.Name)
			return err
		})
	}
	return cmd
}

// spec turns the flags into a lab.
func (c *labCommands) spec(flags labUpFlags) (lab.Spec, error) {
	subnet, err := netip.ParsePrefix(flags.subnet)
	if err != nil {
		return lab.Spec{}, Exit(CodeUsage, fmt.Errorf("--subnet: %w", err))
	}
	if flags.hosts < 1 {
		return lab.Spec{}, Exit(CodeUsage, fmt.Errorf("--hosts %d: want at least 1", flags.hosts))
	}
	if flags.servers%2 == 0 || flags.servers < 1 || flags.servers > min(flags.hosts, 5) {
		return lab.Spec{}, Exit(CodeUsage, fmt.Errorf("--servers %d: want 1, 3 or 5, and as many hosts", flags.servers))
	}
	if flags.servers > 1 && !flags.join {
		return lab.Spec{}, Exit(CodeUsage, fmt.Errorf("--servers %d: hosts become servers of one site with --join only", flags.servers))
	}
	spec := lab.Spec{
		Name: flags.name, Subnet: subnet, MTU: flags.mtu, Keep: flags.keep, Executable: c.env.Executable,
		Shared: map[string]string{},
	}
	boot := lab.Service{Args: []string{"appliance", "server"}}
	if bundle := c.env.BundlePath(); bundle != c.env.Executable {
		spec.Shared[labBundle] = bundle
		boot.Env = []string{BundleVariable + "=" + labBundle}
	}
	configs, err := readLabConfigs(flags.configs)
	if err != nil {
		return lab.Spec{}, err
	}
	for i := range flags.hosts {
		host := lab.HostSpec{Name: fmt.Sprintf("node%d", i+1), Limits: flags.limits, Boot: boot}
		content, ok := configs[host.Name]
		if !ok {
			content, ok = configs[""]
		}
		if !ok && !flags.noServer && (i == 0 || !flags.join) {
			if content, err = labConfig(flags.name, flags.servers); err != nil {
				return lab.Spec{}, err
			}
		}
		if content != nil {
			host.Files = map[string]lab.File{layout.Default().Config(): {Data: content, Mode: 0o600}}
		}
		if flags.noServer {
			host.Boot = lab.Service{}
		}
		delete(configs, host.Name)
		spec.Hosts = append(spec.Hosts, host)
	}
	for name := range configs {
		if name != "" {
			return lab.Spec{}, Exit(CodeUsage, fmt.Errorf("--config %s=...: there will be no such host; they are node1 to node%d", name, flags.hosts))
		}
	}
	return spec, nil
}

// labConfig is the answer file of a host that was given none: the defaults, with the lab as the site, and the datastore that
// goes with the number of servers.
func labConfig(name string, servers int) ([]byte, error) {
	c := config.Default()
	c.Site.Name = name
	if servers > 1 {
		c.Datastore.Store = config.StoreEtcd
	}
	return config.Marshal(c, false)
}

// readLabConfigs reads the answer files, by host; that for all hosts has no name.
func readLabConfigs(flags []string) (map[string][]byte, error) {
	configs := map[string][]byte{}
	for _, flag := range flags {
		host, file, ok := strings.Cut(flag, "=")
		if !ok || strings.ContainsRune(host, filepath.Separator) {
			host, file = "", flag
		}
		if _, twice := configs[host]; twice {
			return nil, Exit(CodeUsage, fmt.Errorf("--config %s: a second file for the same hosts", flag))
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read answer file: %w", err)
		}
		configs[host] = content
	}
	return configs, nil
}
