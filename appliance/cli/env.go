package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"islet/appliance/version"
	"islet/bundle"
	"islet/bundle/trust"
)

// BundleVariable names a bundle file in the environment; the --bundle flag wins over it.
const BundleVariable = "APPLIANCE_BUNDLE"

// Stdio is the three streams of a process.
type Stdio struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// Env is what every command gets instead of globals. Main makes one per call; the persistent flags are read into it
// before a command runs, so commands look at it only in RunE.
type Env struct {
	Stdio  Stdio
	Build  version.Info
	Getenv func(string) string

	// Executable is the path the running executable's own content is read from. /proc/self/exe keeps naming the running
	// file after an upgrade has put another in its place.
	Executable string

	// Program is how this process was called, for commands that are shown to be typed.
	Program string

	bundlePath string
	trustDir   string
	logLevel   string
	logFormat  string
}

// NewEnv returns the environment of the running process with the given streams.
func NewEnv(stdio Stdio) *Env {
	return &Env{Stdio: stdio, Build: version.Get(), Getenv: os.Getenv, Executable: "/proc/self/exe", Program: os.Args[0]}
}

// BundlePath says which file OpenBundle("") opens: --bundle, else APPLIANCE_BUNDLE, else the running executable.
func (e *Env) BundlePath() string {
	if e.bundlePath != "" {
		return e.bundlePath
	}
	if path := e.Getenv(BundleVariable); path != "" {
		return path
	}
	return e.Executable
}

// OpenBundle opens the bundle at path, or the one BundlePath names if path is empty, and insists on a trusted signature.
// The caller closes it.
func (e *Env) OpenBundle(path string) (*bundle.Reader, error) {
	accepted, err := e.Trust()
	if err != nil {
		return nil, err
	}
	return e.openBundle(path, accepted)
}

// PeekBundle is OpenBundle for commands that only show what a bundle says: the signature may be missing or by an unknown
// key, and Reader.Signature reports it.
func (e *Env) PeekBundle(path string) (*bundle.Reader, error) {
	accepted, err := e.Trust()
	if err != nil {
		return nil, err
	}
	return e.openBundle(path, accepted.Lenient())
}

func (e *Env) openBundle(path string, accepted trust.Set) (*bundle.Reader, error) {
	if path == "" {
		path = e.BundlePath()
	}
	return bundle.Open(path, accepted)
}

// Trust returns the keys compiled in plus the site's.
func (e *Env) Trust() (trust.Set, error) {
	accepted, err := trust.Load(e.trustDir)
	if err != nil {
		return trust.Set{}, Advise(fmt.Errorf("load trusted keys: %w", err),
			"correct or remove the named file in "+e.trustDir)
	}
	return accepted, nil
}

// Logger returns the logger that a long-running command starts with. It writes to standard error in the format and from
// the level that --log-format and --log-level ask for; standard output stays free for results.
func (e *Env) Logger() *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(e.logLevel)); err != nil {
		level = slog.LevelInfo // checkGlobals refused it already
	}
	options := &slog.HandlerOptions{Level: level}
	if e.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(e.Stdio.Err, options))
	}
	return slog.New(slog.NewTextHandler(e.Stdio.Err, options))
}

// checkGlobals refuses persistent flags that make no sense. It runs before every command.
func (e *Env) checkGlobals() error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(e.logLevel)); err != nil {
		return Exit(CodeUsage, fmt.Errorf("--log-level %q: want debug, info, warn or error", e.logLevel))
	}
	if e.logFormat != "text" && e.logFormat != "json" {
		return Exit(CodeUsage, fmt.Errorf("--log-format %q: want text or json", e.logFormat))
	}
	return nil
}
