package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// terminal returns standard input if a person is at the other end.
func terminal(env *Env) (*os.File, bool) {
	in, ok := env.Stdio.In.(*os.File)
	return in, ok && term.IsTerminal(int(in.Fd()))
}

// ask reads one line, without blanks around it. The question goes to standard error, as results are
// all that standard output gets.
func ask(ctx context.Context, env *Env, in io.Reader, question string) (string, error) {
	fmt.Fprint(env.Stdio.Err, question)
	line, err := readLine(ctx, in)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return line, err
}

// askName says what will be lost, and goes on only when a person has typed the name of what is to be removed.
func askName(ctx context.Context, env *Env, yes bool, name, lost string) error {
	if yes {
		return nil
	}
	in, ok := terminal(env)
	if !ok {
		return Exit(CodeUsage, Advise(fmt.Errorf("this removes %s, and there is no terminal to ask on", name), "give --yes"))
	}
	answer, err := ask(ctx, env, in, lost+" To go on, type its name ("+name+"): ")
	if err == nil && answer != name {
		err = Exit(CodeUsage, fmt.Errorf("that is not its name, %s: nothing was done", name))
	}
	return err
}

// readLine reads one line, without blanks around it; io.EOF says that there was no end to it. When ctx ends first, the read
// is left behind: nothing can end it but the end of the process, which comes next.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	go func() {
		line, err := bufio.NewReader(in).ReadString('\n')
		read <- result{line, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case r := <-read:
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return "", fmt.Errorf("read answer: %w", r.err)
		}
		return strings.TrimSpace(r.line), r.err
	}
}
