package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Format is the value of a command's -o flag.
type Format string

// The output formats. Text is for people and may change; JSON is for programs and only grows.
const (
	FormatText Format = "text"
	FormatJSON Format = "json"
)

// AddFormatFlag gives cmd the flag -o text|json, read into the returned variable before RunE.
func AddFormatFlag(cmd *cobra.Command) *Format {
	f := FormatText
	cmd.Flags().VarP(&f, "output", "o", "output format: text or json")
	if err := cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]cobra.Completion{"text", "json"},
		cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag was added two lines above
	}
	return &f
}

// String implements pflag.Value.
func (f *Format) String() string { return string(*f) }

// Set implements pflag.Value.
func (f *Format) Set(s string) error {
	if s != string(FormatText) && s != string(FormatJSON) {
		return fmt.Errorf("want text or json")
	}
	*f = Format(s)
	return nil
}

// Type implements pflag.Value.
func (f *Format) Type() string { return "text|json" }

// Print writes value to standard output as indented JSON, or calls text with standard output.
func (e *Env) Print(f Format, value any, text func(io.Writer) error) error {
	if f != FormatJSON {
		return text(e.Stdio.Out)
	}
	encoder := json.NewEncoder(e.Stdio.Out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}
