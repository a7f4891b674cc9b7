package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/host"
	"islet/appliance/join"
	"islet/appliance/pki"
	"islet/appliance/server"
)

func newDatastoreCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "datastore",
		Short:   "Look at, move and recover where the site keeps its state",
		GroupID: groupLook,
		Long:    `Shows the servers that hold the site's state, and what may fail now without loss; moves it to etcd. Run on a server.`,
		Example: "  appliance datastore status\n  appliance datastore migrate --to etcd",
	}
	cmd.AddCommand(newDatastoreStatusCommand(env), newDatastoreMigrateCommand(env), newDatastoreRecoverCommand(env))
	return cmd
}

// datastoreReport is the JSON form of the datastore's state.
type datastoreReport struct {
	Store config.Store `json:"store"`
	// Endpoint and Database are of a site's own database; what follows is then empty.
	Endpoint string                    `json:"endpoint,omitempty"`
	Database *datastore.DatabaseReport `json:"database,omitempty"`

	Members []datastore.MemberStatus `json:"members"`
	Voters  int                      `json:"voters"`
	Healthy int                      `json:"healthy"` // voters that answer
	// MayFail is how many more voters may fail before the site can write nothing; negative when it cannot now.
	MayFail int `json:"mayFail"`
}

func newDatastoreStatusCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show the members of the datastore, and what may fail now", Args: cobra.NoArgs,
		Long: `Asks every member of the datastore how it is, or the site's own database. It works while Kubernetes is down, and shows what can be seen when most
members are lost.`,
		Example: "  appliance datastore status\n  appliance datastore status -o json | jq .mayFail",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		store, err := openStore(cmd.Context())
		if err != nil {
			return err
		}
		if store.External != nil {
			return databaseStatus(cmd.Context(), env, *format, store)
		}
		members, err := store.Members(cmd.Context())
		if err != nil {
			return Advise(err, "see `appliance status`: etcd must run on this server")
		}
		report := reportOf(members)
		return env.Print(*format, report, func(w io.Writer) error { return printDatastore(w, report) })
	}
	return cmd
}

// openMembers is openStore for a command about etcd's members.
func openMembers(ctx context.Context) (datastore.Params, error) {
	store, err := openStore(ctx)
	if err == nil && store.External != nil {
		err = Exit(CodeNotPossible, Advise(errors.New("this site keeps its state in a database of its own, which has no members here"), "see `appliance datastore status`; the database's copies are its own"))
	}
	return store, err
}

// openStore is the datastore of this server as its operator may use it. Nothing of it needs the daemon.
func openStore(ctx context.Context) (datastore.Params, error) {
	if err := requireRoot("use the datastore's certificate"); err != nil {
		return datastore.Params{}, err
	}
	c, l, err := installed()
	if err != nil {
		return datastore.Params{}, err
	}
	if c.Node.Role != config.RoleServer {
		return datastore.Params{}, Exit(CodeNotServer, Advise(errors.New("this node is an agent: it has no part of the datastore"), "run the command on a server"))
	}
	if !c.Datastore.Store.Several() {
		return datastore.Params{}, Exit(CodeNotPossible, Advise(fmt.Errorf("this site keeps its state in %s on its one server: it has no members", c.Datastore.Store), "see `appliance status`"))
	}
	store, err := pki.OpenJoined(l.PKI(), time.Time{}, nil)
	if err != nil {
		return datastore.Params{}, Advise(err, "the authorities are made when `appliance server` first starts")
	}
	program, err := engineProgram(l, datastore.EtcdToolName)
	if err != nil {
		return datastore.Params{}, err
	}
	child := func(name string, args ...string) component.Spec {
		program := filepath.Join(filepath.Dir(program), name)
		return component.Spec{Args: append([]string{program}, args...), Env: []string{"TMPDIR=" + l.Tmp()}, Dir: filepath.Dir(l.Tmp())}
	}
	if c.Datastore.Store == config.StoreExternal {
		secret, err := store.Secret(pki.EncryptionSecret, pki.EncryptionBytes)
		if err != nil {
			return datastore.Params{}, err
		}
		database, err := server.Database(c, l, secret)
		return datastore.Params{Layout: l, Child: child, External: database}, err
	}
	facts, err := host.Gather(ctx)
	if err != nil && facts.Hostname == "" {
		return datastore.Params{}, err
	}
	derived, err := config.Derive(c, facts)
	if err != nil {
		return datastore.Params{}, err
	}
	return datastore.Params{
		Layout: l, Child: child,
		Etcd: &datastore.Etcd{NodeName: derived.NodeName, PKI: store, Others: func() []netip.Addr {
			known, _ := join.ReadServers(l.Servers()) // the first server knows of itself only
			var out []netip.Addr
			for _, at := range known.Node {
				out = append(out, at.Addr())
			}
			return out
		}},
	}, nil
}

func reportOf(members []datastore.MemberStatus) datastoreReport {
	r := datastoreReport{Store: config.StoreEtcd, Members: members}
	for _, m := range members {
		if m.Learner {
			continue
		}
		r.Voters++
		if m.Error == "" {
			r.Healthy++
		}
	}
	r.MayFail = r.Healthy - (r.Voters/2 + 1)
	return r
}

func printDatastore(out io.Writer, r datastoreReport) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "MEMBER\tROLE\tREVISION\tSIZE\tIN USE\tSTATE")
	for _, m := range r.Members {
		role, state := "voter", "healthy"
		switch {
		case m.Learner:
			role = "no vote yet"
		case m.Leader:
			role = "leader"
		}
		if m.Error != "" {
			state = m.Error
		} else if len(m.Alarms) > 0 {
			state = strings.Join(m.Alarms, ", ")
		}
		name := m.Name
		if name == "" {
			name = m.Peer
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%.1f MiB\t%.1f MiB\t%s\n", name, role, m.Revision, float64(m.Bytes)/(1<<20), float64(m.InUse)/(1<<20), state)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%d of %d voters are healthy: %s\n", r.Healthy, r.Voters, r.outlook())
	return err
}

// outlook says in words what may fail.
func (r datastoreReport) outlook() string {
	switch {
	case r.MayFail < 0:
		return fmt.Sprintf("the site can write nothing until %d more are back", -r.MayFail)
	case r.MayFail == 0:
		return "none may fail now"
	case r.MayFail == 1:
		return "any one of them may fail without loss"
	}
	return fmt.Sprintf("any %d of them may fail without loss", r.MayFail)
}
