package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/config"
	"islet/appliance/host"
	"islet/appliance/layout"
	"islet/appliance/preflight"
)

// preflightDeadline is well above the slowest check, the fsync measurement on a bad disk.
const preflightDeadline = 20 * time.Second

func newPreflightCommand(e *Env) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "preflight", GroupID: groupLook, Short: "Check whether this machine can run the platform", Args: cobra.NoArgs,
		Long: `Check whether this machine can run the platform, without changing anything on it. Each line shows
what was measured; where it is not ok, the next line says what to do.

  ok       fine
  info     worth knowing
  warn     the platform copes with it
  FAIL     an installation would be refused; the exit code is then ` + fmt.Sprint(int(CodePreflight)) + `

Run it as root: some checks try things for real, in namespaces of their own.`,
		Example: `  appliance preflight
  appliance preflight --config site.yaml
  appliance preflight -o json | jq '.results[] | select(.status != "ok")'`,
	}
	format := AddFormatFlag(cmd)
	cmd.Flags().StringVar(&file, "config", "", "answer `FILE` to check against (default: this node's, or the built-in defaults)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		in, err := preflightInput(file)
		if err != nil {
			return err
		}
		in.Build, _ = time.Parse(time.RFC3339, e.Build.Date) // zero when the build was not stamped
		in.Facts, err = host.Gather(cmd.Context())
		if err != nil {
			e.Logger().Warn("some facts of this machine could not be read", "error", err)
		}
		report := preflight.Run(cmd.Context(), preflight.Checks(in), preflightDeadline)
		if err := cmd.Context().Err(); err != nil {
			return err
		}
		if err := e.Print(*format, report, func(w io.Writer) error { return printPreflight(w, report) }); err != nil {
			return err
		}
		if report.Status == preflight.Failed {
			return &ExitError{Code: CodePreflight}
		}
		return nil
	}
	return cmd
}

// preflightInput takes the file that was named, else the node's own, else the defaults.
func preflightInput(file string) (preflight.Input, error) {
	own := layout.Default()
	named := file != ""
	if !named {
		file = own.Config()
	}
	cfg, err := loadConfig(file)
	if !named && errors.Is(err, fs.ErrNotExist) {
		cfg, err = config.Default(), nil
	}
	if err != nil {
		return preflight.Input{}, err
	}
	return preflight.Input{Config: cfg, Layout: cfg.Layout(filepath.Dir(file))}, nil
}

func printPreflight(w io.Writer, report preflight.Report) error {
	words := map[preflight.Status]string{preflight.Passed: "ok", preflight.Info: "info", preflight.Warned: "warn", preflight.Failed: "FAIL"}
	counts := map[preflight.Status]int{}
	width := 0
	for _, r := range report.Results {
		counts[r.Status]++
		width = max(width, len(r.Title))
	}
	var b strings.Builder
	for _, r := range report.Results {
		fmt.Fprintf(&b, "%-5s %-*s  %s\n", words[r.Status], width, r.Title, r.Found)
		if r.Advice != "" {
			fmt.Fprintf(&b, "%-5s %-*s  -> %s\n", "", width, "", r.Advice)
		}
	}
	fmt.Fprintf(&b, "%d ok, %d to know, %d warnings, %d failures in %.1f s\n", counts[preflight.Passed],
		counts[preflight.Info], counts[preflight.Warned], counts[preflight.Failed], report.Took.Seconds())
	_, err := io.WriteString(w, b.String())
	return err
}
