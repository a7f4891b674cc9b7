package program

import (
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

// buildMulticall links the main packages of g.Programs into one executable. Go does not let one import a main package,
// so their sources are copied with two identifiers renamed: `package main` to the program's name and `func main` to
// Main. Nothing else changes. Five CNI plug-ins apart take four times the bytes of the one that holds them all.
func (g Go) buildMulticall(ctx context.Context, root, out string) error {
	dir, err := os.MkdirTemp("", "multicall-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	module := filepath.Join(root, g.Dir)
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := copyFile(filepath.Join(dir, name), filepath.Join(module, name)); err != nil {
			return err
		}
	}
	for name, importPath := range g.Programs {
		if err := g.copyMain(ctx, module, importPath, filepath.Join(dir, name), identifier(name)); err != nil {
			return fmt.Errorf("copy %s: %w", importPath, err)
		}
	}
	path, err := ModulePath(dir)
	if err != nil {
		return err
	}
	if err := g.writeDispatcher(filepath.Join(dir, "main.go"), path); err != nil {
		return err
	}
	g.Dir, g.Package, g.Programs = dir, ".", nil
	return g.Build(ctx, "", out)
}

// copyMain copies the package's files, those that this build would compile, into dir as an importable package.
func (g Go) copyMain(ctx context.Context, module, importPath, dir, name string) error {
	var stdout bytes.Buffer
	list := exec.CommandContext(ctx, "go", "list", "-mod=readonly", "-tags", strings.Join(g.Tags, ","),
		"-f", "{{.Dir}}{{range .GoFiles}}\n{{.}}{{end}}", importPath)
	list.Dir, list.Stdout = module, &stdout
	list.Env = append(cleanEnv(os.Environ()), g.env()...)
	if err := run(list); err != nil {
		return err
	}
	files := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, file := range files[1:] {
		content, err := os.ReadFile(filepath.Join(files[0], file))
		if err != nil {
			return err
		}
		if content, err = importable(content, name); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// importable renames the package and its main function in one source file.
func importable(source []byte, name string) ([]byte, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	file.Name.Name = name
	for _, declaration := range file.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv == nil && function.Name.Name == "main" {
			function.Name.Name = "Main"
		}
	}
	var out bytes.Buffer
	err = format.Node(&out, set, file)
	return out.Bytes(), err
}

// identifier makes a package name of a program's name.
func identifier(name string) string { return strings.ReplaceAll(name, "-", "") }

var dispatcher = template.Must(template.New("main.go").Funcs(template.FuncMap{"identifier": identifier}).Parse(`package main

import (
	"os"
	"path/filepath"
{{range .Names}}
	{{identifier .}} "{{$.Module}}/{{.}}"{{end}}
)

func main() {
	switch name := filepath.Base(os.Args[0]); name {
{{- range .Names}}
	case "{{.}}":
		{{identifier .}}.Main()
{{- end}}
	default:
		os.Stderr.WriteString("no program named " + name + " in this file; it holds{{range .Names}} {{.}}{{end}}\n")
		os.Exit(2)
	}
}
`))

func (g Go) writeDispatcher(path, module string) error {
	var source bytes.Buffer
	err := dispatcher.Execute(&source, map[string]any{"Module": module, "Names": slices.Sorted(maps.Keys(g.Programs))})
	if err != nil {
		return err
	}
	return os.WriteFile(path, source.Bytes(), 0o644)
}

func copyFile(to, from string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}
