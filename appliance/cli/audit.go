package cli

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/audit"
	"islet/appliance/join"
	"islet/appliance/pki"
)

func newAuditCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "Look at, export and verify the record of what people did", GroupID: groupPaaS,
		Long: `Every change that people make through the Kubernetes API, by the command line, by kubectl or by another tool, is an entry in the
record of the server that it went through. Each entry carries the hash of the one before, and servers sign how far they have come: what is
changed, removed, put in another order or cut off is found, also far from the site, in an exported file.`,
		Example: `  appliance audit list --who ann
  appliance audit export plant7-june.audit
  appliance audit verify plant7-june.audit`,
	}
	cmd.AddCommand(newAuditListCommand(env), newAuditExportCommand(env), newAuditVerifyCommand(env))
	return cmd
}

// person is who calls the command on this server, as far as the machine knows: who has logged in, not whom he has become.
func person() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if uid, err := os.ReadFile("/proc/self/loginuid"); err == nil {
		if u, err := user.LookupId(strings.TrimSpace(string(uid))); err == nil {
			return u.Username
		}
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "root"
}

func newAuditListCommand(env *Env) *cobra.Command {
	var who, object string
	var last int
	cmd := &cobra.Command{
		Use: "list", Short: "List what people did through this server", Args: cobra.NoArgs,
		Long: `Lists entries of this server's record, the oldest first. With several servers each has the entries of what went through its API:
run it on each, or export there.`,
		Example: "  appliance audit list --last 20\n  appliance audit list --who ann --object press-prod/ -o json",
	}
	cmd.Flags().StringVar(&who, "who", "", "only what this `NAME` did, as a user of the API or on the command line")
	cmd.Flags().StringVar(&object, "object", "", "only objects with this `TEXT` in their path")
	cmd.Flags().IntVar(&last, "last", 100, "at most this `NUMBER`, the last ones; 0 is all")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		_, l, err := openServer("read the audit log")
		if err != nil {
			return err
		}
		list := []audit.Entry{}
		err = audit.ReadAll(l.Audit(), func(e audit.Entry) error {
			named := who == "" || e.Who == who || strings.HasPrefix(e.Command, who+": ")
			if named && strings.Contains(e.Object, object) {
				list = append(list, e)
			}
			if last > 0 && len(list) > 2*last { // bounded, whatever the length of the log
				list = append(list[:0], list[len(list)-last:]...)
			}
			return nil
		})
		if err != nil {
			return Advise(err, "`appliance audit verify` says what is wrong")
		}
		if last > 0 {
			list = list[max(0, len(list)-last):]
		}
		return env.Print(*format, list, func(w io.Writer) error { return printAudit(w, list) })
	}
	return cmd
}

func printAudit(out io.Writer, list []audit.Entry) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "AT\tWHO\tVERB\tOBJECT\tRESULT\tCOMMAND")
	for _, e := range list {
		result := ""
		if e.Result != 0 {
			result = fmt.Sprint(e.Result)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Time.Local().Format(time.DateTime), e.Who, e.Verb, e.Object, result, e.Command+e.Detail)
	}
	return w.Flush()
}

// auditExported is the JSON form of an export.
type auditExported struct {
	File    string `json:"file"`
	Entries uint64 `json:"entries"`
	SHA256  string `json:"sha256"` // of the file
}

func newAuditExportCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "export FILE", Short: "Write this server's record into a file that can be verified anywhere", Args: cobra.ExactArgs(1), ValidArgsFunction: completeFiles,
		Long: `Writes all entries of this server's record, with the signed heads of all servers' chains, into a file that ends with a signature by this
server. With several servers, export on each. Keep files away from the site: what was exported once, nobody can take back.`,
		Example: "  appliance audit export /mnt/stick/plant7-june.audit",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, l, err := openServer("read the audit log")
		if err != nil {
			return err
		}
		site, err := openCluster()
		if err != nil {
			return err
		}
		heads, err := audit.Published(cmd.Context(), site.client)
		if err != nil {
			return explainCluster(err)
		}
		node, err := site.pki.Pair(join.NodeLeaf)
		if err != nil {
			return err
		}
		report, err := writeExport(args[0], audit.Source{
			Site: c.Site.Name, Dir: l.Audit(), Heads: heads, Node: node, Authorities: site.pki.Authority(pki.NodeCA).Trusted,
		})
		if err != nil {
			return err
		}
		return env.Print(*format, report, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%d entries are in %s\nSHA-256 %s\n", report.Entries, report.File, report.SHA256)
			return err
		})
	}
	return cmd
}

// writeExport leaves no half of a file.
func writeExport(path string, s audit.Source) (report auditExported, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return report, Exit(CodeExists, Advise(err, "name another file"))
	}
	if err != nil {
		return report, err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			_ = os.Remove(path)
		}
	}()
	sum := sha256.New()
	entries, err := audit.Export(io.MultiWriter(f, sum), s, time.Now())
	if err == nil {
		err = f.Sync()
	}
	return auditExported{path, entries, hex.EncodeToString(sum.Sum(nil))}, err
}

// auditVerified is the JSON form of a verification.
type auditVerified struct {
	File string     `json:"file,omitempty"` // empty for this server's own record
	Site string     `json:"site"`
	Made *time.Time `json:"made,omitempty"` // when the file was exported
	// Authority is the fingerprint of what has signed, for comparison where --authority was not given.
	Authority string       `json:"authority"`
	Report    audit.Report `json:"report"`
	// Incomplete is why the heads in the datastore could not be read: an end that was cut off is not found then.
	Incomplete string `json:"incomplete,omitempty"`
}

