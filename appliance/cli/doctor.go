package cli

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/doctor"
	"islet/appliance/host"
	"islet/appliance/layout"
	"islet/appliance/preflight"
)

func newDoctorCommand(env *Env) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "doctor", GroupID: groupLook, Short: "Examine this node from all sides, also while it is down", Args: cobra.NoArgs,
		Long: `Examines this node: the machine, the daemon and the problems that it reports, certificates, clock, disk and
datastore. It changes nothing and works while the daemon is down. Each finding says what is so, since when, and what to
do; those that are fine are counted unless --all is given.

The exit code tells the worst: 0 when everything is fine or only worth knowing, ` + fmt.Sprint(int(CodeWarnings)) + ` with warnings, ` + fmt.Sprint(int(CodeUnhealthy)) + ` with a critical finding.`,
		Example: `  appliance doctor
  appliance doctor --all
  appliance doctor -o json | jq '.findings[] | select(.severity == "critical")'`,
	}
	format := AddFormatFlag(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "also show what is fine")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := requireRoot("examine the node"); err != nil {
			return err
		}
		c, l, err := installed()
		if err != nil && (CodeOf(err) == CodeNotInstalled) {
			return err
		}
		report := examine(cmd.Context(), env, c, l)
		if err != nil { // the rest is worth seeing all the same
			report.Add(doctor.Finding{
				ID: "config", Area: doctor.AreaDaemon, Severity: doctor.Critical, Title: "Answer file", Found: strings.ReplaceAll(err.Error(), "\n", "; "),
				Advice: "correct it: appliance config validate " + l.Config(), Topic: "install",
			})
		}
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		if err := env.Print(*format, report, func(w io.Writer) error { return printDoctor(w, report, all) }); err != nil {
			return err
		}
		switch report.Severity {
		case doctor.Critical:
			return &ExitError{Code: CodeUnhealthy}
		case doctor.Warning:
			return &ExitError{Code: CodeWarnings}
		}
		return nil
	}
	return cmd
}

// examine makes all checks of this node. c may be what could be understood of a bad answer file.
func examine(ctx context.Context, env *Env, c config.Config, l layout.Layout) doctor.Report {
	facts, _ := host.Gather(ctx) // what could not be read is missing in the checks, which say so
	build, _ := time.Parse(time.RFC3339, env.Build.Date)
	in := doctor.Input{
		Layout: l, Config: c, Build: build, Now: time.Now(), Status: api.NewClient(l.APISocket()).Status,
		Checks: preflight.Installed(preflight.Input{Config: c, Layout: l, Facts: facts, Build: build}),
	}
	if c.Node.Role == config.RoleServer && c.Datastore.Store == config.StoreEtcd {
		in.Members = askMembers
	}
	if c.Node.Role == config.RoleServer && c.Datastore.Store == config.StoreExternal {
		in.Database = func(ctx context.Context) (datastore.DatabaseReport, error) {
			store, err := openStore(ctx)
			if err != nil {
				return datastore.DatabaseReport{}, err
			}
			return store.Database(ctx)
		}
	}
	if program, err := engineProgram(l, datastore.KineName); err == nil {
		in.CheckDatabase = func(ctx context.Context) error {
			out, err := exec.CommandContext(ctx, program, "check", datastore.Database(l)).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
			}
			return nil
		}
	}
	return doctor.Examine(ctx, in)
}

func askMembers(ctx context.Context) (voters, healthy int, err error) {
	store, err := openMembers(ctx)
	if err != nil {
		return 0, 0, err
	}
	members, err := store.Members(ctx)
	if err != nil {
		return 0, 0, err
	}
	r := reportOf(members)
	return r.Voters, r.Healthy, nil
}

func printDoctor(w io.Writer, r doctor.Report, all bool) error {
	words := map[doctor.Severity]string{doctor.OK: "ok", doctor.Info: "info", doctor.Warning: "WARNING", doctor.Critical: "CRITICAL"}
	counts := map[doctor.Severity]int{}
	var b strings.Builder
	for _, f := range r.Findings {
		counts[f.Severity]++
		if f.Severity == doctor.OK && !all {
			continue
		}
		fmt.Fprintf(&b, "%-8s  %s: %s", words[f.Severity], f.Title, f.Found)
		if f.Since != nil && f.Severity != doctor.OK {
			fmt.Fprintf(&b, ", for %s", age(*f.Since))
		}
		b.WriteByte('\n')
		if f.Severity == doctor.OK {
			continue
		}
		if f.Advice != "" {
			fmt.Fprintf(&b, "          next: %s\n", f.Advice)
		}
		if f.Topic != "" {
			fmt.Fprintf(&b, "          more: appliance help %s\n", f.Topic)
		}
	}
	fmt.Fprintf(&b, "%d critical, %d warnings, %d to know, %d fine\n", counts[doctor.Critical], counts[doctor.Warning], counts[doctor.Info], counts[doctor.OK])
	_, err := io.WriteString(w, b.String())
	return err
}
