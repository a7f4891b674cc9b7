package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"islet/appliance/version"
	"islet/bundle"
)

// updating says whether golden files are to be written. The flag is that of the screens' golden files.
func updating() bool { return flag.Lookup("update").Value.String() == "true" }

// result is one call of the command line.
type result struct {
	code     Code
	out, err string
}

// call runs the command line in this process, with an environment of its own. executable is the file whose bundle is
// the default one.
func call(t *testing.T, executable string, args ...string) result {
	t.Helper()
	return callContext(t.Context(), executable, args...)
}

func callContext(ctx context.Context, executable string, args ...string) result {
	var out, errs bytes.Buffer
	e := NewEnv(Stdio{In: strings.NewReader(""), Out: &out, Err: &errs})
	e.Executable = executable
	e.Build = version.Info{Version: "v0.1.0-test", Go: "go", Platform: "linux/amd64"}
	e.Getenv = func(name string) string {
		if name == "SOURCE_DATE_EPOCH" {
			return "1700000000"
		}
		return ""
	}
	code := e.Run(ctx, args)
	return result{Code(code), out.String(), errs.String()}
}

func TestRootHelpGolden(t *testing.T) {
	t.Parallel()
	golden(t, "root.help", call(t, "/proc/self/exe", "--help").out)
	if bare := call(t, "/proc/self/exe"); bare.code != CodeOK || bare.out == "" {
		t.Errorf("without arguments: %+v", bare)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if updating() {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed; if that is right, run the test with -update\n%s", path, got)
	}
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"unknown command":      {"frobnicate"},
		"unknown subcommand":   {"bundle", "frobnicate"},
		"unknown flag":         {"version", "--frobnicate"},
		"too many arguments":   {"version", "x"},
		"missing argument":     {"bundle", "diff", "x"},
		"required flag":        {"bundle", "extract"},
		"flags that exclude":   {"bundle", "keygen", "--out", "x", "--dev", "--release"},
		"one of several flags": {"bundle", "create", "--layout", "x", "--out", "x", "--name", "x", "--version", "x"},
		"output format":        {"version", "-o", "yaml"},
		"log level":            {"version", "--log-level", "loud"},
		"log format":           {"version", "--log-format", "xml"},
		"shell":                {"completion", "tcsh"},
	} {
		got := call(t, "/proc/self/exe", args...)
		if got.code != CodeUsage || !strings.HasPrefix(got.err, "error: ") || got.out != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	got := call(t, "/proc/self/exe", "bundle", "inspct")
	if want := "did you mean inspect?"; !strings.Contains(got.err, want) || !strings.Contains(got.err, "next: `appliance bundle --help`") {
		t.Errorf("%q lacks %q or the next step", got.err, want)
	}
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		err  error
		want Code
	}{
		{"none", nil, CodeOK},
		{"any", errors.New("x"), CodeUnexpected},
		{"explicit", fmt.Errorf("a: %w", Exit(CodePreflight, errors.New("x"))), CodePreflight},
		{"explicit over sentinel", Exit(CodeConfig, fs.ErrNotExist), CodeConfig},
		{"sentinel under advice", Advise(fmt.Errorf("a: %w", fs.ErrNotExist), "b"), CodeNoFile},
		{"cancelled", fmt.Errorf("a: %w", context.Canceled), CodeInterrupted},
		{"timeout", fmt.Errorf("a: %w", context.DeadlineExceeded), CodeTimeout},
		{"bundle", &bundle.Error{Reason: bundle.ErrNewer}, CodeNewer},
		{"joined", errors.Join(errors.New("x"), &bundle.Error{Reason: bundle.ErrAltered}), CodeAltered},
		{"a code for nothing", Exit(7, nil), CodeOK},
		{"child's own words", &ExitError{Code: 7}, 7},
	}
	for _, c := range cases {
		if got := CodeOf(c.err); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	for _, row := range sentinelCodes() {
		if got := CodeOf(fmt.Errorf("wrapped: %w", row.err)); got != row.code {
			t.Errorf("%v: %d, want %d: another row is in its way", row.err, got, row.code)
		}
	}
}

// docs/operator/exit-codes.md has a row for each code, and for nothing else.
func TestExitCodesAreDocumented(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("exit.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../docs/operator/exit-codes.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[int]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllSubmatch(text, -1) {
		n, _ := strconv.Atoi(string(m[1]))
		documented[n] = true
	}
	defined := regexp.MustCompile(`(?m)^\tCode\w+ +Code = (\d+)`).FindAllSubmatch(source, -1)
	for _, m := range defined {
		if n, _ := strconv.Atoi(string(m[1])); !documented[n] {
			t.Errorf("code %d is not documented", n)
		}
	}
	if len(defined) != len(documented) || len(defined) < 20 {
		t.Errorf("%d codes defined, %d documented", len(defined), len(documented))
	}
}

func TestPrintError(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		err  error
		want string
	}{
		{"plain", errors.New("x"), "error: x\n"},
		{"advice", Advise(errors.New("x"), "do y"), "error: x\nnext: do y\n"},
		{"several ways out", Advise(errors.New("x"), "do y\nor z"), "error: x\nnext: do y\nnext: or z\n"},
		{"advice of the cause", fmt.Errorf("a: %w", Advise(errors.New("x"), "do y")), "error: a: x\nnext: do y\n"},
		{"the same advice twice", errors.Join(Advise(errors.New("x"), "do y"), Advise(errors.New("z"), "do y")), "error: x\n       z\nnext: do y\n"},
		{"exit code in between", Exit(3, Advise(errors.New("x"), "do y")), "error: x\nnext: do y\n"},
		{"silent", &ExitError{Code: 3}, ""},
	}
	for _, c := range cases {
		var out bytes.Buffer
		if printError(&out, c.err); out.String() != c.want {
			t.Errorf("%s: %q, want %q", c.name, out.String(), c.want)
		}
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if got := call(t, "/proc/self/exe", "completion", shell); got.code != CodeOK || !strings.Contains(got.out, "appliance") {
			t.Errorf("%s: %+v", shell, got)
		}
	}
}

func decode[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}
