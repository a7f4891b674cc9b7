package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/pki"
)

func newCertCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "cert", Short: "Show the certificates of the nodes, and rotate the authorities", GroupID: groupLook,
		Long: `Certificates are renewed by themselves, with a third of their life left, while everything runs; those that expired while
the site was switched off are issued anew at the next start.`,
		Example: "  appliance cert list",
	}
	cmd.AddCommand(newCertListCommand(env), newCertRotateCommand(env))
	return cmd
}

// certificate is one certificate of one node.
type certificate struct {
	Node     string    `json:"node"`
	Received time.Time `json:"received"` // when the node told of it
	pki.Entry
}

func newCertListCommand(env *Env) *cobra.Command {
	var within int
	cmd := &cobra.Command{
		Use: "list", Short: "List every certificate with the days left and what uses it", Args: cobra.NoArgs,
		Long: `On a server, lists the certificates of all nodes; on an agent, its own. The first to expire comes first. Nodes tell their
server every half minute; what a node that is off last said is shown with its age.`,
		Example: `  appliance cert list
  appliance cert list --within 30        those that expire in the next 30 days
  appliance cert list -o json | jq '.[] | select(.ca)'`,
	}
	cmd.Flags().IntVar(&within, "within", 0, "only those with at most that many `DAYS` left")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := daemon()
		if err != nil {
			return err
		}
		reports, err := client.Site(cmd.Context())
		if err != nil {
			return explainDaemon(err)
		}
		list := certificatesOf(reports, within, cmd.Flags().Changed("within"))
		return env.Print(*format, list, func(w io.Writer) error {
			if r := reports[0].Status.Rotation; r.Unfinished() {
				if err := printRotation(w, r); err != nil {
					return err
				}
			}
			return printCertificates(w, list, time.Now())
		})
	}
	return cmd
}

// certificatesOf lists the certificates of all nodes, the first to expire first. The authorities are the site's: they are
// listed once.
func certificatesOf(reports []api.Report, within int, limited bool) []certificate {
	list := []certificate{}
	for i, r := range reports {
		for _, e := range r.Status.Certificates {
			if e.CA && i > 0 || limited && e.DaysLeft > within {
				continue
			}
			node := r.Status.Node.Name
			if e.CA {
				node = "(site)"
			}
			list = append(list, certificate{node, r.Received, e})
		}
	}
	slices.SortStableFunc(list, func(a, b certificate) int { return cmp.Or(a.NotAfter.Compare(b.NotAfter), cmp.Compare(a.Node, b.Node)) })
	return list
}

// staleAfter is how old a node's report may be before its age is shown.
const staleAfter = 2 * time.Minute

func printCertificates(out io.Writer, list []certificate, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tCERTIFICATE\tDAYS LEFT\tUNTIL\tUSED BY\t")
	for _, c := range list {
		stale := ""
		if old := now.Sub(c.Received); old > staleAfter {
			stale = fmt.Sprintf("as of %s ago", old.Round(time.Minute))
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", c.Node, c.Name, c.DaysLeft, c.NotAfter.Local().Format(time.DateOnly), c.UsedBy, stale)
	}
	return w.Flush()
}