func newAuditVerifyCommand(env *Env) *cobra.Command {
	var authority string
	cmd := &cobra.Command{
		Use: "verify [FILE...]", Short: "Find what was changed, removed, reordered or cut off", Args: cobra.ArbitraryArgs, ValidArgsFunction: completeFiles,
		Long: `Verifies exported files, on any machine, or without FILE this server's own record against the heads that are kept in the datastore of
all servers. A file names the authority that its signatures are by: compare the fingerprint with the site's (/var/lib/appliance/pki/node-ca.crt), or
name that file with --authority. Exit codes: 110 altered, 111 removed or reordered, 112 cut off, 113 signed by nobody of the site, 114 no log, 17 sound, but the heads cannot be read.`,
		Example: `  appliance audit verify
  appliance audit verify plant7-june.audit --authority node-ca.crt`,
	}
	cmd.Flags().StringVar(&authority, "authority", "", "`FILE` with the site's authority for nodes")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var trusted []*x509.Certificate
		if authority != "" {
			raw, err := os.ReadFile(authority)
			if err != nil {
				return err
			}
			if trusted, err = pki.ParseCerts(raw); err != nil {
				return Exit(CodeConfig, fmt.Errorf("%s: %w", authority, err))
			}
		}
		list := []auditVerified{}
		if len(args) == 0 {
			own, err := verifyOwn(cmd.Context())
			if err != nil {
				return err
			}
			list = append(list, own)
		}
		for _, path := range args {
			v, err := verifyExported(path, trusted)
			if err != nil {
				return err
			}
			list = append(list, v)
		}
		if err := env.Print(*format, list, func(w io.Writer) error { return printVerified(w, list) }); err != nil {
			return err
		}
		return judgeAudit(list)
	}
	return cmd
}

func verifyOwn(ctx context.Context) (auditVerified, error) {
	c, l, err := openServer("read the audit log")
	if err != nil {
		return auditVerified{}, err
	}
	site, err := openCluster()
	if err != nil {
		return auditVerified{}, err
	}
	pair, err := site.pki.Pair(join.NodeLeaf)
	if err != nil {
		return auditVerified{}, err
	}
	trusted := site.pki.Authority(pki.NodeCA).Trusted
	v := auditVerified{Site: c.Site.Name, Authority: pki.Fingerprint(trusted[0])}
	heads, err := audit.Published(ctx, site.client)
	if err != nil {
		v.Incomplete = err.Error()
	}
	v.Report, err = audit.VerifyJournal(l.Audit(), pair.Leaf.Subject.CommonName, heads, trusted)
	return v, err
}

func verifyExported(path string, trusted []*x509.Certificate) (auditVerified, error) {
	f, err := os.Open(path)
	if err != nil {
		return auditVerified{}, err
	}
	defer f.Close()
	about, report, err := audit.VerifyFile(f, trusted)
	if err != nil {
		return auditVerified{}, fmt.Errorf("%s: %w", path, err)
	}
	v := auditVerified{File: path, Site: about.Site, Made: &about.Time, Report: report}
	if len(trusted) == 0 {
		trusted = about.Authorities
	}
	if len(trusted) > 0 {
		v.Authority = pki.Fingerprint(trusted[0])
	}
	return v, nil
}

func printVerified(out io.Writer, list []auditVerified) error {
	for _, v := range list {
		name := v.File
		if name == "" {
			name = "the record of this server"
		}
		fmt.Fprintf(out, "%s: site %s, authority %s\n", name, v.Site, v.Authority)
		for _, c := range v.Report.Chains {
			fmt.Fprintf(out, "  chain %s: %d entries, signed up to %d, the last %s\n", c.Chain, c.Entries, c.Signed, c.Head)
		}
		for _, chain := range v.Report.Elsewhere {
			fmt.Fprintf(out, "  chain %s: its entries are on its own server\n", chain)
		}
	}
	return nil
}

// judgeAudit ends with the code of the worst that was found.
func judgeAudit(list []auditVerified) error {
	codes := map[audit.Kind]Code{
		audit.KindMalformed: CodeNotAudit, audit.KindAltered: CodeAuditAltered, audit.KindGap: CodeAuditGap,
		audit.KindCut: CodeAuditCut, audit.KindMissing: CodeAuditCut, audit.KindSignature: CodeAuditForeign,
	}
	for _, v := range list {
		worst := v.Report.Worst()
		if worst == "" {
			continue
		}
		var lines []string
		const most = 20
		for _, f := range v.Report.Findings[:min(most, len(v.Report.Findings))] {
			lines = append(lines, strings.TrimSpace(string(f.Kind)+": "+f.Text+" "+f.Chain))
		}
		if more := len(v.Report.Findings) - most; more > 0 {
			lines = append(lines, fmt.Sprintf("and %d more", more))
		}
		return Exit(codes[worst], Advise(errors.New(strings.Join(lines, "\n")), "keep the file and the disk as they are, and compare with an earlier export"))
	}
	for _, v := range list {
		if v.Incomplete != "" {
			return Exit(CodeWarnings, Advise(fmt.Errorf("what is there is sound, but an end that was cut off would not be found: the heads in the datastore cannot be read: %s", v.Incomplete),
				"run it again once `appliance status` shows that the API answers"))
		}
	}
	return nil
}
